"""The one pass over all pictures."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from errno import ENOENT
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.check.look import Look, look, look_at_pixels
from evenface.check.quiet import Quiet
from evenface.check.sets import PictureSet
from evenface.errors import UserError
from evenface.evaluation.images import ImageSet
from evenface.faces import UnreadableImage, read_encoded

ROW = np.dtype(
    [
        ("whole", "?"),
        ("digest", "u8"),
        ("bits", "u8", 4),
        ("height", "i4"),
        ("width", "i4"),
        ("tint", "u1"),
        ("mean", "f4"),
        ("deviation", "f4"),
    ]
)
"""What is kept of a picture: whether it is one, and the fields of `Look`."""
_WINDOW = 512  # pictures between two looks at what the decoders wrote
_DEAD_LINK = "a link to a file that is not there; training passes over it"
_DAMAGE = re.compile(r"^(Corrupt JPEG data|Premature end of JPEG).*$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the pass saw of all pictures of all sets, one set after the other."""

    sets: Sequence[PictureSet]
    rows: NDArray[Any]
    """(N,) of ROW."""
    faults: dict[int, str]
    """Of each picture that is not whole, what is wrong with it: "missing" of one that a protocol names, or in
    more words."""
    damaged: dict[int, str]
    """Of each picture that decodes with a warning, the decoder's words; training takes it as it is."""

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(S + 1,) the place of the first picture of each set, and N."""
        return np.cumsum([0, *map(len, self.sets)])

    def place(self, index: int) -> tuple[PictureSet, int]:
        """The set of picture `index`, and its number there."""
        which = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.sets[which], index - int(self.starts[which])

    def path(self, index: int) -> str:
        """What to call picture `index`."""
        pictures, own = self.place(index)
        return pictures.path(own)


def scan(
    sets: Sequence[PictureSet], quiet: Quiet, workers: int, progress: Callable[[int, int], None]
) -> Seen:
    """Read each picture once, in `workers` threads; holds one window of files and a row for each picture."""
    total = sum(map(len, sets))
    seen = Seen(sets, np.zeros(total, dtype=ROW), {}, {})
    own_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # one picture a thread: OpenCV's own threads would only get in the way
    try:
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, total, _WINDOW):
                places = range(start, min(start + _WINDOW, total))
                for index, found in zip(
                    places, pool.map(lambda i: _read(*seen.place(i)), places), strict=True
                ):
                    if isinstance(found, Look):
                        seen.rows[index] = (True, *found)
                    else:
                        seen.faults[index] = found
                if _DAMAGE.search(quiet.said()):
                    seen.damaged.update(_damaged(seen, places, quiet))
                progress(places.stop, total)
    finally:
        cv2.setNumThreads(own_threads)
    return seen


def _read(pictures: PictureSet, index: int) -> Look | str:
    if pictures.packed is None and not pictures.is_alone(index):
        return _cropped(*pictures.crops[index])
    packed = pictures.packed
    try:
        content = read_encoded(pictures.file(index)) if packed is None else packed.encoded(index)
    except UnreadableImage as error:
        if packed is None and error.why == os.strerror(ENOENT):
            return "missing" if pictures.crops else _DEAD_LINK
        return error.why
    found = look(content)
    if pictures.crops and isinstance(found, Look):
        crop = _cropped(*pictures.crops[index])
        return crop if isinstance(crop, str) else found  # such as a wrong size, or broken landmarks
    return found


def _cropped(images: ImageSet, number: int) -> Look | str:
    try:
        return look_at_pixels(images.read(number))
    except UserError as error:
        return str(error)


def _damaged(seen: Seen, places: range, quiet: Quiet) -> Iterator[tuple[int, str]]:
    """Reads the pictures of a window again, one by one, to learn which of them the decoder complained of."""
    for index in places:
        _read(*seen.place(index))
        words = _DAMAGE.search(quiet.said())
        if words and index not in seen.faults:
            yield index, words[0]
