"""One protocol of the report: its tables, a column for each model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TypeVar

from evenface.evaluation.results import Rate, Result

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """A line of a table of rates."""

    label: str
    rates: Mapping[str, Rate]
    """By model."""


@dataclass(frozen=True)
class Fact:
    """A convention, a count or a digest."""

    label: str
    values: tuple[str, ...]
    """One for each model that was measured, or one in all where they agree."""
    sum: bool = False
    """Whether they are digests."""


@dataclass(frozen=True)
class Decision:
    """A threshold by which pairs are told right from wrong."""

    threshold: float
    words: str
    """Where it comes from."""

    def wrong(self, same: bool, score: float) -> bool:
        """Whether a pair of that kind and score is decided wrongly."""
        return (score >= self.threshold) != same


@dataclass(frozen=True)
class Section:
    """All results on one protocol."""

    protocol: str
    results: Mapping[str, Result | None]
    """By model, in the page's order; None where the model was not measured on it."""

    @cached_property
    def there(self) -> list[Result]:
        """Those that were measured, one or more."""
        return [result for result in self.results.values() if result is not None]

    @cached_property
    def rows(self) -> list[Row]:
        """Every rate, the one that papers quote first."""
        labels = {rate.key: rate.label for result in self.there for rate in result.rates}
        return [
            Row(label, {result.model: result[key] for result in self.there if key in result})
            for key, label in labels.items()
        ]

    @property
    def notes(self) -> list[str]:
        """What is to be said of rates that are marked, with the models' names where it is not said of all."""
        found: dict[tuple[str, str], list[str]] = {}
        for result in self.there:
            for rate in result.rates:
                if marked(rate):
                    found.setdefault((rate.label, rate.note or "not measurable"), []).append(result.model)
        everybody = len(self.there)
        return [
            f"{label}: {note}." if len(models) == everybody else f"{label}, {', '.join(models)}: {note}."
            for (label, note), models in found.items()
        ]

    @property
    def facts(self) -> list[Fact]:
        """Counts, conventions and digests."""
        said = [_facts(result) for result in self.there]
        facts = []
        for kind, label in dict.fromkeys(key for one in said for key in one):
            values = tuple(one.get((kind, label), "–") for one in said)
            facts.append(Fact(label, values[:1] if len(set(values)) == 1 else values, kind == "sum"))
        return facts

    def curves(self, read: Callable[[Result], T | None]) -> dict[str, T | None]:
        """By model, what is read off its result; None where the model was not measured."""
        return {model: None if one is None else read(one) for model, one in self.results.items()}

    @property
    def warnings(self) -> list[str]:
        """Why the models' figures may not be compared."""
        found = []
        if len({result.sha256 for result in self.there}) > 1:
            found.append("The models were measured on different lists (see the SHA-256 of the set).")
        if len({result.pictures for result in self.there if result.pictures}) > 1:
            found.append("The models were measured on different pictures (see their SHA-256).")
        return found

    @cached_property
    def decisions(self) -> dict[str, Decision]:
        """By model, where a threshold is known."""
        found = {result.model: decision(result) for result in self.there}
        return {model: one for model, one in found.items() if one is not None}


def marked(rate: Rate) -> bool:
    """Whether a rate needs a note."""
    return bool(rate.note) or not isfinite(rate.value)


def decision(result: Result) -> Decision | None:
    """The threshold that belongs to the figure which papers quote first."""
    folds = [t for t in result.more.get("folds", {}).get("thresholds", ()) if t is not None]
    if folds:
        return Decision(sorted(folds)[len(folds) // 2], "the middle one of the folds' thresholds")
    for rate in result.rates:
        if isfinite(rate.threshold):
            return Decision(rate.threshold, f"that of {rate.label}")
    return None


def _facts(result: Result) -> dict[tuple[str, str], str]:
    """By (kind, label)."""
    pictures = result.pictures or "not known: embeddings were given"
    return {
        **{("count", name): f"{count:,}" for name, count in result.counts.items()},
        **{("convention", name.replace("_", " ")): words for name, words in result.conventions.items()},
        ("sum", "SHA-256 of the set"): result.sha256,
        ("sum", "SHA-256 of the pictures"): pictures,
    }
