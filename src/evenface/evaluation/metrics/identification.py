"""Identification metrics: closed set (CMC) and open set (TPIR at FPIR, the DIR curve)."""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.evaluation.metrics.tar import clopper_pearson


@dataclass(frozen=True, eq=False)
class Cmc:
    """Cumulative match characteristic: how many mated probes have their mate among the first r candidates."""

    hits: NDArray[np.int64]
    """(R,) probes whose mate is at rank r + 1 or better."""
    probes: int
    """Mated probes, those whose mate lies beyond rank R among them."""

    @property
    def rates(self) -> NDArray[np.float64]:
        """(R,) 0 to 1, rising."""
        return self.hits / self.probes

    def at(self, rank: int) -> float:
        """The rate at a rank, 1 to R; ValueError beyond."""
        return self._hits(rank) / self.probes

    def interval(self, rank: int) -> tuple[float, float]:
        """95 % Clopper-Pearson interval of `at`, the probes taken as independent."""
        return clopper_pearson(self._hits(rank), self.probes)

    def _hits(self, rank: int) -> int:
        if not 1 <= rank <= len(self.hits):
            raise ValueError(f"rank {rank}: the curve has ranks 1 to {len(self.hits)}")
        return int(self.hits[rank - 1])


def cmc(ranks: ArrayLike, most: int = 100) -> Cmc:
    """The CMC of (P,) integer ranks of the probes' mates, 1 is first, up to rank `most`.

    Raises:
        ValueError: no probe, a rank below 1, or not integers.

    >>> cmc([1, 3, 1, 7], most=3).rates.tolist()
    [0.5, 0.5, 0.75]
    """
    r = np.asarray(ranks)
    if r.ndim != 1 or len(r) == 0 or not np.issubdtype(r.dtype, np.integer) or r.min() < 1:
        raise ValueError("ranks: expected a list of one or more integers, each 1 or more")
    return Cmc(np.bincount(np.minimum(r, most + 1), minlength=most + 2)[1 : most + 1].cumsum(), len(r))


@dataclass(frozen=True, eq=False)
class OpenSet:
    """Detection and identification rate over thresholds (Grother and Ngan): the DIR curve.

    One point for each distinct score of a hit or a non-mated probe, from nothing accepted on. A score >=
    threshold passes.
    """

    thresholds: NDArray[np.float64]
    """(K,) falling, the first +inf."""
    false_positives: NDArray[np.int64]
    """(K,) non-mated probes whose best candidate passes, 0 first, all of them last."""
    true_positives: NDArray[np.int64]
    """(K,) mated probes whose best candidate is the mate and passes, 0 first."""
    nonmated: int
    mated: int

    @property
    def fpir(self) -> NDArray[np.float64]:
        """(K,) false positive identification rate, 0 to 1."""
        return self.false_positives / self.nonmated

    @property
    def tpir(self) -> NDArray[np.float64]:
        """(K,) true positive identification rate at rank 1 (the DIR), 0 to the rank-1 rate."""
        return self.true_positives / self.mated


def open_set(mated: ArrayLike, hit: ArrayLike, nonmated: ArrayLike) -> OpenSet:
    """The DIR curve.

    Args:
        mated: (M,) the best score of each probe that has a mate in the gallery.
        hit: (M,) bool, whether that best candidate is the mate.
        nonmated: (U,) the best score of each probe without a mate: only its highest score counts.

    Raises:
        ValueError: no mated or no non-mated probe, shapes that differ, or a score that is not finite.
    """
    m, h, u = np.asarray(mated, np.float64), np.asarray(hit), np.asarray(nonmated, np.float64)
    if m.ndim != 1 or u.ndim != 1 or h.shape != m.shape or h.dtype != np.bool_:
        raise ValueError(
            f"expected (M,) scores, (M,) bool and (U,) scores, got {m.shape}, {h.shape}, {u.shape}"
        )
    if len(m) == 0 or len(u) == 0:
        raise ValueError(f"{len(m)} mated and {len(u)} non-mated probes; need at least one of each")
    if not (np.isfinite(m).all() and np.isfinite(u).all()):
        raise ValueError("a score is NaN or infinite")
    scores = np.unique(np.concatenate([m[h], u]))[::-1]
    rising_hits, rising_nonmated = np.sort(m[h]), np.sort(u)
    passing = [len(x) - np.searchsorted(x, scores, side="left") for x in (rising_nonmated, rising_hits)]
    return OpenSet(
        thresholds=np.append(np.inf, scores),
        false_positives=np.append(0, passing[0]).astype(np.int64),
        true_positives=np.append(0, passing[1]).astype(np.int64),
        nonmated=len(u),
        mated=len(m),
    )


@dataclass(frozen=True)
class TpirAtFpir:
    """True positive identification rate at a false positive identification rate."""

    fpir_target: float
    tpir: float
    """0 to 1; NaN where it is not measurable."""
    threshold: float
    """A score >= this passes; NaN where not measurable, +inf where nothing may pass."""
    false_positives: int
    """Non-mated probes that pass."""
    interval: tuple[float, float]
    """95 % Clopper-Pearson interval, the threshold taken as given."""
    note: str
    """What to print beside the figure; empty where it is reliable."""


def read_tpir(curve: OpenSet, fpir: float) -> TpirAtFpir:
    """The largest TPIR whose FPIR does not exceed `fpir` (0 < fpir < 1).

    Below one permitted non-mated probe the figure is NaN; below ten it is given with a note.

    Raises:
        ValueError: `fpir` is not between 0 and 1.
    """
    if not 0 < fpir < 1:
        raise ValueError(f"fpir {fpir!r} must lie between 0 and 1, both excluded")
    allowed = round(fpir * curve.nonmated, 6)
    if allowed < 1:
        note = f"not measurable: {curve.nonmated:,} non-mated probes are fewer than 1/FPIR"
        return TpirAtFpir(fpir, nan, nan, 0, (nan, nan), note)
    point = int(np.searchsorted(curve.false_positives, allowed, side="right")) - 1
    hits = int(curve.true_positives[point])
    few = f"rests on too few: {allowed:g} non-mated probes may pass, fewer than 10" if allowed < 10 else ""
    return TpirAtFpir(
        fpir,
        hits / curve.mated,
        float(curve.thresholds[point]),
        int(curve.false_positives[point]),
        clopper_pearson(hits, curve.mated),
        few,
    )
