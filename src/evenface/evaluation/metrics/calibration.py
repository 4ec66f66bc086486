"""The threshold for a wanted false match rate, and how far it can be trusted.

FMR is the share of impostor pairs that pass (FAR), FNMR that of genuine pairs that do not (1 - TAR).
"""

from dataclasses import dataclass
from math import ceil, floor, isfinite, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from evenface.evaluation.metrics.tar import clopper_pearson

Interval = tuple[float, float]

REPLICATES = 500
"""Drawings of the people behind an interval by person."""
_SPARE = 100_000  # pairs beyond twice those that pass, so that hardly a drawing runs out of pairs


def squared_l2(cosine: float) -> float:
    """Squared distance of two unit vectors of this cosine: |a - b|^2 = 2 - 2 a.b, 0 to 4.

    >>> squared_l2(0.5)
    1.0
    """
    return 2 - 2 * cosine


def l2(cosine: float) -> float:
    """Distance of two unit vectors of this cosine, 0 to 2."""
    return sqrt(max(squared_l2(cosine), 0.0))


@dataclass(frozen=True)
class FmrThreshold:
    """A threshold on cosines for a wanted FMR. Its 95 % intervals take pairs as independent."""

    fmr_target: float
    threshold: float
    """The smallest score seen whose FMR does not exceed the target; a score >= this passes. NaN where the
    target is not measurable."""
    threshold_interval: Interval
    """Of the score that the wanted share of impostor pairs reaches; an end that no pair bounds is -1 or 1."""
    impostors: int
    impostors_passing: int
    fmr_interval: Interval
    """Of the FMR at `threshold`."""
    genuine: int
    genuine_rejected: int
    fnmr: float
    fnmr_interval: Interval
    """The threshold taken as given."""
    note: str
    """What to print beside it; empty where ten impostor pairs or more may pass."""

    @property
    def measurable(self) -> bool:
        """Whether there is a threshold."""
        return isfinite(self.threshold)


def threshold_at(
    impostor: ArrayLike, genuine: ArrayLike, fmr: float, impostors: int | None = None
) -> FmrThreshold:
    """The threshold on cosines for FMR `fmr` (0 < fmr < 1); it passes the pairs that `read_tar` passes.

    Of n impostor pairs k = floor(fmr n) may pass; below k = 1 the target is not measurable, below 10 the
    figures are given with a note. Let S(r) be the r-th highest impostor score.

    - Threshold: the smallest of all scores above S(k+1). Its interval is of the quantile t that impostor
      scores reach with probability fmr. How many of n do is binomial (n, fmr), so S(a) < t is as likely as
      a binomial below a, and S(b) > t no likelier than one of b or more. [S(b), S(a)] with each at most
      2.5 % holds t whatever the distribution (David and Nagaraja, Order Statistics, 3rd ed. 2003, chapter 7).
    - FMR. The threshold was chosen on these pairs and lies between S(k+1) and S(k). The true FMR of S(r) as
      threshold has a Beta(r, n-r+1) distribution (same chapter), and the ends of the Clopper-Pearson interval
      of k of n are quantiles of Beta(k, n-k+1) and Beta(k+1, n-k): it holds for a threshold so chosen too.

    Args:
        impostor: (P,) scores of all impostor pairs, or the highest of them.
        genuine: (G,) scores of all genuine pairs.
        fmr: the target.
        impostors: n, where `impostor` has the highest only.

    Raises:
        ValueError: `fmr` is not between 0 and 1, a score is not finite, or a kind of pair is absent.
    """
    if not 0 < fmr < 1:
        raise ValueError(f"fmr {fmr!r} must lie between 0 and 1, both excluded")
    falling, mates = -np.sort(-np.asarray(impostor, np.float64)), np.asarray(genuine, np.float64)
    n = len(falling) if impostors is None else impostors
    if not (len(falling) and len(mates) and np.isfinite(falling).all() and np.isfinite(mates).all()):
        raise ValueError("expected finite scores of both impostor and genuine pairs")
    allowed = round(fmr * n, 6)  # without the product's last bits, so that 0.1 of 30 pairs is 3
    a, b = int(binom.ppf(0.025, n, fmr)), int(binom.ppf(0.975, n, fmr)) + 1
    excluded = falling[floor(allowed)] if allowed < len(falling) else nan
    above = np.concatenate([falling[falling > excluded], mates[mates > excluded]])
    if allowed < 1:
        note = f"not measurable: {n:,} impostor pairs are fewer than 1/FMR"
    elif min(b, n) > len(falling):
        note = (
            f"not measured: {allowed:,.0f} impostor pairs may pass, and {len(falling):,} scores are at hand"
        )
    elif len(above) == 0:
        note = f"not measurable: the highest score is that of more than {allowed:g} impostor pairs"
    else:
        threshold = float(above.min())
        passing, rejected = int((falling >= threshold).sum()), int((mates < threshold).sum())
        few = f"rests on too few: {allowed:g} impostor pairs may pass, fewer than 10"
        return FmrThreshold(
            fmr_target=fmr,
            threshold=threshold,
            threshold_interval=(
                float(falling[b - 1]) if b <= n else -1.0,
                float(falling[a - 1]) if a >= 1 else 1.0,
            ),
            impostors=n,
            impostors_passing=passing,
            fmr_interval=clopper_pearson(passing, n),
            genuine=len(mates),
            genuine_rejected=rejected,
            fnmr=rejected / len(mates),
            fnmr_interval=clopper_pearson(rejected, len(mates)),
            note=few if allowed < 10 else "",
        )
    none = (nan, nan)
    return FmrThreshold(fmr, nan, none, n, 0, none, len(mates), len(mates), nan, none, note)


