"""The embedded pictures of a set, person by person, and each person's robust centre."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evenface.check.sets import NOBODY, PictureSet

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

CHUNK = 2**24
"""Values of a product that are in memory at once."""


@dataclass(frozen=True, eq=False)
class Faces:
    """M embedded pictures of P people of one set."""

    pictures: PictureSet
    places: Ints
    """(M,) the number of each in `pictures`."""
    rows: Floats
    """(M, D) raw embeddings, perhaps memory-mapped: `unit` reads some of them."""
    person: Ints
    """(M,) 0 to P-1."""
    people: list[str]
    """(P,) each has a picture."""
    named: int
    """How many of them, from the first on, have several pictures or may have: the others are a picture each
    that nobody says who it is of."""

    @classmethod
    def of(cls, pictures: PictureSet, places: Ints, rows: Floats) -> "Faces":
        """The pictures at these places, whose embeddings are `rows`, (M, D).

        A picture of nobody is left out where the set is trained on, since training passes over it;
        elsewhere it is a person of its own, called as the picture is.
        """
        person = pictures.person[places].astype(np.int64)
        nobody = np.flatnonzero(person == NOBODY)
        names = list(pictures.people)
        if pictures.training and len(nobody):
            kept = np.flatnonzero(person != NOBODY)
            places, rows, person = places[kept], rows[kept], person[kept]
        else:
            person[nobody] = len(names) + np.arange(len(nobody))
            names += [pictures.names[place] for place in places[nobody].tolist()]
        there, person = np.unique(person, return_inverse=True)
        named = int(np.searchsorted(there, len(pictures.people)))
        return cls(pictures, places, rows, person.reshape(-1), [names[i] for i in there.tolist()], named)

    def __len__(self) -> int:
        """M."""
        return len(self.places)

    def unit(self, which: slice | Ints) -> Floats:
        """Some of the embeddings at length 1."""
        return unit(np.asarray(self.rows[which], dtype=np.float32))

    def chunks(self, width: int) -> Iterator[slice]:
        """All pictures, in parts of which a product with `width` vectors fits in memory."""
        step = max(1, CHUNK // max(1, width))
        return (slice(start, min(start + step, len(self))) for start in range(0, len(self), step))

    @cached_property
    def counts(self) -> Ints:
        """(P,) pictures of each person."""
        return np.bincount(self.person, minlength=len(self.people)).astype(np.int64)

    def each(self) -> Iterator[tuple[int, Ints]]:
        """Every person with their pictures."""
        return ((person, self.of_person(person)) for person in range(len(self.people)))

    def of_person(self, person: int) -> Ints:
        """One person's pictures."""
        order, ends = self._by_person
        return order[ends[person] - self.counts[person] : ends[person]]

    @cached_property
    def _by_person(self) -> tuple[Ints, Ints]:
        return np.argsort(self.person, kind="stable"), np.cumsum(self.counts)

    @cached_property
    def centres(self) -> "Centres":
        """Of all people."""
        return _centres(self)

    def typical(self, person: int, most: int) -> Ints:
        """A person's pictures that are nearest to their centre, the nearest first, at most so many."""
        own = self.of_person(person)
        return own[np.argsort(-(self.unit(own) @ self.centres.vectors[person]), kind="stable")][:most]

    def name(self, index: int) -> str:
        """What the set calls a picture."""
        return self.pictures.names[int(self.places[index])]


@dataclass(frozen=True, eq=False)
class Centres:
    """What a person's pictures have in common, though some may be of somebody else."""

    vectors: Floats
    """(P, D) of length 1: the mean of the half of the person's pictures (three at least) nearest to it."""
    own: Floats
    """(M,) the cosine of each picture with its person's centre, made without it; NaN for an only picture."""


def unit(rows: Floats) -> Floats:
    """Rows at length 1."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True).astype(np.float32)
    return np.asarray(rows / np.maximum(length, np.float32(1e-12)), dtype=np.float32)


def _centres(faces: Faces) -> Centres:
    vectors = np.empty((len(faces.people), faces.rows.shape[1]), dtype=np.float32)
    own = np.full(len(faces), np.nan, dtype=np.float32)
    for person, which in faces.each():
        rows = faces.unit(which)
        kept = _kept(rows)
        total = rows[kept].sum(axis=0)
        vectors[person] = unit(total)
        if len(which) > 1:
            others = np.where(kept[:, None], total - rows, total)
            own[which] = np.einsum("nd,nd->n", rows, unit(others))
    return Centres(vectors, own)


def _kept(rows: Floats) -> NDArray[np.bool_]:
    """Which rows a robust mean is made of: begun at the row nearest to all others, for a mean may lie between
    two people."""
    most = max(3, (len(rows) + 1) // 2)
    if len(rows) <= most:
        return np.ones(len(rows), dtype=bool)
    likeness = rows @ rows.T if len(rows) <= 4096 else rows @ rows[:: len(rows) // 2048].T
    centre = rows[np.argmax(np.median(likeness, axis=1))]
    kept = np.zeros(len(rows), dtype=bool)
    for _ in range(3):
        kept[:] = False
        kept[np.argpartition(-(rows @ centre), most - 1)[:most]] = True
        centre = unit(rows[kept].sum(axis=0))
    return kept
