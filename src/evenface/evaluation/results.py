"""What a measurement found: every protocol returns the same thing, so every report reads one thing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, log10, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.evaluation.metrics.identification import Cmc, OpenSet
from evenface.evaluation.metrics.roc import Roc


@dataclass(frozen=True)
class Rate:
    """One figure, 0 to 1, and how far it can be trusted."""

    key: str
    """For programs: `accuracy`, `eer`, `tar@far=1e-4`, `rank1`, `tpir@fpir=1e-2`, `rank1@distractors=1e6`."""
    label: str
    """For people: "TAR at FAR 1e-4"."""
    value: float
    """0 to 1; NaN where it is not measurable."""
    deviation: float | None = None
    """Population standard deviation over folds, splits or sets of distractors."""
    interval: tuple[float, float] | None = None
    """95 %."""
    threshold: float = nan
    """A score >= this passes; NaN where no one threshold belongs to the figure, or it is not measurable."""
    note: str = ""
    """What to print beside it, such as "rests on too few"; empty where nothing is to be said."""

    def __str__(self) -> str:
        if not isfinite(self.value):
            return f"{self.label}: {self.note or 'not measurable'}"
        text = f"{self.label}: {100 * self.value:.2f}"
        if self.deviation is not None:
            text += f" ± {100 * self.deviation:.2f}"
        text += " %"
        if self.interval is not None and isfinite(self.interval[0]):
            text += f" (95 %: {100 * self.interval[0]:.2f} to {100 * self.interval[1]:.2f})"
        return text + (f"  * {self.note}" if self.note else "")


def power(value: float) -> str:
    """A rate as `1e-4` where it is a power of ten, otherwise as `0.05`."""
    exponent = log10(value)
    return f"1e{exponent:.0f}" if abs(exponent - round(exponent)) < 1e-9 else f"{value:g}"


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often scores fall between -1 and 1."""

    genuine: NDArray[np.int64]
    """(B,) counts in B bins of equal width over [-1, 1]."""
    impostor: NDArray[np.int64]
    """(B,)."""


@dataclass(frozen=True)
class HardPair:
    """A genuine pair with a low score or an impostor pair with a high one."""

    same: bool
    score: float
    first: int
    """A picture to show, by its place in the benchmark's `images`."""
    second: int
    names: tuple[str, str]
    """What to write under the two, such as the pictures' names."""


@dataclass(frozen=True, eq=False)
class PairScores:
    """The scores of a pair list, by which two models are compared pair by pair."""

    scores: NDArray[np.float64]
    """(P,)."""
    same: NDArray[np.bool_]
    """(P,)."""
    people: NDArray[np.int64] | None
    """(P, 2) the two people of each pair, for intervals by person; None where nobody says who they are."""
    thresholds: NDArray[np.float64] | None = None
    """(P,) the threshold of each pair's fold; None without folds."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """One protocol's figures for one model, and what they rest on."""

    protocol: str
    """As printed: "LFW", "IJB-B 1:1"."""
    rates: tuple[Rate, ...]
    """The one that papers quote first."""
    counts: Mapping[str, int]
    """What there was, in words: {"genuine pairs": 3000, "impostor pairs": 3000}."""
    conventions: Mapping[str, str]
    """All else that changes a number, in words: crop, threshold rule, deviation, TAR reading, pooling."""
    sha256: str
    """Of the protocol's lists, annotations and landmarks."""
    pictures: str = ""
    """SHA-256 of the pictures that were embedded; empty where only embeddings were given."""
    model: str = ""
    roc: Roc | None = None
    cmc: Cmc | None = None
    open_set: OpenSet | None = None
    histogram: Histogram | None = None
    hardest: tuple[HardPair, ...] = ()
    pairs: PairScores | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else the JSON should have, as plain JSON types."""

    def __getitem__(self, key: str) -> Rate:
        """The rate of that key; KeyError where there is none."""
        for rate in self.rates:
            if rate.key == key:
                return rate
        raise KeyError(key)

    def __contains__(self, key: str) -> bool:
        return any(rate.key == key for rate in self.rates)

    @property
    def rests_on(self) -> str:
        """The conventions that a reader asks for first, and the digests, in a few words."""
        says = [
            self.conventions[name]
            for name in ("folds", "dealing", "format", "flip", "frames", "pooling", "noise", "crop")
            if name in self.conventions
        ]
        sums = [f"set sha256 {self.sha256[:12]}…"]
        if self.pictures:
            sums.append(f"pictures {self.pictures[:12]}…")
        return "; ".join([*says, *sums])

    @property
    def headline(self) -> str:
        """The first rate and what it rests on, in one line."""
        return f"{self.protocol} {self.rates[0]} ({self.rests_on})"

    def summary(self) -> str:
        """The first rate, what it rests on, what there was, and the other rates, a line each."""
        counts = ", ".join(f"{count:,} {what}" for what, count in self.counts.items())
        lines = [self.rests_on, counts, *map(str, self.rates[1:])]
        return "\n  ".join([f"{self.protocol} {self.rates[0]}", *lines])

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """All but curves and single scores, as plain JSON types; what is not measurable is None."""
        return {
            "protocol": self.protocol,
            "model": self.model,
            "rates": {
                rate.key: {
                    "label": rate.label,
                    "value": _number(rate.value),
                    "deviation": _number(rate.deviation),
                    "interval": None if rate.interval is None else [_number(x) for x in rate.interval],
                    "threshold": _number(rate.threshold),
                    "note": rate.note,
                }
                for rate in self.rates
            },
            "counts": dict(self.counts),
            "conventions": dict(self.conventions),
            "sha256": self.sha256,
            "pictures_sha256": self.pictures or None,
            **self.more,
        }

    def curves(self, points: int = 1000) -> dict[str, Any]:
        """ROC, CMC and DIR curve, those there are, as plain JSON types: counts, at about `points` points."""
        found: dict[str, Any] = {}
        if self.roc is not None:
            roc = self.roc.thin(points)
            found["roc"] = {
                "thresholds": [_number(value) for value in roc.thresholds],
                "false_accepts": roc.false_accepts.tolist(),
                "true_accepts": roc.true_accepts.tolist(),
            }
        if self.cmc is not None:
            found["cmc"] = {"probes": self.cmc.probes, "hits": self.cmc.hits.tolist()}
        if self.open_set is not None:
            curve = self.open_set
            thin = Roc(curve.thresholds, curve.false_positives, curve.true_positives).thin(points)
            found["dir"] = {
                "mated": curve.mated,
                "nonmated": curve.nonmated,
                "thresholds": [_number(value) for value in thin.thresholds],
                "false_positives": thin.false_accepts.tolist(),
                "true_positives": thin.true_accepts.tolist(),
            }
        return found


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and isfinite(value) else None
