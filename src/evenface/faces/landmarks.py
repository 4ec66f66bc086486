"""Landmarks that come in files, and the five points of the template among them."""

import csv
import math
from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.errors import UserError
from evenface.faces.align import TEMPLATE_112, Points, similarity
from evenface.faces.fiducials import five_points_from_30

Order = Literal["jd", "insightface"]
"""Of 106 points there are two orders in use, which no file tells apart."""

IBUG_68: Final = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (30,), (48,), (54,))
"""300-W's 68 points (Sagonas et al., ICCV Workshops 2013; the figure at ibug.doc.ic.ac.uk/resources/
facial-point-annotations counts from 1): the eyes' contours, nose tip, mouth corners. dlib's too."""
JD_106: Final = ((104,), (105,), (54,), (84,), (90,))
"""JD's 106 points (Liu et al., Grand Challenge of 106-Point Facial Landmark Localization, ICME 2019), LaPa's
too: pupils, nose tip, mouth corners. JD's own code, face_sdk/utils/lms_trans.py in github.com/JDAI-CV/
FaceX-Zoo, counts from 1: 105, 106, 55, 85, 91."""
INSIGHTFACE_106: Final = ((38,), (88,), (86,), (52,), (61,))
"""InsightFace's model 2d106det: eye centres, nose tip, mouth corners, as numbered in its figure (see
github.com/deepinsight/insightface, alignment/coordinate_reg)."""
_ORDERS: Final = {"jd": JD_106, "insightface": INSIGHTFACE_106}

COUNTS: Final = (106, 68, 5)
"""Points a line of a list may have."""
_LONGEST_LINE = 16_384
"""Characters; 106 points and a path take at most a third of it."""
_LONGEST_FILE = 65_536
"""Bytes of a file with one picture's points."""
_MISFIT, _LOOKED_AT = 20.0, 1000


def five_points(points: ArrayLike, order: Order | None = None) -> Points:
    """The template's five points, (5, 2) float64 x, y, of (K, 2): K = 5, 30 (CFP), 68 (300-W) or 106.

    Args:
        points: x, y; five are taken as they are: eye, eye, nose tip, mouth corner, mouth corner, of the eyes
            and of the corners the one on the left of the picture first.
        order: of 106 points.

    Raises:
        UserError: another number of points, a value that is not finite, or 106 points without `order`.
    """
    all_points = np.asarray(points, dtype=np.float64)
    if all_points.ndim != 2 or all_points.shape[1] != 2 or not np.isfinite(all_points).all():
        raise UserError(f"points: expected finite x, y of each point, found shape {all_points.shape}")
    count = len(all_points)
    if count == 5:
        return all_points
    if count == 30:
        return five_points_from_30(all_points)
    if count == 68:
        groups: Sequence[Sequence[int]] = IBUG_68
    elif count == 106:
        if order is None:
            raise UserError("points: 106 points have two orders in use; say which: --order jd or insightface")
        groups = _ORDERS[order]
    else:
        raise UserError(f"points: found {count}; known are 5, 30 (CFP), 68 (300-W) and 106")
    return np.stack([all_points[list(group)].mean(axis=0) for group in groups])


def misfit(points: Points) -> float:
    """How far five points lie from the template once they are fitted to it: rms, pixels of a 112x112 crop.

    About 2 to 4 for a face seen from the front, 5 to 10 for one in profile.

    Raises:
        UserError: the points lie in one place.
    """
    matrix = similarity(points, TEMPLATE_112)
    away = points @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE_112
    return float(np.sqrt((away**2).sum(axis=1).mean()))


