"""A list of labelled pairs in folds, of pictures or of videos: LFW, CFP, YTF and their kin."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.benchmark import Embeddings
from evenface.evaluation.images import Image, ImageSet, digest
from evenface.evaluation.metrics import (
    FoldAccuracy,
    Reading,
    Roc,
    accuracy_by_fold,
    read_auc,
    read_eer,
    read_tar,
    roc,
)
from evenface.evaluation.metrics.folds import THRESHOLD_RULE
from evenface.evaluation.results import HardPair, Histogram, PairScores, Rate, Result, power
from evenface.evaluation.templates import means, unit_rows

FARS = (1e-1, 1e-2, 1e-3)
"""The FARs at which pair lists are read."""
HARDEST = 12
"""Hardest genuine and hardest impostor pairs that a result names."""
FOLDS = 10
"""Folds of LFW and of the protocols after its model."""
BINS = 200
"""Of a result's histogram of scores."""
_BLOCK = 1 << 16  # pairs at once


@dataclass(frozen=True, eq=False)
class PairSet:
    """P pairs among V items. An item is a picture, or a video: several pictures, pooled."""

    name: str
    """As printed, such as "LFW"."""
    images: ImageSet
    """The M pictures."""
    first: NDArray[np.int64]
    """(P,) items."""
    second: NDArray[np.int64]
    """(P,) items."""
    same: NDArray[np.bool_]
    """(P,) whether both show one person."""
    fold: NDArray[np.int64]
    """(P,) 0-based number of the fold."""
    conventions: dict[str, str]
    """What else decides the numbers, in words: the crop rule, how many frames."""
    sources: Sequence[Path]
    """Every file other than the pictures that decides a pair or a crop."""
    people: NDArray[np.int64] | None = None
    """(V,) the person of each item; None where the set does not say."""
    item: NDArray[np.int64] | None = None
    """(M,) the item of each picture; None: each picture is an item."""

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.same)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of `sources`: of each the file name, the size and the bytes."""
        return digest(self.sources)

    def score(self, embeddings: Embeddings, reading: Reading = "conservative") -> list[Result]:
        """Cosine of each pair, and every number that is read off them.

        A video's embedding is the mean of its pictures' normalised embeddings.

        Raises:
            UserError: as `Benchmark.score`.
        """
        if len(embeddings) != len(self.images):
            raise UserError(f"{self.name}: {len(embeddings)} embeddings for {len(self.images)} pictures")
        unit = unit_rows(embeddings, self.images.names)
        if self.item is not None:
            unit = unit_rows(means(unit, self.item, int(self.item.max()) + 1))
        scores = _cosines(unit, self.first, self.second)
        curve = roc(scores, self.same)
        folds = accuracy_by_fold(scores, self.same, self.fold) if self.fold.any() else None
        rates = [] if folds is None else [_accuracy(folds)]
        rates += [Rate("auc", "AUC", read_auc(curve)), Rate("eer", "EER", read_eer(curve))]
        rates += [tar_rate(curve, far, reading) for far in FARS]
        said = {"score": "cosine", "tar_reading": reading}
        if folds is not None:
            count = f"{len(folds.accuracies)} folds, population sd"
            said |= {"folds": count, "threshold": THRESHOLD_RULE}
        people = None
        if self.people is not None:
            people = np.stack([self.people[self.first], self.people[self.second]], axis=1)
        return [
            Result(
                protocol=self.name,
                rates=tuple(rates),
                counts={
                    "genuine pairs": curve.genuine,
                    "impostor pairs": curve.impostors,
                    "pictures": len(self.images),
                    **({} if self.item is None else {"videos": int(self.item.max()) + 1}),
                },
                conventions={**self.conventions, **said},
                sha256=self.sha256,
                roc=curve,
                histogram=histogram(scores, self.same),
                hardest=self._hardest(scores),
                pairs=PairScores(scores, self.same, people, self._thresholds(folds)),
                more={} if folds is None else _by_fold(folds),
            )
        ]

    def _thresholds(self, folds: FoldAccuracy | None) -> NDArray[np.float64] | None:
        """(P,) of each pair's fold; None without folds, or where their sizes differ by more than 2.

        The share of all pairs decided rightly is then not the mean over folds, which is the accuracy.
        """
        if folds is None:
            return None
        _, fold, sizes = np.unique(self.fold, return_inverse=True, return_counts=True)
        return None if np.ptp(sizes) > 2 else folds.thresholds[fold]

    def _hardest(self, scores: NDArray[np.float64]) -> tuple[HardPair, ...]:
        shown = np.arange(len(self.images))
        if self.item is not None:  # a video shows its first picture
            shown = np.unique(self.item, return_index=True)[1]
        genuine, impostor = np.flatnonzero(self.same), np.flatnonzero(~self.same)
        worst = [
            *genuine[np.argsort(scores[genuine], kind="stable")[:HARDEST]],
            *impostor[np.argsort(-scores[impostor], kind="stable")[:HARDEST]],
        ]
        pairs = []
        for p in worst:
            a, b = (int(shown[items[p]]) for items in (self.first, self.second))
            names = (self.images.names[a], self.images.names[b])
            pairs.append(HardPair(bool(self.same[p]), float(scores[p]), a, b, names))
        return tuple(pairs)


def _cosines(
    unit: NDArray[np.floating[Any]], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(P,) of the rows (V, D) at `first` and `second`, a block of pairs at a time: lists have millions."""
    scores = np.empty(len(first))
    for start in range(0, len(first), _BLOCK):
        block = slice(start, start + _BLOCK)
        scores[block] = np.einsum("nd,nd->n", unit[first[block]], unit[second[block]], dtype=np.float64)
    return scores


