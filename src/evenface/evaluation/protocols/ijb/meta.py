"""The list files of IJB-B and IJB-C: faces, landmarks, galleries and probes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.protocols.ijb.table import DIGITS, WHOLE, read_csv, read_table, refuse, whole
from evenface.evaluation.templates import Templates

_NAME = "U64"  # a picture's name, 63 characters at most


def read_faces(path: Path) -> tuple[list[str], Templates]:
    """The pictures' names and the templates of `ijbb_face_tid_mid.txt`: lines `1.jpg 1 69544`.

    A line is a picture, its template and its medium. A medium may be in several templates, as a video is
    whose frames serve in more than one.

    Raises:
        UserError: a broken line, or a picture that is listed twice.
    """
    row = [("name", _NAME), ("template", "i4"), ("medium", "i4")]
    table = read_table(path, row, "1.jpg 1 69544", rf"\S{{1,63}}\s+{WHOLE}\s+{WHOLE}")
    names = _names(path, table["name"])
    for column in ("template", "medium"):
        numbers = table[column]
        refuse(
            path, (numbers < 0) | (numbers >= 10**DIGITS), f"expected a {column} of 7 digits, found", numbers
        )
    ids, template = np.unique(table["template"].astype(np.int64), return_inverse=True)
    return names, Templates(ids, np.arange(len(names)), template, table["medium"].astype(np.int64))


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What a detector found in M pictures."""

    points: NDArray[np.float64]
    """(M, 5, 2) x, y in pixels."""
    scores: NDArray[np.float64]
    """(M,) the detector's, 0 or more."""


def read_landmarks(path: Path, names: Sequence[str]) -> Landmarks:
    """Landmarks of `ijbb_name_5pts_score.txt`: a picture's name, five points x y, and the detector's score.

    Args:
        names: (M,) the pictures that there must be, in any order.

    Raises:
        UserError: a broken line, or other pictures than these.
    """
    example = "1.jpg 46.1 62.5 87.4 60.9 66.5 88.0 50.7 108.9 85.9 107.4 0.99"
    table = read_table(
        path, [("name", _NAME), ("numbers", "f8", (11,))], example, r"\S{1,63}(\s+[-+.0-9eE]+){11}"
    )
    found, numbers = _names(path, table["name"]), table["numbers"]
    place = {name: place for place, name in enumerate(names)}
    strange = np.array([name not in place for name in found])
    refuse(path, strange, "the list of faces beside this file lacks picture", table["name"])
    if len(found) < len(names):
        there = set(found)
        absent = next(name for name in names if name not in there)
        raise UserError(
            f"{path}: has {len(found):,} pictures where the list of faces has {len(names):,}, {absent} first "
            "among those not there; fetch it again"
        )
    bad = ~(np.isfinite(numbers).all(axis=1) & (numbers[:, 10] >= 0))
    refuse(path, bad, "a number is not finite, or the score below 0, of picture", table["name"])
    numbers = numbers[np.argsort([place[name] for name in found])]
    return Landmarks(numbers[:, :10].reshape(-1, 5, 2), numbers[:, 10])


def _names(path: Path, column: NDArray[np.str_]) -> list[str]:
    """The pictures' names as a list; UserError if one is too long, or stands there twice."""
    refuse(path, np.char.str_len(column) > 63, "expected a name of at most 63 characters, found", column)
    names: list[str] = column.tolist()
    if len(set(names)) < len(names):
        first = {name: row for row, name in reversed(list(enumerate(names)))}
        again = np.array([first[name] < row for row, name in enumerate(names)])
        refuse(path, again, "listed twice is picture", column)
    return names


@dataclass(frozen=True, eq=False)
class Gallery:
    """Templates and whom they show: a gallery, or the probes."""

    name: str
    """As the file calls it: G1, S2, mixed."""
    templates: NDArray[np.int64]
    """(G,) places among the protocol's templates."""
    subjects: NDArray[np.int64]
    """(G,)."""


def read_gallery(path: Path, ids: NDArray[np.int64]) -> Gallery:
    """The templates of a csv file with the columns TEMPLATE_ID and SUBJECT_ID, a line for each face.

    Args:
        ids: (T,) rising, the templates that there are.

    Raises:
        UserError: a column is missing, a broken line, a template that is not in `ids` or of two subjects.
    """
    place = {template: place for place, template in enumerate(ids.tolist())}
    subjects: dict[int, int] = {}
    for line, (template, subject) in read_csv(path, "TEMPLATE_ID", "SUBJECT_ID"):
        number = whole(path, line, template)
        if number not in place:
            raise UserError(f"{path}:{line}: no face is listed of template {number}")
        add_subject(path, line, subjects, number, whole(path, line, subject))
    name = path.stem.rpartition("_")[2]
    return Gallery(name, np.array([place[one] for one in subjects]), np.array(list(subjects.values())))


def add_subject(path: Path, line: int, subjects: dict[int, int], template: int, subject: int) -> None:
    """One more line of a template; UserError if it is of another subject than the lines before."""
    if subjects.setdefault(template, subject) != subject:
        raise UserError(
            f"{path}:{line}: template {template} is of subject {subject} here, of {subjects[template]} before"
        )
