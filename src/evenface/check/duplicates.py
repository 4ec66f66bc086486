"""The same picture again: of one person, of two people, in two sets, in training and test."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenface.check.near import distance, joined, near_groups
from evenface.check.scan import Seen

FLAT = 5.0
"""Deviation of the luma, in gray levels, below which a picture is one colour and its bits are noise."""

Kind = Literal["shared picture", "two people", "two sets", "copy"]


class Again(NamedTuple):
    """One picture that is there again."""

    kind: Kind
    picture: int
    other: int
    """The picture that it is the same as."""
    how: str
    """"same bytes", or how many of the 255 bits differ."""


def duplicates(seen: Seen) -> list[Again]:
    """Every picture but the first of each group of equal ones, by the bytes or nearly so.

    "shared picture" stands for each training picture that is in a test set; "two people" for a picture that
    another person of its set has too, in all probability a wrong label; "two sets" where neither set is
    trained on; "copy" for a second one of the same person.
    """
    return [again for group in _groups(seen) for again in _of_group(seen, group)]


def _groups(seen: Seen) -> Iterator[NDArray[np.int64]]:
    """The places of the pictures of each group of two or more, in order."""
    rows = seen.rows
    groups = np.arange(len(rows))
    flat = rows["deviation"] < FLAT
    for some, column in ((rows["whole"] & ~flat, "bits"), (rows["whole"] & flat, "digest")):
        places = np.flatnonzero(some)
        if not len(places):
            continue
        distinct, which = np.unique(rows[column][places], axis=0, return_inverse=True)
        which = which.reshape(-1)
        if column == "bits":
            which = near_groups(distinct)[which]
        order = np.argsort(which, kind="stable")
        same = np.flatnonzero(which[order][1:] == which[order][:-1])
        groups = joined(groups, places[order[same]], places[order[same + 1]])
    order = np.argsort(groups, kind="stable")
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    found = [order[start : start + count] for start, count in zip(starts, counts, strict=True) if count > 1]
    return iter(sorted(found, key=lambda group: int(group[0])))


def _of_group(seen: Seen, group: NDArray[np.int64]) -> Iterator[Again]:
    by_set: dict[int, list[int]] = {}
    for index in group.tolist():
        by_set.setdefault(int(np.searchsorted(seen.starts, index, side="right")) - 1, []).append(index)
    tested = [places[0] for number, places in by_set.items() if not seen.sets[number].training]
    earlier: list[int] = []
    for number, places in by_set.items():
        pictures, start = seen.sets[number], int(seen.starts[number])
        if pictures.training and tested:
            yield from (_again(seen, "shared picture", index, tested[0]) for index in places)
        elif earlier:
            yield _again(seen, "two sets", places[0], earlier[0])
        if not pictures.training:
            earlier.append(places[0])
        firsts: dict[int, int] = {}
        for index in places:
            person = int(pictures.person[index - start])
            if person in firsts:
                yield _again(seen, "copy", index, firsts[person])
            elif firsts:
                yield _again(seen, "two people", index, places[0])
            firsts.setdefault(person, index)


def _again(seen: Seen, kind: Kind, index: int, other: int) -> Again:
    one, two = seen.rows[index], seen.rows[other]
    bits = int(distance(one["bits"], two["bits"]))
    return Again(
        kind, index, other, "same bytes" if one["digest"] == two["digest"] else f"{bits} of 255 bits differ"
    )
