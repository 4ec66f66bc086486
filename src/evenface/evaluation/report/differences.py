"""How several models differ on the same pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

from evenface.evaluation.by_person import differences
from evenface.evaluation.metrics import Difference
from evenface.evaluation.results import Result


@dataclass(frozen=True)
class Table:
    """Of several models, each less the first."""

    models: list[str]
    """Those that can be compared with it."""
    rows: list[tuple[str, list[Difference | None]]]
    """(rate's label, one for each of `models`)."""


def table_of(results: Sequence[Result]) -> Table:
    """Of one result or more on one protocol."""
    first, *others = results
    found = {other.model: differences(first, other) for other in others}
    found = {model: one for model, one in found.items() if one}
    labels = {rate.key: rate.label for rate in first.rates if any(rate.key in one for one in found.values())}
    return Table(
        list(found), [(label, [one.get(key) for one in found.values()]) for key, label in labels.items()]
    )
