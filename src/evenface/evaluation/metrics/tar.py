"""TAR at a FAR, with what the figure rests on."""

from dataclasses import dataclass
from math import nan
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from evenface.evaluation.metrics.roc import Roc, roc

Reading = Literal["conservative", "nearest", "interpolated"]
"""How a stepped ROC is read at a FAR between its steps.

- conservative: the largest TAR whose FAR does not exceed the target.
- nearest: the largest TAR at the FAR nearest to the target; of two equally near, the smaller FAR. ArcFace's
  IJB script reads this way, but off a ROC without the points inside its straight stretches, so it may come
  to a few genuine pairs more or less.
- interpolated: on the straight line between the two points around the target.
"""


@dataclass(frozen=True)
class TarAtFar:
    """True accept rate at a false accept rate, and how far it can be trusted."""

    far_target: float
    reading: Reading
    tar: float
    """0 to 1; NaN where it is not measurable."""
    threshold: float
    """A score >= this passes; NaN for "interpolated", which no threshold gives, and where not measurable."""
    impostors: int
    impostors_passing: int
    """Impostor pairs that pass at the point read; for "interpolated" at the point just below the target."""
    genuine: int
    interval: tuple[float, float]
    """95 % Clopper-Pearson interval of `tar`, the threshold taken as given; NaN where not measurable."""

    @property
    def impostors_allowed(self) -> float:
        """FAR x impostor pairs: how many may pass."""
        return _allowed(self.far_target, self.impostors)

    @property
    def measurable(self) -> bool:
        """Whether at least one impostor pair may pass."""
        return self.impostors_allowed >= 1

    @property
    def reliable(self) -> bool:
        """Whether at least ten impostor pairs may pass."""
        return self.impostors_allowed >= 10

    @property
    def note(self) -> str:
        """What to print beside the figure; empty where it is reliable."""
        if not self.measurable:
            return f"not measurable: {self.impostors:,} impostor pairs are fewer than 1/FAR"
        if not self.reliable:
            return f"rests on too few: {self.impostors_allowed:g} impostor pairs may pass, fewer than 10"
        return ""


def tar_at_far(scores: ArrayLike, same: ArrayLike, far: float, reading: Reading = "conservative") -> TarAtFar:
    """TAR at FAR `far` (0 < far < 1) of (N,) scores with (N,) bool `same`; tied scores pass together.

    Below one permitted impostor pair the figure is NaN and `measurable` False; below ten it is given and
    `reliable` False.

    Raises:
        ValueError: `far` or `reading` is not allowed, and as `roc` does.
    """
    return read_tar(roc(scores, same), far, reading)


def read_tar(curve: Roc, far: float, reading: Reading = "conservative") -> TarAtFar:
    """`tar_at_far` of a ROC at hand, which saves sorting the scores again for each FAR."""
    if reading not in get_args(Reading):
        raise ValueError(f"reading {reading!r} is none of {', '.join(get_args(Reading))}")
    allowed = _allowed(far, curve.impostors)
    if allowed < 1:
        return TarAtFar(far, reading, nan, nan, curve.impostors, 0, curve.genuine, (nan, nan))

    # Of the points that let the same impostors pass, the last has the largest TAR.
    best = np.flatnonzero(np.diff(curve.false_accepts, append=curve.impostors + 1))
    false, true = curve.false_accepts[best], curve.true_accepts[best]
    point = int(np.searchsorted(false, allowed, side="right")) - 1
    if (
        reading == "nearest"
        and point + 1 < len(false)
        and false[point + 1] - allowed < allowed - false[point]
    ):
        point += 1
    passing, threshold = float(true[point]), float(curve.thresholds[best[point]])
    if reading == "interpolated":
        passing, threshold = float(np.interp(allowed, false, true)), nan
    return TarAtFar(
        far_target=far,
        reading=reading,
        tar=passing / curve.genuine,
        threshold=threshold,
        impostors=curve.impostors,
        impostors_passing=int(false[point]),
        genuine=curve.genuine,
        interval=clopper_pearson(passing, curve.genuine),
    )


def largest_tar(curve: Roc, far: float) -> float:
    """The largest TAR whose FAR does not exceed `far`, 0 to 1, on however few impostor pairs it rests.

    It is the conservative reading of `read_tar` without the interval and the judgement, for curves that are
    read by the thousand. Raises ValueError where `far` does not lie between 0 and 1.
    """
    allowed = _allowed(far, curve.impostors)
    point = int(np.searchsorted(curve.false_accepts, allowed, side="right")) - 1
    return int(curve.true_accepts[point]) / curve.genuine


def _allowed(far: float, impostors: int) -> float:
    """FAR x pairs without the last bits of the product, so that 0.1 of 30 pairs is 3."""
    if not 0 < far < 1:
        raise ValueError(f"far {far!r} must lie between 0 and 1, both excluded")
    return round(far * impostors, 6)


def clopper_pearson(successes: float, trials: int) -> tuple[float, float]:
    """Exact 95 % interval of a proportion (Clopper and Pearson, Biometrika 1934)."""
    low = float(beta.ppf(0.025, successes, trials - successes + 1)) if successes > 0 else 0.0
    high = float(beta.ppf(0.975, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high
