"""One model on one set of pairs: the numbers, and what they rest on."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.evaluation.embed import Embedder, Flip, Image, Progress, embed
from evenface.evaluation.metrics import (
    FoldAccuracy,
    Reading,
    TarAtFar,
    accuracy_by_fold,
    auc,
    eer,
    read_tar,
    roc,
)
from evenface.evaluation.metrics.folds import THRESHOLD_RULE
from evenface.evaluation.people import unit_rows
from evenface.evaluation.protocols import PairSet

FARS = (1e-1, 1e-2, 1e-3)
"""The FARs at which pair sets are read."""


@dataclass(frozen=True, eq=False)
class VerificationResult:
    """What `evaluate_pairs` found. Rates are 0 to 1."""

    protocol: str
    """Name of the pair set."""
    embedder: str
    """Name of the model."""
    folds: FoldAccuracy
    auc: float
    eer: float
    tar: tuple[TarAtFar, ...]
    """At each of `FARS`."""
    conventions: dict[str, str]
    """All that changes a number, in words: format, flip, crop, threshold rule, deviation, TAR reading."""
    sha256: str
    """Of the pair set."""
    scores: NDArray[np.float64]
    """(P,) cosines, for plots."""
    same: NDArray[np.bool_]
    """(P,)."""

    def to_json(self) -> dict[str, Any]:
        """All but the single scores, as plain JSON types; what is not measurable or infinite is None."""
        return {
            "protocol": self.protocol,
            "embedder": self.embedder,
            "pairs": len(self.same),
            "genuine": int(self.same.sum()),
            "impostor": int((~self.same).sum()),
            "accuracy": self.folds.mean,
            "accuracy_deviation": self.folds.deviation,
            "accuracy_standard_error": self.folds.standard_error,
            "accuracies": self.folds.accuracies.tolist(),
            "thresholds": [_number(value) for value in self.folds.thresholds],
            "auc": self.auc,
            "eer": self.eer,
            "tar_at_far": [
                {
                    "far": at.far_target,
                    "tar": _number(at.tar),
                    "interval": [_number(value) for value in at.interval],
                    "threshold": _number(at.threshold),
                    "impostors_passing": at.impostors_passing,
                    "measurable": at.measurable,
                    "reliable": at.reliable,
                    "note": at.note,
                }
                for at in self.tar
            ],
            "conventions": dict(self.conventions),
            "sha256": self.sha256,
        }

    @property
    def headline(self) -> str:
        """Accuracy and what it rests on, in one line."""
        says = self.conventions
        return (
            f"{self.protocol} {100 * self.folds.mean:.2f} ± {100 * self.folds.deviation:.2f} % "
            f"({len(self.folds.accuracies)} folds, {says['deviation']}; "
            f"{says['format']}, {says['flip']}, {says['crop']}; set sha256 {self.sha256[:12]}…)"
        )

    def summary(self) -> str:
        """The headline, then AUC, EER, and TAR at each FAR with a mark where it rests on too few pairs."""
        lines = [
            self.headline,
            f"  AUC {100 * self.auc:.2f} %, EER {100 * self.eer:.2f} %, "
            f"{self.same.sum():,} genuine and {(~self.same).sum():,} impostor pairs",
        ]
        for at in self.tar:
            if not at.measurable:
                lines.append(f"  TAR at FAR {at.far_target:g}: {at.note}")
                continue
            low, high = (100 * value for value in at.interval)
            mark = f"  * {at.note}" if at.note else ""
            lines.append(
                f"  TAR at FAR {at.far_target:g}: {100 * at.tar:.2f} % (95 %: {low:.2f} to {high:.2f}){mark}"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def evaluate_pairs(
    embedder: Embedder,
    pairs: PairSet,
    flip: Flip = "none",
    reading: Reading = "conservative",
    *,
    batch_size: int = 128,
    workers: int = 2,
    progress: Progress | None = None,
) -> VerificationResult:
    """Cosine of the embeddings of each pair, and every number that is read off them.

    Each picture is embedded once. `reading` is `tar_at_far`'s; `batch_size`, `workers` and `progress` are
    `embed`'s.

    Raises:
        UserError: as `embed`, naming the picture.
    """
    unit = unit_rows(
        embed(
            embedder,
            _Crops(pairs),
            flip,
            batch_size=batch_size,
            workers=workers,
            names=pairs.images,
            progress=progress,
        )
    )
    scores = np.einsum("nd,nd->n", unit[pairs.first], unit[pairs.second], dtype=np.float64)
    curve = roc(scores, pairs.same)
    return VerificationResult(
        protocol=pairs.name,
        embedder=embedder.name,
        folds=accuracy_by_fold(scores, pairs.same, pairs.fold),
        auc=auc(scores, pairs.same),
        eer=eer(scores, pairs.same),
        tar=tuple(read_tar(curve, far, reading) for far in FARS),
        conventions={
            "format": str(embedder.format),
            "flip": "no flip" if flip == "none" else f"{flip} flip",
            **pairs.conventions,
            "score": "cosine",
            "threshold": THRESHOLD_RULE,
            "deviation": "population sd",
            "tar_reading": reading,
        },
        sha256=pairs.sha256,
        scores=scores,
        same=pairs.same,
    )


class _Crops:
    """A pair set's pictures as `embed` reads them."""

    def __init__(self, pairs: PairSet):
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs.images)

    def __getitem__(self, index: int) -> Image:
        return self.pairs.load(index)


def _number(value: float) -> float | None:
    return float(value) if isfinite(value) else None
