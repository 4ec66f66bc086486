"""One look at one picture: does it decode as training decodes it, what is it like, what does it resemble."""

from hashlib import sha256
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]

_THUMB = 32  # pixels a side; everything but the decoding is done on this
_KINDS = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG": "PNG",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"P2": "PGM",
    b"P5": "PGM",
    b"P3": "PPM",
    b"P6": "PPM",
}


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
    if not content:
        return "empty file"
    try:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # such as a header that announces more pixels than OpenCV takes
        bgr = None
    kind = next((kind for start, kind in _KINDS.items() if content.startswith(start)), None)
    # OpenCV 5 refuses a JPEG that is cut short; OpenCV 4 returns it with the lower part gray.
    if kind == "JPEG" and not _has_an_end(content):
        return "JPEG, cut short: no end-of-image marker"
    if bgr is None:
        return f"{kind}, but does not decode" if kind else f"not a picture: begins with {content[:16]!r}"
    digest = int.from_bytes(sha256(content).digest()[:8], "little")
    return look_at_pixels(np.asarray(bgr, dtype=np.uint8), digest)


def look_at_pixels(bgr: NDArray[np.uint8], digest: int | None = None) -> Look:
    """Describe a decoded picture (height, width, 3); without a digest its pixels are digested."""
    if digest is None:
        digest = int.from_bytes(sha256(bgr.tobytes()).digest()[:8], "little")
    thumb = cv2.resize(bgr, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
    luma = np.asarray(cv2.cvtColor(thumb, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    return Look(
        digest=digest,
        bits=picture_bits(luma),
        height=bgr.shape[0],
        width=bgr.shape[1],
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
