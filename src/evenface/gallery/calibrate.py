"""From a model and labelled pictures to thresholds."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil

import numpy as np
from numpy.typing import NDArray

import evenface
from evenface.errors import UserError
from evenface.evaluation.embed import Embedder, Flip, embed
from evenface.evaluation.images import Image, digest
from evenface.evaluation.metrics.calibration import (
    REPLICATES,
    PeoplesScores,
    by_person,
    pairs_wanted,
    threshold_at,
)
from evenface.evaluation.store import conventions
from evenface.evaluation.templates import unit_rows
from evenface.gallery.calibration import Calibration
from evenface.gallery.rule import rounded
from evenface.gallery.sets import LabelledSet
from evenface.progress import Progress

FMRS = (1e-2, 1e-3, 1e-4, 1e-5)
"""What is calibrated unless other FMRs are wanted."""
_MOST = 5_000_000  # of the highest impostor pairs: a FMR that needs more is not measured
_BLOCK = 256  # rows of the cosine matrix at once


def calibrate(
    embedder: Embedder,
    fingerprint: str,
    of: LabelledSet,
    fmrs: Sequence[float] = FMRS,
    flip: Flip = "sum",
    *,
    batch_size: int = 128,
    workers: int = 2,
    progress: Progress | None = None,
) -> Calibration:
    """The thresholds of a model on a set.

    Args:
        embedder: the model.
        fingerprint: changes with the model's weights; SHA-256 of them for a run.
        of: whose pictures and which pairs.
        fmrs: the false match rates wanted, each between 0 and 1.
        flip: the mirror image's part in an embedding; pictures to be verified are embedded likewise.
        batch_size, workers, progress: as of `embed`.

    Raises:
        UserError: as `embed`; an FMR is not allowed; a kind of pair is absent; or no FMR is measurable.
    """
    if not fmrs:
        raise UserError("--fmr: name one false match rate or more, such as 1e-3")
    for fmr in fmrs:
        if not 0 < fmr < 1:
            raise UserError(f"--fmr: {fmr:g} is no false match rate; use one between 0 and 1, such as 1e-3")
    of.images.check()
    _require_scores(of, min(fmrs))
    pictures = _Pictures(of)
    rows = embed(
        embedder,
        pictures,
        flip,
        batch_size=batch_size,
        workers=workers,
        names=of.images.names,
        progress=progress,
    )
    pairs = people_scores(rows, of, fmrs)
    found = []
    for fmr in sorted(set(fmrs), reverse=True):
        at = threshold_at(pairs.scores, pairs.genuine, fmr, pairs.impostors)
        few_enough = pairs_wanted(at.impostors_passing) <= _MOST
        people = by_person(pairs, fmr, at.threshold) if at.measurable and few_enough else None
        found.append((at, people))
    if not any(at.measurable for at, _ in found):
        raise UserError(
            f"{of.name}: no threshold at any FMR; {found[0][0].note}. Take more people or a higher --fmr"
        )
    which = f"all pairs of {len(of.images):,} pictures of {of.people:,} people"
    if of.pairs is not None:
        which = f"its {len(of.pairs):,} listed pairs"
    return Calibration(
        set=f"{of.name}, {which}",
        thresholds=tuple(found),
        people=of.people,
        pictures=len(of.images),
        picture_size=pictures.size,
        flip=flip,
        conventions={
            **conventions(embedder, flip),
            "crop": of.crop,
            "score": "cosine",
            "threshold": "the smallest score whose FMR does not exceed the target; a score >= it passes",
            "intervals": f"95 %; pairs as independent, and by person ({REPLICATES} resamplings, seed 0)",
        },
        pictures_sha256=of.images.sha256,
        sources_sha256=digest(of.sources) if of.sources else None,
        model_sha256=fingerprint,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        evenface=evenface.__version__,
    )


class _Pictures:
    """The set's pictures, noting their sizes as they are read."""

    def __init__(self, of: LabelledSet):
        self._images = of.images
        self._sizes: set[tuple[int, ...]] = set()

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Image:
        image = self._images[index]
        self._sizes.add(image.shape[:2])
        return image

    @property
    def size(self) -> str:
        """HEIGHTxWIDTH."""
        return "{}x{}".format(*next(iter(self._sizes))) if len(self._sizes) == 1 else "several sizes"