def tar_rate(curve: Roc, far: float, reading: Reading = "conservative") -> Rate:
    """`read_tar` as a `Rate`."""
    at = read_tar(curve, far, reading)
    key = power(far)
    return Rate(
        f"tar@far={key}",
        f"TAR at FAR {key}",
        at.tar,
        interval=at.interval,
        threshold=at.threshold,
        note=at.note,
    )


def histogram(scores: NDArray[np.floating[Any]], same: NDArray[np.bool_]) -> Histogram:
    """Counts of (P,) cosines by kind, in BINS bins over [-1, 1]."""
    places = np.clip((scores + 1) * (BINS / 2), 0, BINS - 1).astype(np.int64)
    return Histogram(*(np.bincount(places[kind], minlength=BINS) for kind in (same, ~same)))


def _accuracy(folds: FoldAccuracy) -> Rate:
    return Rate("accuracy", "accuracy", folds.mean, deviation=folds.deviation)


def _by_fold(folds: FoldAccuracy) -> dict[str, Any]:
    thresholds = [float(value) if isfinite(value) else None for value in folds.thresholds]
    return {
        "folds": {
            "accuracies": folds.accuracies.tolist(),
            "thresholds": thresholds,
            "standard_error": folds.standard_error,
        }
    }


class PairList:
    """Collects pairs of pictures line by line; a picture that occurs again keeps its index.

    Args:
        root: what the pictures' names are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index: dict[str, int] = {}
        self.people: list[str] = []
        self.rows: list[tuple[int, int, bool, int]] = []

    def add(self, first: tuple[str, str], second: tuple[str, str], same: bool, fold: int) -> None:
        """One more pair of pictures, each (name below the root, person; "" where nobody says who)."""
        self.rows.append((self._place(*first), self._place(*second), same, fold))

    def _place(self, name: str, person: str) -> int:
        if name not in self.index:
            self.index[name] = len(self.index)
            self.people.append(person)
        return self.index[name]

    def build(
        self,
        name: str,
        load: Callable[[Path], Image],
        conventions: dict[str, str],
        sources: Sequence[Path],
        landmarks: Sequence[Path] = (),
    ) -> PairSet:
        """The set of these pairs.

        Args:
            name: as printed.
            load: makes the aligned crop of a picture's path.
            conventions: as `PairSet`'s.
            sources: the files that decide the pairs.
            landmarks: the files that decide the crops.
        """
        names = list(self.index)
        table = np.array(self.rows, dtype=np.int64)
        return PairSet(
            name=name,
            images=ImageSet(self.root, names, lambda i: load(self.root / names[i]), landmarks=landmarks),
            first=table[:, 0],
            second=table[:, 1],
            same=table[:, 2].astype(np.bool_),
            fold=table[:, 3],
            conventions=conventions,
            sources=[*sources, *landmarks],
            people=np.unique(self.people, return_inverse=True)[1] if all(self.people) else None,
        )


def check_kinds(source: Path, same: NDArray[np.bool_], fold: NDArray[np.int64]) -> None:
    """Raise UserError unless there are pairs of both kinds, whichever of several folds is left out."""
    if same.all() or not same.any():
        kind = "genuine" if len(same) and same.all() else "impostor"
        raise UserError(f"{source}: has {kind} pairs only; a rate needs pairs of both kinds")
    for number in np.unique(fold) if fold.any() else ():
        rest = same[fold != number]
        if rest.all() or not rest.any():
            raise UserError(
                f"{source}: without its fold {number + 1} there are pairs of one kind only, "
                "so no threshold can be chosen for it; give each fold pairs of both kinds"
            )


def template_crop(image: Image, name: object) -> Image:
    """`image` as it is, for sets that are aligned already; UserError with its `name` unless it is 112x112."""
    if image.shape[:2] != (112, 112):
        raise UserError(
            f"{name}: is {image.shape[1]}x{image.shape[0]} pixels, not a 112x112 crop on the template; "
            "align the pictures first"
        )
    return image


def read_lines(path: Path) -> list[str]:
    """Lines of a protocol's text file, without line ends (LF or CRLF) and without empty lines at the end.

    Raises:
        UserError: the file is missing, unreadable, not text, or empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; the protocol needs this file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8; fetch the protocol file again") from None
    if not lines:
        raise UserError(f"{path}: empty; fetch the protocol file again")
    return lines
