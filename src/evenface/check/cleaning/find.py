"""All candidates of some embedded sets."""

from collections.abc import Sequence

from evenface.check.cleaning.candidates import Kind
from evenface.check.cleaning.faces import Faces, Ints
from evenface.check.cleaning.labels import one_in_two, overlap, strays, two_in_one
from evenface.check.cleaning.photographs import photographs
from evenface.progress import Progress


def find(sets: Sequence[Faces], known: Ints, workers: int, progress: Progress) -> list[Kind]:
    """The five kinds, those that are ticked at first before the others.

    Args:
        sets: the embedded ones; a training set among them is compared with the others.
        known, workers, progress: as of `photographs`.
    """
    two = two_in_one(sets)
    parted = {
        number: {one.left.person for one in two.beyond if one.left.faces is faces}
        for number, faces in enumerate(sets)
    }
    return [
        overlap(sets),
        strays(sets, parted),
        two,
        one_in_two(sets),
        photographs(sets, known, workers, progress),
    ]