def people_scores(
    embeddings: NDArray[np.float32], of: LabelledSet, fmrs: Sequence[float] = FMRS
) -> PeoplesScores:
    """The `rounded` scores of a set's pairs: of all pairs the highest impostors, as many as these FMRs need.

    Args:
        embeddings: (M, D) raw.

    Raises:
        UserError: there are no genuine or no impostor pairs.
    """
    unit, labels = unit_rows(embeddings, of.images.names), of.labels
    if of.pairs is None:
        images = np.bincount(labels)
        if len(images) < 2 or images.max() < 2:
            raise UserError(f"{of.name}: needs two people or more, and one of them with two pictures or more")
        most = min(_MOST, pairs_wanted(ceil(max(fmrs) * _impostors(labels))))
        return PeoplesScores(*_highest(unit, labels, most), images, *_genuine(unit, labels))
    first, second = of.pairs.T
    cosine = rounded(np.einsum("nd,nd->n", unit[first], unit[second], dtype=np.float64))
    same = labels[first] == labels[second]
    order = np.argsort(-cosine[~same])
    people = labels[of.pairs[~same][order]]
    return PeoplesScores(cosine[~same][order], people, None, cosine[same], labels[first[same]])


def _impostors(labels: NDArray[np.int64]) -> int:
    """How many pairs are of two people."""
    return (len(labels) ** 2 - int((np.bincount(labels) ** 2).sum())) // 2


def _require_scores(of: LabelledSet, fmr: float) -> None:
    """Raise UserError if more pairs may pass than are kept even at the lowest FMR, before all is embedded."""
    impostors = _impostors(of.labels) if of.pairs is None else 0
    if fmr * impostors > _MOST:
        raise UserError(
            f"--fmr: {fmr:g} of the {impostors:,} impostor pairs of {of.name} are more than the {_MOST:,} "
            f"highest scores that are kept; use {_MOST / impostors:.1g} or less, or fewer pictures"
        )


def _highest(
    unit: NDArray[np.float32], labels: NDArray[np.int64], most: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Of all impostor pairs the `most` with the highest cosines: (P,) cosines, falling, and (P, 2) people."""
    cosines, people = np.empty(0, np.float32), np.empty((0, 2), np.int64)
    for start in range(0, len(unit), _BLOCK):
        block = unit[start : start + _BLOCK] @ unit[start:].T
        other = labels[start : start + _BLOCK, None] != labels[start:]
        cut = cosines.min() if len(cosines) >= most else -np.inf
        entering = np.triu(other & (block > cut), 1)
        if (count := np.count_nonzero(entering)) > most:  # nearly all do, at first
            entering &= block >= np.partition(block[entering], count - most)[count - most]
        i, j = np.nonzero(entering)
        cosines = np.append(cosines, block[i, j])
        people = np.append(people, np.stack([labels[start + i], labels[start + j]], axis=1), axis=0)
        if len(cosines) > most:
            keep = np.argpartition(-cosines, most - 1)[:most]
            cosines, people = cosines[keep], people[keep]
    order = np.argsort(-cosines)
    return rounded(cosines[order]), people[order]


def _genuine(
    unit: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All genuine pairs: (G,) cosines and (G,) people."""
    found, people = [], []
    for person in np.flatnonzero(np.bincount(labels) > 1):
        own = unit[labels == person]
        found.append((own @ own.T)[np.triu_indices(len(own), 1)])
        people.append(np.full(len(found[-1]), person))
    return rounded(np.concatenate(found)), np.concatenate(people)
