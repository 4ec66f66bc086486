"""One look at one picture: does it decode as training decodes it, what is it like, what does it resemble."""

from hashlib import sha256
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.faces import UnreadableImage, decode_image

Bits = NDArray[np.uint64]

_THUMB = 32  # pixels a side; everything but the decoding is done on this


class Look(NamedTuple):
    """What one picture showed."""

    digest: int
    """First 64 bits of the SHA-256 of its bytes."""
    bits: Bits
    """(4,), `picture_bits` of it."""
    height: int
    width: int
    """As decoded, EXIF orientation applied."""
    tint: int
    """Largest difference between the channels of a pixel of the thumbnail; a gray picture has 0 to 2."""
    mean: float
    """Of the thumbnail's luma, 0 to 255."""
    deviation: float
    """Standard deviation of the thumbnail's luma."""


def look(content: bytes) -> Look | str:
    """Decode a file's bytes and describe the picture, or say in a few words why it is no whole picture."""
    # OpenCV 5 refuses a JPEG that is cut short; OpenCV 4 returns it with the lower part gray.
    if content.startswith(b"\xff\xd8") and not _has_an_end(content):
        return "JPEG, cut short: no end-of-image marker"
    try:
        rgb = decode_image(content, "")
    except UnreadableImage as error:
        if error.why.startswith("not a picture"):  # a page that says 404, for example
            return f"{error.why}: begins with {content[:16]!r}"
        return error.why
    digest = int.from_bytes(sha256(content).digest()[:8], "little")
    return look_at_pixels(rgb, digest)


def look_at_pixels(rgb: NDArray[np.uint8], digest: int | None = None) -> Look:
    """Describe a decoded RGB picture (height, width, 3); without a digest its pixels are digested."""
    if digest is None:
        digest = int.from_bytes(sha256(rgb.tobytes()).digest()[:8], "little")
    thumb = cv2.resize(rgb, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
    luma = np.asarray(cv2.cvtColor(thumb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return Look(
        digest=digest,
        bits=picture_bits(luma),
        height=rgb.shape[0],
        width=rgb.shape[1],
        tint=int((thumb.max(axis=2) - thumb.min(axis=2)).max()),
        mean=float(luma.mean()),
        deviation=float(luma.std()),
    )


def picture_bits(luma: NDArray[np.uint8]) -> Bits:
    """The perceptual hash of a 32x32 luma thumbnail, uint64 (4,).

    The signs of the 16x16 lowest frequencies of its discrete cosine transform (after Zauner, 2010), without
    the mean: 255 bits. The first word has the 8x8 lowest, by which near pictures are looked up. Brightness
    and contrast leave signs alone until pixels saturate. A mirrored picture has other bits.
    """
    signs = cv2.dct(luma.astype(np.float32))[:16, :16] > 0
    signs[0, 0] = False
    ordered = np.concatenate([signs[:8, :8].ravel(), signs[:8, 8:].ravel(), signs[8:].ravel()])
    return np.packbits(ordered, bitorder="little").view(np.uint64)


def _has_an_end(jpeg: bytes) -> bool:
    """Whether an end-of-image marker follows the start of the scan: not one in an EXIF thumbnail."""
    place = 2
    while jpeg[place : place + 1] == b"\xff" and jpeg[place + 1 : place + 2] != b"\xda":
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    return jpeg.find(b"\xff\xd9", place) >= 0
