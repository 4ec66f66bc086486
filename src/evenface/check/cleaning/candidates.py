"""What is handed to a human: candidates of each kind, the worst first."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evenface.check.cleaning.faces import Faces


@dataclass(frozen=True)
class Side:
    """A person or a group of pictures, as shown."""

    faces: Faces
    person: int
    pictures: tuple[int, ...]
    """Pictures of `faces`; the first is the one that the table names."""
    meant: int = 0
    """How many of them, from the first on, are in doubt; the others are there to compare."""
    more: str = ""
    """Beside the person's name."""

    @property
    def identity(self) -> str:
        """The person's name."""
        return self.faces.people[self.person]

    @property
    def file(self) -> str:
        """The name of the first picture."""
        return self.faces.name(self.pictures[0])


@dataclass(frozen=True)
class Candidate:
    """One thing to decide."""

    left: Side
    right: Side
    score: float
    """Higher is worse; what it is depends on the kind."""
    beyond: bool
    """Whether the score is beyond the threshold."""
    words: str
    """What speaks for it."""
    leaves_out: str = ""
    """What ticking it leaves out of training, in words."""
    rows: tuple[tuple[str, str, str, str], ...] = ()
    """The lines (identity, file, how, other) of an exclusion file that do so; none for a set that is not
    trained on."""
    ticked: bool = False
    """Whether the page ticks it at first, beyond the threshold."""
    grave: bool = False
    """Whether it comes before others of its kind."""
    rank: int = 0
    """From 1 within its kind."""


@dataclass(frozen=True)
class Kind:
    """All candidates of one kind."""

    key: str
    """As in the table."""
    title: str
    how: str
    """How they are found and what the score is."""
    candidates: list[Candidate]
    """Those beyond the threshold first, the worst of them first."""
    notes: list[str]
    """Such as the thresholds."""

    @property
    def beyond(self) -> list[Candidate]:
        """Those beyond the threshold."""
        return [one for one in self.candidates if one.beyond]


def ranked(found: Sequence[Candidate]) -> list[Candidate]:
    """In order: beyond the threshold, in the set that is trained on, grave, by score."""

    def order_of(one: Candidate) -> tuple[bool, bool, bool, float]:
        return not one.beyond, not one.left.faces.pictures.training, not one.grave, -one.score

    order = sorted(found, key=order_of)
    return [replace(one, rank=rank) for rank, one in enumerate(order, 1)]


def out(side: Side, how: str, other: str, *, whole: bool = False) -> tuple[tuple[str, str, str, str], ...]:
    """The lines that leave out a side's person, or only the pictures in doubt; none where a name is no text,
    which the file could not hold."""
    names = ("",) if whole else tuple(side.faces.name(index) for index in side.pictures[: side.meant])
    rows = tuple((side.identity, name, how, other) for name in names)
    try:
        "".join(map("".join, rows)).encode()
    except UnicodeEncodeError:
        return ()
    return rows


def excludes(faces: Faces, sets: Sequence[Faces]) -> bool:
    """Whether an exclusion file is about this set: it is trained on, or may be, being no benchmark's."""
    own = faces.pictures
    return own.training or not (own.crops or any(one.pictures.training for one in sets))


def label(side: Side) -> str:
    """The person's name, of a set that is not trained on after the set's."""
    pictures = side.faces.pictures
    return side.identity if pictures.training else f"{pictures.label}: {side.identity}"


def write_candidates(file: Path, kinds: Sequence[Kind]) -> None:
    """Write those beyond the thresholds as a .csv."""
    with open(file, "w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("kind", "identity", "file", "other identity", "other file", "score", "rank"))
        for kind in kinds:
            for one in kind.beyond:
                left, right = one.left, one.right
                names = (left.identity, left.file, right.identity, right.file)
                writer.writerow((kind.key, *names, f"{one.score:.4f}", one.rank))
