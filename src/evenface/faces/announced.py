"""The size that a picture's header announces, read before a decoder allocates that much."""

import re
from struct import error as StructError
from struct import unpack_from

Size = tuple[int, int]

# What comes before a marker now and then: bytes astray, padding. libjpeg, too, passes over them.
_ASTRAY = re.compile(rb"[^\xff]*\xff*(?=\xff[^\xff])")
_BETWEEN = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PNM = re.compile(rb"P([1-6])N(\d{1,10})N(\d{1,10})(?=\s)(?:N(\d{1,10})\s)?".replace(b"N", _BETWEEN))
_PNM_HEADER = 4096  # bytes, comments included

_ROWS_PER_STRIP = 278
# ImageWidth, ImageLength, RowsPerStrip, TileWidth and TileLength: whether a width (0) or a height (1).
_TIFF_SIZES = {256: 0, 257: 1, _ROWS_PER_STRIP: 1, 322: 0, 323: 1}


def announced(content: bytes) -> tuple[str, int, int]:
    """The kind of a picture, such as "JPEG", and the width and height in pixels that its header announces.

    EXIF orientation is not applied. A TIFF's tiles and strips may be larger than its picture; they count.

    Raises:
        ValueError: for any other kind, or a damaged header; the message says what is wrong.
    """
    for start, kind, size in _KINDS:
        if content.startswith(start):
            try:
                return kind, *size(content)
            except (StructError, IndexError):
                raise ValueError(f"{kind} with a header that is cut short or damaged") from None
    raise ValueError("not a picture in JPEG, PNG, BMP, WebP, GIF, PNM or TIFF")


def _jpeg(content: bytes) -> Size:
    at = 2
    while (marker := content[at + 1]) not in (0xD9, 0xDA) or content[at] != 0xFF:  # the end, or the scan
        if content[at] != 0xFF or marker == 0xFF:
            found = _ASTRAY.match(content, at)
            if not found:
                break
            at = found.end()
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a length
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = unpack_from(">HH", content, at + 5)
            return width, height
        else:
            at += 2 + max(2, content[at + 2] << 8 | content[at + 3])
    raise IndexError


def _png(content: bytes) -> Size:
    name, width, height = unpack_from(">4sII", content, 12)
    if name != b"IHDR":
        raise IndexError
    at = 8
    while at < len(content):
        length, name = unpack_from(">I4s", content, at)
        at += 12 + length
        if at > len(content):  # OpenCV allocates what a chunk announces, up to 4 GB
            raise IndexError
        if name == b"IEND":
            break
    return width, height


def _bmp(content: bytes) -> Size:
    old = unpack_from("<I", content, 14) == (12,)  # of OS/2
    width, height = unpack_from("<HH" if old else "<ii", content, 18)
    return abs(width), abs(height)  # a negative height says that the top row comes first


def _webp(content: bytes) -> Size:
    kind = content[8:16]
    if kind == b"WEBPVP8X":
        low_width, high_width, low_height, high_height = unpack_from("<HBHB", content, 24)
        return (high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1
    if kind == b"WEBPVP8L":
        (both,) = unpack_from("<I", content, 21)
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    if kind == b"WEBPVP8 ":
        width, height = unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise IndexError


def _gif(content: bytes) -> Size:
    width, height = unpack_from("<HH", content, 6)
    return width, height


def _pnm(content: bytes) -> Size:
    found = _PNM.match(content, 0, _PNM_HEADER)
    if not found:
        raise IndexError
    kind, width, height, largest = found.groups()
    # OpenCV takes the samples of others as they are, as if they went to 255 or 65535.
    if kind in b"2356" and largest not in (b"255", b"65535"):
        raise ValueError("PNM whose largest value is neither 255 nor 65535; write it with one of these")
    return int(width), int(height)


def _tiff(content: bytes) -> Size:
    order = "<" if content.startswith(b"I") else ">"
    (at,) = unpack_from(order + "I", content, 4)
    (entries,) = unpack_from(order + "H", content, at)
    sizes = [0, 0]
    for entry in range(at + 2, at + 2 + 12 * entries, 12):
        tag, kind = unpack_from(order + "HH", content, entry)
        if tag in _TIFF_SIZES:
            if kind not in (3, 4):
                raise IndexError
            (value,) = unpack_from(order + ("H" if kind == 3 else "I"), content, entry + 8)
            if tag != _ROWS_PER_STRIP or value != 0xFFFFFFFF:  # which says: one strip
                sizes[_TIFF_SIZES[tag]] = max(sizes[_TIFF_SIZES[tag]], value)
    return sizes[0], sizes[1]


_KINDS = [
    (b"\xff\xd8\xff", "JPEG", _jpeg),
    (b"\x89PNG\r\n\x1a\n", "PNG", _png),
    (b"RIFF", "WebP", _webp),
    (b"BM", "BMP", _bmp),
    (b"GIF8", "GIF", _gif),
    (b"II*\0", "TIFF", _tiff),
    (b"MM\0*", "TIFF", _tiff),
    *((b"P%d" % kind, "PNM", _pnm) for kind in range(1, 7)),
]
