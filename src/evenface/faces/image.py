"""Reading one picture."""

import os
from pathlib import Path
from stat import S_ISREG

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.faces.announced import announced

MOST_PIXELS = 100_000_000
"""A picture of more is refused unread: a file of a few bytes can announce gigabytes."""
_MOST_BYTES = 8 * MOST_PIXELS  # of 16-bit samples with alpha, not compressed


class UnreadableImage(UserError):
    """A picture that is missing, empty, corrupt or far too large; `place` names it, `why` says which."""

    def __init__(self, place: object, why: str):
        self.place = str(place)
        self.why = why
        super().__init__(f"{self.place}: {why}")

    def __reduce__(self) -> tuple[type["UnreadableImage"], tuple[str, str]]:
        return type(self), (self.place, self.why)  # a loader's worker process sends it to the main one


def decode_image(content: bytes, place: object) -> NDArray[np.uint8]:
    """The first picture of a JPEG, PNG, BMP, WebP, GIF, PNM or TIFF file, 8-bit RGB (height, width, 3).

    Gray is repeated, EXIF orientation applied, CMYK converted; of 16 bits the upper 8 are taken (within 1 of
    that in TIFF). Transparency is dropped, as `cv2.imread` and Pillow's `convert("RGB")` do: any background
    that were put in would be an edge that no camera saw. The libraries leave two exceptions: a TIFF comes
    over black, and a GIF over its own background colour.

    Raises:
        UnreadableImage: naming `place`: not of these kinds, above `MOST_PIXELS`, cut short or damaged.
    """
    if not content:
        raise UnreadableImage(place, "empty file")
    try:
        kind, width, height = announced(content)
    except ValueError as error:
        raise UnreadableImage(place, str(error)) from None
    if width * height > MOST_PIXELS:
        most = f"at most {MOST_PIXELS // 1_000_000} million are read"
        raise UnreadableImage(place, f"{kind} of {width} x {height} pixels; {most}, make it smaller")
    try:
        rgb = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # the decoder's own limits
        rgb = None
    if rgb is None:
        raise UnreadableImage(place, f"{kind} that is cut short, damaged or of a variety that is not read")
    return np.asarray(rgb, dtype=np.uint8)


def read_encoded(path: Path | str) -> bytes:
    """The bytes of a picture's file, for `decode_image`.

    Raises:
        UnreadableImage: the file is missing, may not be read, is no regular file or far too large.
    """
    try:
        # By the system's own calls, at half the time of `path.read_bytes`. A pipe that nobody writes to, or a
        # device, would be waited for.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(file)
            if not S_ISREG(status.st_mode):
                raise UnreadableImage(path, "not a regular file")
            if status.st_size > _MOST_BYTES:
                raise UnreadableImage(path, f"{status.st_size} bytes, more than a picture takes")
            return os.read(file, status.st_size)
        finally:
            os.close(file)
    except OSError as error:
        raise UnreadableImage(path, error.strerror or "cannot be read") from None


def read_image(path: Path) -> NDArray[np.uint8]:
    """`decode_image` of a file.

    Raises:
        UnreadableImage: naming the file, also for all that `read_encoded` refuses.
    """
    return decode_image(read_encoded(path), path)
