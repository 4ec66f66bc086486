"""NIST's csv files of IJB-A, IJB-B and IJB-C: a line for each face of each template."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.images import ImageSet
from evenface.evaluation.protocols.ijb.meta import add_subject
from evenface.evaluation.protocols.ijb.table import read_csv, whole
from evenface.evaluation.protocols.pairs import template_crop
from evenface.evaluation.templates import Templates
from evenface.faces import read_image

CROP = "pictures already on the template"
"""NIST gives boxes and no five points, so the user brings aligned crops."""

_COLUMNS = ("TEMPLATE_ID", "SUBJECT_ID", "FILE|FILENAME", "SIGHTING_ID", "MEDIA_ID|SIGHTING_ID")


def read_templates(paths: Sequence[Path], pictures: dict[str, int]) -> tuple[Templates, NDArray[np.int64]]:
    """The templates of some csv files together, and who each shows (T,).

    Columns are found by name: TEMPLATE_ID, SUBJECT_ID, FILE (in IJB-A) or FILENAME, SIGHTING_ID (one person
    in one medium), and MEDIA_ID, for which IJB-B and IJB-C have SIGHTING_ID. All others are left aside.

    Args:
        pictures: name of a face's crop -> its place; those that are new here are added. The face of sighting
            12 in `img/345.jpg` is `img/12_345.jpg`: a picture may show several people.

    Raises:
        UserError: a column is missing, a broken line, or a template of two subjects.
    """
    subjects: dict[int, int] = {}
    rows = []
    for path in paths:
        for line, (template, subject, file, sighting, medium) in read_csv(path, *_COLUMNS):
            number = whole(path, line, template)
            add_subject(path, line, subjects, number, whole(path, line, subject))
            name = _crop(path, line, file, whole(path, line, sighting))
            rows.append((pictures.setdefault(name, len(pictures)), number, whole(path, line, medium)))
    image, template_ids, media = np.array(rows, dtype=np.int64).T
    ids, place = np.unique(template_ids, return_inverse=True)
    return Templates(ids, image, place, media), np.array(
        [subjects[one] for one in ids.tolist()], dtype=np.int64
    )


def _crop(path: Path, line: int, file: str, sighting: int) -> str:
    place = PurePosixPath(file)
    if not place.name or place.is_absolute() or ".." in place.parts:
        raise UserError(f"{path}:{line}: expected a file such as img/345.jpg, found {file[:60]!r}")
    return str(place.with_name(f"{sighting}_{place.name}"))


def crops(root: Path, pictures: dict[str, int]) -> ImageSet:
    """The aligned crops of `pictures` under `root`."""
    names = list(pictures)
    return ImageSet(root, names, lambda i: template_crop(read_image(root / names[i]), root / names[i]))