def read_points_file(path: Path, order: Order | None = None) -> Points:
    """The five points of one picture from its own file: a line `x,y` or `x y` for each of 5, 30, 68 or 106.

    Raises:
        UserError: no such file, or other content; names file and line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if len(content) > _LONGEST_FILE:
        raise UserError(f"{path}: too long for one picture's points; expected a line x,y for each")
    points = []
    for number, line in enumerate(content.decode("ascii", "replace").splitlines(), start=1):
        fields = line.replace(",", " ").split()
        if fields:
            values = _numbers(fields)
            if values is None or len(values) != 2:
                raise UserError(f"{path}, line {number}: expected x,y of one point, found {line[:60]!r}")
            points.append(values)
    try:
        return five_points(np.array(points).reshape(-1, 2), order)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


class Names:
    """Which of N names one is; takes 16 bytes a name, whatever their length.

    Names are known by 64 bits of BLAKE2: of ten million, two are confused with a chance of 3 in a million.
    """

    def __init__(self, digests: "array[int]"):
        values = np.frombuffer(digests, dtype=np.uint64)
        self._order = np.argsort(values, kind="stable")
        self._sorted = values[self._order]

    @staticmethod
    def digest(name: str) -> int:
        """What is to be appended to an array("Q") for a name."""
        return int.from_bytes(blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")

    def twice(self) -> tuple[int, int] | None:
        """Two places of one name, if there are such."""
        same = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        return (int(self._order[same[0]]), int(self._order[same[0] + 1])) if len(same) else None

    def find(self, name: str) -> int | None:
        """The place of a name."""
        digest = np.uint64(self.digest(name))
        place = int(np.searchsorted(self._sorted, digest))
        found = place < len(self._sorted) and self._sorted[place] == digest
        return int(self._order[place]) if found else None


class PointsList:
    """Five points of each picture of a list; takes about 110 bytes a picture.

    A file that ends in .csv has a line `file,x1,y1,x2,y2,...` for each picture, any other one the same parted
    by spaces or tabs, such as CelebA's `list_landmarks_align_celeba.txt`. Each has 5, 68 or 106 points. A
    first line without points may be names of columns; one that names `file` and `x1`, `y1`, ... says where
    they stand, as in the `faces.csv` that `evenface align` writes; its lines without points are passed over.

    Args:
        path: the file.
        order: of 106 points.

    Raises:
        UserError: the file cannot be read, a line breaks these rules, a picture is listed twice, or most
            lines do not mark a face.
    """

    def __init__(self, path: Path, order: Order | None = None):
        self._path = path
        digests, lines, values = array("Q"), array("Q"), array("d")
        for number, name, points in _records(path, order):
            digests.append(Names.digest(name))
            lines.append(number)
            values.extend(points.ravel())
        if not len(lines):
            raise UserError(f"{path}: lists no picture; expected a line file,x1,y1,x2,y2,... for each")
        self._points: NDArray[np.float64] = np.frombuffer(values).reshape(-1, 5, 2)
        self._names = Names(digests)
        twice = self._names.twice()
        if twice:
            first, second = (lines[place] for place in twice)
            raise UserError(f"{path}, line {second}: the same picture as in line {first}; keep one of them")
        _require_faces(path, self._points)

    def __len__(self) -> int:
        return len(self._points)

    def __call__(self, name: str) -> Points | None:
        """The five points, (5, 2) x, y, of a picture, or None if it is not listed."""
        place = self._names.find(name)
        return None if place is None else self._points[place]


def _require_faces(path: Path, points: NDArray[np.float64]) -> None:
    """Points in another order, or y before x, are a mirrored or jumbled face, which no turning mends."""
    misfits = []
    for one in points[:: max(1, len(points) // _LOOKED_AT)]:
        try:
            misfits.append(misfit(one))
        except UserError:
            misfits.append(math.inf)
    typical = float(np.median(misfits))
    if typical > _MISFIT:
        raise UserError(
            f"{path}: the points mark no faces: fitted to the template they are {typical:.0f} of 112 pixels "
            "off. They should be eye, eye, nose tip, mouth corner, mouth corner, x before y, and the eye and "
            "the corner on the left of the picture first; 106 points may need the other --order"
        )


def _records(path: Path, order: Order | None) -> Iterator[tuple[int, str, Points]]:
    """Line number, name and five points of each picture that has points."""
    columns: list[int] | None = None
    seen = False
    for number, fields in _rows(path):
        if not seen and columns is None and (named := _named_columns(fields)):
            columns = named
            continue
        if columns:
            if len(fields) <= max(columns):
                raise UserError(
                    f"{path}, line {number}: {len(fields)} columns, fewer than the first line has"
                )
            fields = [fields[column] for column in columns]
            if not any(map(str.strip, fields[1:])):
                continue
        count = next((k for k in COUNTS if len(fields) > 2 * k), 0)
        values = _numbers(fields[-2 * count :]) if count else None
        if values is None:
            if not seen and number <= 2:  # how many there are, or the columns' names
                continue
            raise UserError(
                f"{path}, line {number}: expected a file's name and 5, 68 or 106 points x y, parted by "
                f"{'commas' if _is_csv(path) else 'spaces; only a .csv has commas'}; found "
                f"{' '.join(fields)[:80]!r}"
            )
        names = fields[: -2 * count]
        if len(names) > 1 and (_is_csv(path) or _numbers(names[-1:])):  # a file's name may hold spaces
            raise UserError(
                f"{path}, line {number}: {len(fields)} fields; expected the name and 5, 68 or 106 points"
            )
        seen = True
        try:
            points = five_points(np.reshape(values, (count, 2)), order)
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
        yield number, " ".join(names).removeprefix("./"), points


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line that has any."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = _lines(path, file)
            if _is_csv(path):
                reader = csv.reader(lines)
                rows = ((reader.line_num, row) for row in reader)
            else:
                rows = ((number, line.split()) for number, line in enumerate(lines, start=1))
            yield from (row for row in rows if any(map(str.strip, row[1])))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name the file or folder of points") from None
    except csv.Error as error:
        raise UserError(f"{path}: not a .csv: {error}") from None


def _lines(path: Path, file: object) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE):  # type: ignore[attr-defined]
        number += 1
        if len(line) == _LONGEST_LINE:
            raise UserError(
                f"{path}, line {number}: too long for a picture's points; is this the right file?"
            )
        yield line


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _named_columns(fields: Sequence[str]) -> list[int] | None:
    """Where the name and the points stand, in their order, if these are the names of columns x1, y1, ..."""
    fields = [field.strip() for field in fields]
    if "file" not in fields:
        return None
    for count in COUNTS:
        wanted = [f"{axis}{k}" for k in range(1, count + 1) for axis in "xy"]
        if set(wanted) <= set(fields):
            return [fields.index(name) for name in ("file", *wanted)]
    return None


def _numbers(fields: Sequence[str]) -> list[float] | None:
    """Finite numbers, or None if one is not."""
    try:
        values = [float(field) for field in fields]
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None
