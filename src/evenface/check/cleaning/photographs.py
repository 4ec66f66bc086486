"""Photographs that are there twice, cut or aligned anew: likely ones by a model, told by laying them over."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from evenface.check.cleaning.candidates import Candidate, Kind, Side, excludes, label, out, ranked
from evenface.check.cleaning.faces import Faces, Floats, Ints
from evenface.check.cleaning.photograph import overlaid
from evenface.check.cleaning.twins import best_mates, best_others, links
from evenface.errors import UserError
from evenface.progress import Progress

SAME = 0.92
"""The correlation from which two pictures are one photograph; docs/checking.md has what was measured."""
_SHARE = 0.75  # of the pictures are less like their mate than those that are laid over one another
_SEEN = 0.8  # below this a pair is not shown


def photographs(sets: Sequence[Faces], known: Ints, workers: int, progress: Progress) -> Kind:
    """The same photograph again.

    Args:
        sets: the embedded ones.
        known: (K, 2) pictures, counted through `sets`, that hashes know to be one photograph.
        workers: threads that read pictures.
        progress: called with (pairs looked at, pairs in all).
    """
    starts = np.cumsum([0, *map(len, sets)])
    pairs, cosines, least = _likely(sets, starts)
    values = np.full(len(pairs), -1, dtype=np.float32)

    def look(pair: list[int]) -> float:
        try:
            first, second = (_picture(sets, starts, index) for index in pair)
        except UserError:  # the embeddings were stored, and it is gone
            return -1.0
        return overlaid(first, second)

    with ThreadPoolExecutor(workers) as pool:
        for place, value in enumerate(pool.map(look, pairs.tolist())):
            values[place] = value
            progress(place + 1, len(pairs))
    found = []
    for place in links(pairs, values, known, int(starts[-1])).tolist():
        if values[place] < _SEEN:
            continue
        sides = [_side(sets, starts, index) for index in pairs[place].tolist()]
        # The one that could be left out comes first: of the training set, less like its person's others.
        sides.sort(key=lambda side: (not excludes(side.faces, sets), _own(side)))
        left, right = sides[0], replace(sides[1], meant=0)
        one, apart = left.identity == right.identity, left.faces is not right.faces
        tested = apart and left.faces.pictures.training
        whose = "in two sets" if apart else "of one person" if one else "of two people"
        value = float(values[place])
        rows = out(left, "same photograph", label(right) if tested else right.file, whole=tested)
        found.append(
            Candidate(
                left,
                right,
                value,
                value >= SAME,
                f"{whose}, cosine {cosines[place]:.3f}",
                f"leave the first {'person' if tested else 'picture'} out",
                rows if excludes(left.faces, sets) else (),
                ticked=tested,
                grave=apart or not one,
            )
        )
    return Kind(
        "same photograph",
        "The same photograph, cut or aligned anew",
        "Pairs that the perceptual hash does not find. The score is the correlation of their detail when "
        f"one is laid over the other as well as can be, mirrored or not; beyond the threshold is {SAME} or "
        "more. Looked at is each picture whose most alike picture, of its person or of anybody, has a cosine "
        f"of {least:.3f} or more.",
        ranked(found),
        [],
    )


def _likely(sets: Sequence[Faces], starts: Ints) -> tuple[Ints, Floats, float]:
    """The pairs (L, 2) that are looked at, their cosines, and the least of them by the rule."""
    own = [best_mates(faces) for faces in sets]
    moved = [np.where(mate < 0, -1, mate + start) for (mate, _), start in zip(own, starts, strict=False)]
    pivots = max(sets, key=lambda faces: len(faces.people)).centres.vectors
    mates = np.concatenate([*moved, (others := best_others(sets, pivots))[0]])
    cosines = np.concatenate([*(cosine for _, cosine in own), others[1]])
    there = cosines[: len(others[0])]
    there = there[np.isfinite(there)]
    least = float(np.quantile(there if len(there) else others[1], _SHARE))
    places = np.flatnonzero((cosines >= least) & (mates >= 0))
    ends = np.sort(np.stack([places % len(others[0]), mates[places]], axis=1), axis=1)
    pairs, first = np.unique(ends, axis=0, return_index=True)
    return pairs, cosines[places[first]], least


def _where(sets: Sequence[Faces], starts: Ints, index: int) -> tuple[Faces, int]:
    number = int(np.searchsorted(starts, index, side="right")) - 1
    return sets[number], index - int(starts[number])


def _picture(sets: Sequence[Faces], starts: Ints, index: int) -> "np.ndarray":
    faces, own = _where(sets, starts, index)
    return faces.pictures.read(int(faces.places[own]))


def _side(sets: Sequence[Faces], starts: Ints, index: int) -> Side:
    faces, own = _where(sets, starts, index)
    return Side(faces, int(faces.person[own]), (own,), 1)


def _own(side: Side) -> float:
    """How much a picture is its person's."""
    return float(np.nan_to_num(side.faces.centres.own[side.pictures[0]], nan=1.0))
