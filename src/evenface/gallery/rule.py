"""The rule by which two pictures are one person's: a calibrated threshold, or one's own."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.errors import UserError
from evenface.evaluation.embed import Flip
from evenface.evaluation.metrics.calibration import Interval
from evenface.evaluation.results import power
from evenface.gallery.calibration import read_calibration


def rounded(cosine: ArrayLike) -> NDArray[np.float64]:
    """Cosines to six decimals, within [-1, 1]: what float32 rounding leaves beyond that decides nothing.

    So a picture has the cosine 1 with itself, and copies of pairs have one score.
    """
    return np.clip(np.round(np.asarray(cosine, np.float64), 6), -1, 1)


@dataclass(frozen=True)
class Rule:
    """A cosine of `threshold` or more is the same person."""

    threshold: float
    interval: Interval | None
    """95 % of the threshold; None where nobody calibrated it."""
    flip: Flip
    """The mirror image's part in an embedding."""
    size: str
    """HEIGHTxWIDTH of the pictures it holds for, or "several sizes"."""
    words: str
    """Where the threshold comes from, in lines that begin with two spaces."""

    def decision(self, cosine: float) -> str:
        """In words."""
        words = "the same person" if cosine >= self.threshold else "different people"
        return f"{words}, but {self.doubt(cosine)}" if self.doubt(cosine) else words

    def doubt(self, cosine: float) -> str:
        """In words, if a cosine is as near to the threshold as this is known; else empty."""
        if self.interval is None or not self.interval[0] <= cosine <= self.interval[1]:
            return ""
        return "within the threshold's 95 % interval: too close to rely on"

    def warning(self, picture: Path, height: int, width: int) -> str | None:
        """A sentence, if a picture is of another size than the calibration's."""
        size = f"{height}x{width}"
        if self.size in (size, "several sizes"):
            return None
        return (
            f"{picture} is {size} pixels, not {self.size}: unless it is aligned as the pictures that the "
            "threshold is for, the answer means nothing"
        )


def read_rule(
    run: Path, fmr: float | None = None, threshold: float | None = None, flip: Flip | None = None
) -> Rule:
    """The rule of a calibrated run, or the one that a `threshold` of one's own makes.

    Args:
        run: its folder.
        fmr: the false match rate, one of those calibrated; None is 1e-3.
        threshold: a cosine, -1 to 1, in place of a calibrated one.
        flip: with `threshold`, the mirror image's part in an embedding; None is sum.

    Raises:
        UserError: the run is not calibrated, not for this FMR; or the words contradict one another.
    """
    if threshold is not None:
        if fmr is not None:
            raise UserError("--fmr, --threshold: each says which threshold; give one of them")
        if not -1 <= threshold <= 1:
            raise UserError(f"--threshold: {threshold:g} is no cosine; use -1 to 1, such as 0.35")
        words = "  it is the one given; what FMR it has, `evenface calibrate` finds out"
        return Rule(threshold, None, flip or "sum", "112x112", words)
    if flip is not None:
        raise UserError("--flip: goes with --threshold; a calibrated threshold has its own flip")
    found = read_calibration(run)
    at, people = found.at(1e-3 if fmr is None else fmr)
    interval, of = at.threshold_interval, "pairs as independent"
    if people and isfinite(people.threshold[0]):
        interval, of = people.threshold, "by person"
    low, high = interval
    words = (
        f"  for FMR {power(at.fmr_target)} on {found.set}, {found.date[:10]}\n"
        f"  {at.impostors_passing:,} of {at.impostors:,} impostor pairs pass; "
        f"95 % interval, {of}: {low:.4f} to {high:.4f}; FNMR {100 * at.fnmr:.2f} %"
    )
    if at.note:
        words += f"\n  * {at.note}"
    return Rule(at.threshold, interval, found.flip, found.picture_size, words)
