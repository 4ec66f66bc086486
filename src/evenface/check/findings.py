"""What is wrong, one line a finding, the worst first."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evenface.check.duplicates import FLAT, Again
from evenface.check.kinds import KINDS
from evenface.check.names import SameName, shared_names
from evenface.check.scan import Seen
from evenface.check.sets import NOBODY, PictureSet

_BLACK, _WHITE = 10, 245  # means of the luma
_USUAL = 0.9  # of the pictures: a size that so many have is the set's, and others are told


class Finding(NamedTuple):
    """A line of the CSV."""

    kind: str
    """One of KINDS."""
    file: str
    """The picture, or the person's folder."""
    detail: str
    other: str = ""
    """The picture or person that it is the same as."""


def findings(seen: Seen, again: Sequence[Again]) -> list[Finding]:
    """Everything that was found, in the order of KINDS."""
    found = [*_faults(seen), *_shared_people(seen), *_again(seen, again), *_looks(seen), *_people(seen)]
    order = list(KINDS)
    return sorted(found, key=lambda one: order.index(one.kind))


def overlap(seen: Seen, again: Sequence[Again]) -> list[tuple[str, str, str]]:
    """The people of the training set that are in a test set: (who, how this is known, as whom or what)."""
    found = [(same.first, same.how, f"{test.label}: {same.second}") for _, test, same in _same_names(seen)]
    for one in again:
        training, own = seen.place(one.picture)
        if one.kind == "shared picture" and training.person[own] != NOBODY:
            who = training.people[training.person[own]]
            found.append((who, f"same picture, {one.how}", seen.path(one.other)))
    return sorted(found)


def _same_names(seen: Seen) -> Iterator[tuple[PictureSet, PictureSet, SameName]]:
    for training in (one for one in seen.sets if one.training):
        for test in (one for one in seen.sets if not one.training):
            for same in shared_names(training.people, test.people):
                yield training, test, same


def _faults(seen: Seen) -> Iterator[Finding]:
    for index, fault in sorted(seen.faults.items()):
        if fault == "missing":
            yield Finding("missing", seen.path(index), "named by a list")
        else:
            yield Finding("unreadable", seen.path(index), fault)
    for index, words in sorted(seen.damaged.items()):
        yield Finding("damaged", seen.path(index), words)


def _shared_people(seen: Seen) -> Iterator[Finding]:
    for training, test, same in _same_names(seen):
        yield Finding(
            "shared person", f"{training.root / same.first}", same.how, f"{test.label}: {same.second}"
        )


def _again(seen: Seen, again: Sequence[Again]) -> Iterator[Finding]:
    for one in again:
        yield Finding(one.kind, seen.path(one.picture), one.how, seen.path(one.other))


def _looks(seen: Seen) -> Iterator[Finding]:
    rows = seen.rows
    flat, mean = rows["deviation"] < FLAT, rows["mean"]
    for index in np.flatnonzero(rows["whole"] & (flat | (mean < _BLACK) | (mean > _WHITE))).tolist():
        what = "one colour" if flat[index] else "nearly black" if mean[index] < _BLACK else "nearly white"
        yield Finding("blank", seen.path(index), f"{what}, mean {mean[index]:.0f} of 255")
    for pictures, start in zip(seen.sets, seen.starts.tolist(), strict=False):
        own = rows[start : start + len(pictures)]
        whole = np.flatnonzero(own["whole"])
        sizes, which, counts = np.unique(
            np.stack([own["width"], own["height"]], axis=1)[whole],
            axis=0,
            return_inverse=True,
            return_counts=True,
        )
        if not len(whole) or counts.max() < _USUAL * len(whole):
            continue
        usual = "x".join(map(str, sizes[counts.argmax()]))
        for place in np.flatnonzero(which.reshape(-1) != counts.argmax()):
            index = int(whole[place])
            size = f"{own['width'][index]}x{own['height'][index]}"
            yield Finding("size", pictures.path(index), f"{size}, others {usual}")


def _people(seen: Seen) -> Iterator[Finding]:
    for pictures in seen.sets:
        if pictures.crops or not pictures.people:
            continue
        for index in np.flatnonzero(pictures.person == NOBODY).tolist():
            yield Finding("misplaced", pictures.path(index), "not at DIR/<person>/<image>")
        for person in np.flatnonzero(pictures.counts() == 1).tolist():
            yield Finding("one image", f"{pictures.root / pictures.people[person]}", "a single picture")
