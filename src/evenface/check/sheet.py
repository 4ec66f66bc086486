"""A picture of the pictures that are there twice."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.check.duplicates import Again
from evenface.check.kinds import KINDS
from evenface.check.scan import Seen
from evenface.errors import UserError
from evenface.faces import read_image

MOST = 60
"""Pairs on a sheet."""
_SIDE, _TEXT, _ACROSS = 112, 30, 4


def write_sheet(file: Path, seen: Seen, again: Sequence[Again]) -> int:
    """Draw the worst pairs side by side, the worst first; returns how many. Writes nothing if there are none.

    Raises:
        UserError: the file cannot be written.
    """
    order = list(KINDS)
    shown = sorted(again, key=lambda one: order.index(one.kind))[:MOST]
    if not shown:
        return 0
    tiles = [_tile(seen, one) for one in shown]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _ACROSS)
    rows = [np.hstack(tiles[start : start + _ACROSS]) for start in range(0, len(tiles), _ACROSS)]
    try:
        written = cv2.imwrite(str(file), np.vstack(rows))
    except cv2.error:
        written = False
    if not written:
        raise UserError(f"--sheet: {file} cannot be written; give a file that ends in .jpg or .png")
    return len(shown)


def _tile(seen: Seen, one: Again) -> NDArray[np.uint8]:
    tile = np.full((_SIDE + _TEXT, 2 * _SIDE + 12, 3), 255, dtype=np.uint8)
    for place, index in enumerate((one.picture, one.other)):
        pictures, own = seen.place(index)
        picture = read_image(pictures.file(own)) if pictures.is_alone(own) else pictures.read(own)
        scale = _SIDE / max(picture.shape[:2])
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        left = place * (_SIDE + 4)
        tile[: size[1], left : left + size[0]] = small[:, :, ::-1]
        name = PurePosixPath(pictures.names[own])
        words = f"{name.parent.name}/{name.stem}".encode("ascii", "replace").decode()[-20:]
        cv2.putText(tile, words, (left, _SIDE + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.3, (0, 0, 0), 1, cv2.LINE_AA)
    words = f"{one.kind}, {one.how}"
    cv2.putText(tile, words, (0, _SIDE + 25), cv2.FONT_HERSHEY_SIMPLEX, 0.32, (0, 0, 200), 1, cv2.LINE_AA)
    return tile
