"""The kinds of findings, the worst first."""

from typing import NamedTuple


class Kind(NamedTuple):
    """What findings of one kind have in common."""

    spoils: bool
    """Whether a long run would stop at it or end with a wrong number."""
    words: tuple[str, str]
    """What there is, of one and of several."""
    cure: str


KINDS = {
    "missing": Kind(
        True,
        ("picture is missing", "pictures are missing"),
        "a protocol names them; unpack the whole set there",
    ),
    "unreadable": Kind(
        True,
        ("picture cannot be read", "pictures cannot be read"),
        "fetch them again or delete them; training stops there, or passes over them with --data.corrupt skip",
    ),
    "shared person": Kind(
        True,
        ("person of the training set is in a test set", "people of the training set are in a test set"),
        "write them with --overlap FILE.csv, and leave them out with --data.exclude FILE.csv",
    ),
    "shared picture": Kind(
        True,
        ("picture of the training set is in a test set", "pictures of the training set are in a test set"),
        "as for people: --overlap names whose pictures they are",
    ),
    "damaged": Kind(
        False,
        ("picture is damaged", "pictures are damaged"),
        "it decodes with a warning, and a part of it is not what it was; look, and fetch it again",
    ),
    "two people": Kind(
        False,
        ("picture is another person's too", "pictures are another person's too"),
        "one of the two labels is wrong, or the two are one person; look at them with --sheet FILE.png",
    ),
    "two sets": Kind(
        False,
        ("picture is in two sets", "pictures are in two sets"),
        "the two are not independent",
    ),
    "copy": Kind(
        False,
        ("picture is there twice, of one person", "pictures are there twice, of one person"),
        "harmless in training if they are few; in a test they make pairs that are too easy",
    ),
    "blank": Kind(
        False,
        ("picture shows nearly nothing", "pictures show nearly nothing"),
        "look, and delete what is no face",
    ),
    "misplaced": Kind(
        False,
        ("picture is in no person's folder", "pictures are in no person's folder"),
        "training reads DIR/<person>/<image> only, and passes over them",
    ),
    "size": Kind(
        False,
        ("picture has another size", "pictures have another size"),
        "all are resized in training; see that these are aligned as the others are",
    ),
    "one image": Kind(
        False,
        ("person has a single picture", "people have a single picture"),
        "training leaves them out unless --data.min_images 1",
    ),
}
"""The worst first."""
