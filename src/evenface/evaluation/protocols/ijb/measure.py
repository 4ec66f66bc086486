"""What IJB-A, -B and -C measure on pooled templates: pairs compared, probes searched, figures averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.metrics import Cmc, OpenSet, Roc, cmc
from evenface.evaluation.metrics.counted import RocCounter
from evenface.evaluation.protocols.identification import rank_mates, tpir_rate
from evenface.evaluation.protocols.ijb.pairs import TemplatePairs
from evenface.evaluation.protocols.pairs import HARDEST
from evenface.evaluation.results import HardPair, Rate
from evenface.evaluation.search import pair_scores
from evenface.evaluation.templates import Rows, Templates

VERIFIED: Final = {
    "score": "cosine of templates",
    "intervals": "pairs taken as independent, so too narrow: they share people",
}
"""The conventions of `verify`."""
SEARCHED: Final = {
    "score": "cosine of templates",
    "tpir": "threshold from the best score of each non-mated probe; a hit counts at rank 1 only",
    "ties": "a tie between the mate and another is a miss",
}
"""The conventions of `search`."""


def verify(unit: Rows, pairs: TemplatePairs) -> tuple[NDArray[np.float32], Roc]:
    """Cosines (P,) of the pairs among unit templates (T, D), and their ROC."""
    scores = pair_scores(unit, pairs.first.astype(np.int64), pairs.second.astype(np.int64))
    counter = RocCounter(scores[pairs.same])
    counter.add(scores[~pairs.same])
    return scores, counter.roc()


def hardest(
    scores: NDArray[np.float32], pairs: TemplatePairs, templates: Templates, names: Sequence[str]
) -> tuple[HardPair, ...]:
    """Genuine pairs of lowest and impostor pairs of highest scores, by their templates' first pictures."""
    shown = templates.first_images()
    found = []
    for kind, sign in ((True, 1), (False, -1)):
        places = np.flatnonzero(pairs.same == kind)
        if len(places) > HARDEST:
            places = places[np.argpartition(sign * scores[places], HARDEST)[:HARDEST]]
        for p in places[np.argsort(sign * scores[places], kind="stable")]:
            items = pairs.first[p], pairs.second[p]
            a, b = (int(shown[item]) for item in items)
            said = [f"template {templates.ids[item]}, {names[shown[item]]}" for item in items]
            found.append(HardPair(kind, float(scores[p]), a, b, (said[0], said[1])))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Searched:
    """What the probes found in one gallery."""

    cmc: Cmc
    open_set: OpenSet
    rates: tuple[Rate, ...]
    templates: int
    """Of the gallery."""

    def to_json(self) -> dict[str, Any]:
        """Counts and figures, as plain JSON types."""
        return {
            "templates": self.templates,
            "mated_probes": self.open_set.mated,
            "non_mated_probes": self.open_set.nonmated,
            "rates": {rate.key: _plain(rate) for rate in self.rates},
        }


def search(
    gallery: Rows,
    gallery_subjects: NDArray[np.int64],
    probes: Rows,
    probe_subjects: NDArray[np.int64],
    ranks: Sequence[int],
    fpirs: Sequence[float],
) -> Searched:
    """Search unit probes (P, D) in a gallery of unit templates (G, D).

    Ranks are of the mated probes, those whose subject is in the gallery. TPIR is read where the other probes'
    best scores let an FPIR pass; a mated probe counts if its mate is at rank 1 and passes. There must be
    probes of both kinds.
    """
    found = rank_mates(probes, probe_subjects, gallery, gallery_subjects)
    curve, opened = cmc(found.ranks), found.open_set()
    assert opened is not None, "the readers refuse a gallery in which every probe has a mate"
    rates = [Rate(f"rank{r}", f"rank-{r}", curve.at(r), interval=curve.interval(r)) for r in ranks]
    rates += [tpir_rate(opened, fpir) for fpir in fpirs]
    return Searched(curve, opened, tuple(rates), len(gallery))


def average(each: Sequence[Sequence[Rate]], parts: str, *, deviation: bool) -> tuple[Rate, ...]:
    """The mean of each figure over the `parts`, "galleries" or "splits", and its population deviation.

    A figure that is not measurable in one part is not on average. Notes are passed on.
    """
    found = []
    for rates in zip(*each, strict=True):
        values = np.array([rate.value for rate in rates])
        notes = [rate.note for rate in rates if rate.note]
        found.append(
            Rate(
                rates[0].key,
                rates[0].label,
                float(values.mean()),
                deviation=float(values.std()) if deviation and np.isfinite(values).all() else None,
                note=f"{notes[0]}; so in {len(notes)} of {len(rates)} {parts}" if notes else "",
            )
        )
    return tuple(found)


def check_mates(path: Path, gallery: NDArray[np.int64], probes: NDArray[np.int64]) -> None:
    """Raise UserError unless some of the probes' subjects (P,) are in the gallery (G,), and some are not."""
    mated = np.isin(probes, gallery)
    if mated.all() or not mated.any():
        raise UserError(
            f"{path}: {'every' if mated.all() else 'no'} probe has its mate in this gallery, so ranks and "
            "FPIR cannot both be measured; fetch the lists again"
        )


def number(value: float) -> float | None:
    """For JSON, which has no NaN and no infinity."""
    return value if isfinite(value) else None


def _plain(rate: Rate) -> dict[str, Any]:
    low, high = rate.interval or (nan, nan)
    numbers = {"value": rate.value, "low": low, "high": high, "threshold": rate.threshold}
    return {name: number(value) for name, value in numbers.items()} | {"note": rate.note}
