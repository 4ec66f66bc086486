"""MegaFace's counting: how many distractors outrank a mate, and the ROC at its strict end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenface.evaluation.benchmark import Embeddings
from evenface.evaluation.metrics import Roc
from evenface.evaluation.protocols.megaface.lists import DistractorList
from evenface.evaluation.search import TopScores, exact_scores

RANKS = 100
"""The CMC goes to this rank; a mate beyond is a miss at every rank."""
KEPT = RANKS + 28
"""Distractors kept for each probe: some more, as those within rounding of the last may be the wrong ones."""

Exact = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
"""`exact_scores` of probes (n,) and distractors (n,)."""


@dataclass(frozen=True, eq=False)
class Mates:
    """All Q ordered pairs of probes of one person: one is searched, the other is its mate in the gallery."""

    probe: NDArray[np.int64]
    """(Q,) rising."""
    mate: NDArray[np.int64]
    """(Q,)."""
    score: NDArray[np.float64]
    """(Q,)."""

    def of(self, probe: int) -> slice:
        """The pairs of a probe."""
        return slice(*np.searchsorted(self.probe, [probe, probe + 1]))

    def lowest(self, probes: int) -> NDArray[np.float64]:
        """(P,) each probe's lowest mate; 2, which no score reaches, for a probe without one."""
        least = np.full(probes, 2.0)
        np.minimum.at(least, self.probe, self.score)
        return least

    @property
    def once(self) -> NDArray[np.bool_]:
        """(Q,) one of the two orders of each pair: the genuine pairs of verification."""
        return self.probe < self.mate


def mates(unit: Embeddings, raw: Embeddings, people: NDArray[np.int64]) -> Mates:
    """The pairs of probes (P, D), once as unit rows and once as they are, of people (P,)."""
    probe, mate = np.nonzero(people[:, None] == people)
    apart = probe != mate
    probe, mate = probe[apart], mate[apart]
    return Mates(probe, mate, exact_scores(unit, raw, probe, mate))


def chains(lists: Sequence[DistractorList]) -> list[list[tuple[DistractorList, NDArray[np.int64]]]]:
    """The lists in chains of nested ones, each with what it adds to the one before it, rising.

    A chain is searched in one pass. The lists of one set make one chain if each holds the next smaller one.
    """
    found: list[list[tuple[DistractorList, NDArray[np.int64]]]] = []
    for one in sorted(lists, key=lambda one: (one.number, one.size)):
        before = found[-1][-1][0] if found else None
        nested = before is not None and before.number == one.number and np.isin(before.index, one.index).all()
        added = np.setdiff1d(one.index, before.index if before is not None and nested else [])
        found = found if nested else [*found, []]
        found[-1].append((one, added.astype(np.int64)))
    return found


def ahead(top: TopScores, pairs: Mates, exact: Exact, tolerance: float) -> NDArray[np.int64]:
    """(Q,) how many distractors score at least as high as each mate; KEPT where that many or more do."""
    best = top.candidates()
    close = np.zeros(best.scores.shape, dtype=np.bool_)
    probes = np.unique(pairs.probe)
    for probe in probes:
        score = pairs.score[pairs.of(probe)]
        close[probe] = (np.abs(best.scores[probe][:, None] - score) <= tolerance).any(axis=1)
    scores = best.scores.astype(np.float64)
    scores[close] = exact(np.nonzero(close)[0], best.index[close])
    counts = [(scores[p][:, None] >= pairs.score[pairs.of(p)]).sum(axis=0) for p in probes]
    return np.concatenate(counts)


def strict_roc(top: TopScores, pairs: Mates, exact: Exact, tolerance: float, impostors: int) -> Roc:
    """The ROC from nothing accepted to the lowest impostor score that is kept, and its last point.

    Args:
        impostors: pairs of a probe and a distractor; those that were not compared never pass.
    """
    kept = top.highest()
    scores = np.sort(exact(kept.probe, kept.index))
    genuine = np.sort(pairs.score[pairs.once])
    # Pairs that were not kept may score up to here.
    floor = kept.scores.min() + tolerance if len(kept) < top.compared else -np.inf
    thresholds = np.unique(np.concatenate([scores, genuine]))[::-1]
    thresholds = thresholds[thresholds > floor]
    false, true = (len(x) - np.searchsorted(x, thresholds) for x in (scores, genuine))
    return Roc(
        thresholds=np.concatenate([[np.inf], thresholds, [-np.inf]]),
        false_accepts=np.concatenate([[0], false, [impostors]]).astype(np.int64),
        true_accepts=np.concatenate([[0], true, [len(genuine)]]).astype(np.int64),
    )
