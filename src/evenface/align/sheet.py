"""The contact sheet: whether the alignment is right, at a glance; and the counts, from the same look."""

from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.align.plan import Plan
from evenface.align.table import TABLE, Row, read_rows
from evenface.errors import UserError
from evenface.faces import UnreadableImage, read_image, similarity, template
from evenface.faces.landmarks import Names

SHEET = "sheet.jpg"
_ACROSS, _ROWS = 10, 4
_SIDE, _GAP, _TEXT = 140, 6, 30  # pixels
_GREEN, _RED, _DARK, _BLACK = (0, 200, 0), (40, 40, 255), (0, 0, 160), (0, 0, 0)  # BGR

Image = NDArray[np.uint8]
_Sample = list[tuple[float, str, Row]]


@dataclass
class Summary:
    """What one pass over a table finds."""

    statuses: Counter[str] = field(default_factory=Counter)
    several: int = 0
    """Aligned pictures in which more than one face was found."""
    misfits: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """Of the aligned, pixels of a 112x112 crop."""
    sample: _Sample = field(default_factory=list)
    """Aligned ones: those whose names have the least digests, a random choice that is always the same."""
    worst: _Sample = field(default_factory=list)
    """Those that fit the template worst."""
    skipped: _Sample = field(default_factory=list)
    """As `sample`, of those without a crop."""


def summarise(output: Path) -> Summary:
    """Count what the output folder's table says, and choose what the sheet shows."""
    found = Summary()
    misfits = []
    for row, _ in read_rows(output / TABLE):
        found.statuses[row.status] += 1
        chance = float(Names.digest(row.file))
        if row.status == "aligned":
            found.several += row.faces not in ("", "1")
            misfits.append(np.float32(row.misfit))
            _keep(found.sample, _ROWS * _ACROSS, chance, row)
            _keep(found.worst, _ACROSS, -float(row.misfit), row)
        else:
            _keep(found.skipped, _ACROSS, chance, row)
    found.misfits = np.array(misfits, np.float32)
    if misfits and min(misfits) == max(misfits):  # fixed points
        found.worst.clear()
    return found


def _keep(sample: _Sample, most: int, key: float, row: Row) -> None:
    if len(sample) < most or key < sample[-1][0]:
        insort(sample, (key, row.file, row))
        del sample[most:]


def write_sheet(plan: Plan, found: Summary) -> Path:
    """Draw the sheet into the output folder.

    Raises:
        UserError: it cannot be written.
    """
    parts = []
    for words, sample in (
        (
            f"{len(found.sample)} crops at random. Green: the template. Red: the face's five points",
            found.sample,
        ),
        ("the worst fits to the template, in pixels of 112", found.worst),
        ("some of the pictures without a crop", found.skipped),
    ):
        if sample:
            parts += _block(words, [_tile(plan, row) for _, _, row in sample])
    path = plan.output / SHEET
    fine = [
        cv2.IMWRITE_JPEG_QUALITY,
        92,
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    try:
        written = cv2.imwrite(str(path), np.vstack(parts), fine)
    except cv2.error:
        written = False
    if not written:
        raise UserError(f"{path}: cannot be written; free some space and call again")
    return path


def _block(words: str, tiles: Sequence[Image]) -> list[Image]:
    width = _ACROSS * (_SIDE + _GAP)
    title = np.full((30, width, 3), 255, np.uint8)
    cv2.putText(title, words, (2, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _BLACK, 1, cv2.LINE_AA)
    blank = np.full((_SIDE + _TEXT, _SIDE + _GAP, 3), 255, np.uint8)
    full = [*tiles, *[blank] * (-len(tiles) % _ACROSS)]
    return [title, *(np.hstack(full[start : start + _ACROSS]) for start in range(0, len(full), _ACROSS))]


def _tile(plan: Plan, row: Row) -> Image:
    tile = np.full((_SIDE + _TEXT, _SIDE + _GAP, 3), 255, np.uint8)
    place = plan.output / row.crop if row.crop else plan.source / row.file
    try:
        picture = read_image(place)
    except UnreadableImage:  # which may be the very reason
        picture = np.full((_SIDE, _SIDE, 3), 200, np.uint8)
    scale = _SIDE / max(picture.shape[:2])
    width, height = (max(1, round(side * scale)) for side in picture.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.cvtColor(cv2.resize(picture, (width, height), interpolation=how), cv2.COLOR_RGB2BGR)
    if row.crop:
        aim = template(plan.height, plan.width)
        points = np.array(row[row._fields.index("x1") :][:10], dtype=np.float64).reshape(5, 2)
        matrix = similarity(points, aim)
        for centres, colour, radius in (
            (aim, _GREEN, 3),
            (points @ matrix[:, :2].T + matrix[:, 2], _RED, 1),
        ):
            for x, y in (centres + 0.5) * scale - 0.5:
                at = round(float(np.clip(x, -99, 999)) * 16), round(float(np.clip(y, -99, 999)) * 16)
                cv2.circle(small, at, radius * 16, colour, 1 if radius > 1 else -1, cv2.LINE_AA, 4)
    tile[:height, :width] = small
    line = f"misfit {float(row.misfit):.1f}" if row.crop else f"{row.status}: {row.why}".rstrip(": ")
    for text, y, colour in ((row.file, 12, _BLACK), (line, 24, _DARK)):
        shown = text.encode("ascii", "replace").decode()
        shown = shown[-24:] if y == 12 else shown[:24]
        cv2.putText(tile, shown, (0, _SIDE + y), cv2.FONT_HERSHEY_SIMPLEX, 0.32, colour, 1, cv2.LINE_AA)
    return tile