@dataclass(frozen=True, eq=False)
class PeoplesScores:
    """The scores of a set's pairs and whose they are; its C people are numbered from 0."""

    scores: NDArray[np.float64]
    """(P,) of the highest impostor pairs, falling."""
    people: NDArray[np.int64]
    """(P, 2) the two people of each."""
    images: NDArray[np.int64] | None
    """(C,) pictures of each person, where all pairs were compared; None: the P pairs are all there are."""
    genuine: NDArray[np.float64]
    """(G,) of all genuine pairs."""
    genuine_people: NDArray[np.int64]
    """(G,) the person of each."""

    @property
    def impostors(self) -> int:
        """How many impostor pairs there are, the lower ones among them."""
        return len(self.scores) if self.images is None else _between(self.images)


@dataclass(frozen=True)
class ByPerson:
    """95 % intervals over people: what other people could have given. NaN where no drawing differs."""

    threshold: Interval
    """An end that no pair bounds is -1 or 1."""
    fmr: Interval
    """At the threshold given."""
    fnmr: Interval
    """At the threshold given."""


def pairs_wanted(passing: int) -> int:
    """How many of the highest impostor pairs `by_person` looks at, where this many may pass."""
    return 2 * passing + _SPARE


def by_person(
    pairs: PeoplesScores, fmr: float, threshold: float, *, replicates: int = REPLICATES, seed: int = 0
) -> ByPerson:
    """Percentile intervals over people drawn with replacement, as many as there are.

    Pairs that share a person are not independent, and of all pairs of a set nearly each shares one with
    thousands. It is the bootstrap of `bootstrap_by_person`, made for more pairs than can be listed: a genuine
    pair counts as often as its person is drawn, an impostor pair by the product of its two people's counts.

    Args:
        pairs: of the impostor pairs all, or the highest: at least `pairs_wanted` of those that pass.
        fmr: the wanted FMR.
        threshold: the threshold whose FMR and FNMR are wanted.
        replicates: how many drawings.
        seed: of the drawings.
    """
    rng = np.random.default_rng(seed)
    count = 1 + int(max(pairs.people.max(), pairs.genuine_people.max()))
    scores = pairs.scores
    if pairs.images is not None:  # the lower ones need not be looked at
        count, wanted = len(pairs.images), pairs_wanted(int((scores >= threshold).sum()))
        scores = scores[scores >= scores[min(wanted, len(scores)) - 1]]
    first, second = pairs.people[: len(scores)].T
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # ties pass together
    scores = scores[ends]
    passing = int((scores >= threshold).sum())  # of the distinct scores
    all_genuine = np.bincount(pairs.genuine_people, minlength=count)
    failing = np.bincount(pairs.genuine_people[pairs.genuine < threshold], minlength=count)
    found: list[tuple[float, float, float]] = []
    while len(found) < replicates:
        weight = np.bincount(rng.integers(count, size=count), minlength=count)
        reached = np.cumsum(weight[first] * weight[second])[ends]
        total = int(reached[-1]) if pairs.images is None else _between(weight * pairs.images)
        genuine = int(weight @ all_genuine)
        if total and genuine:  # else it says nothing, and is drawn again
            match = reached[passing - 1] / total if passing else 0.0
            miss = int(weight @ failing) / genuine
            found.append((_weighted_threshold(scores, reached, fmr * total), match, miss))
    return ByPerson(*(_middle(values) for values in np.array(found).T))


def _between(images: NDArray[np.int64]) -> int:
    """Pairs of two people's pictures, of people with (C,) pictures each."""
    return (int(images.sum()) ** 2 - int((images**2).sum())) // 2


def _weighted_threshold(scores: NDArray[np.float64], reached: NDArray[np.int64], allowed: float) -> float:
    """The lowest of a drawing's (P,) falling scores that its impostor pairs do not reach too often."""
    over = int(np.searchsorted(reached, round(allowed, 6), side="right"))
    if over == len(reached):
        return -1.0  # the list of the highest ends too early to say
    passing = reached[over - 1] if over else 0
    return float(scores[np.searchsorted(reached, passing)]) if passing else 1.0


def _middle(values: NDArray[np.float64]) -> Interval:
    ranked, last = np.sort(values), len(values) - 1
    if ranked[0] == ranked[-1]:
        return nan, nan
    return float(ranked[floor(0.025 * last)]), float(ranked[ceil(0.975 * last)])
