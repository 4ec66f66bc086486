"""RecordIO, the container of MXNet's `.rec` files, and the image records in it.

A record is a row of parts, every number in them little-endian. A part is

    uint32 0xced7230a, the magic
    uint32 kind << 29 | length
    `length` bytes, then zeros up to a multiple of 4

A record is one part of kind 0, unless it has the magic at a multiple of 4 within itself. There it is cut, and
the magic is left out: its parts are of kind 1, then 2 for each in the middle, then 3. A record has fewer than
2^29 bytes. (dmlc-core, `include/dmlc/recordio.h` and `src/recordio.cc`.)

An image record is a header, labels and the encoded picture:

    uint32 flag, float32 label, uint64 id, uint64 id2
    `flag` float32 labels, which stand for the header's own label where the flag is not 0
    the picture

(MXNet, `python/mxnet/recordio.py`: `IRHeader`, `pack` and `unpack`.)
"""

import mmap
import os
import struct
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAGIC = 0xCED7230A
LONGEST = 2**29 - 1
"""Bytes of a record, at most."""
INEXACT = 2**24
"""From here on float32 leaves whole numbers out: a label may be another's, a range may be off by some."""

HEAD = np.dtype(
    [
        *[
            ("magic", "<u4"),
            ("part", "<u4"),
            ("flag", "<u4"),
            ("label", "<f4"),
            ("id", "<u8"),
            ("id2", "<u8"),
        ],
        ("labels", "<f4", 2),
    ]
)
"""The start of an image record in its file: of its part, its header, and its first two labels."""
_PART = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_MAGIC = struct.pack("<I", MAGIC)


def image_record(labels: Sequence[float], key: int, picture: bytes) -> bytes:
    """The record of a picture as a file has it: one label stands in the header, more behind it.

    Raises:
        ValueError: it is longer than a record can be.
    """
    if len(labels) == 1:
        return parted(_HEADER.pack(0, labels[0], key, 0) + picture)
    return parted(_HEADER.pack(len(labels), 0, key, 0) + np.array(labels, "<f4").tobytes() + picture)


def image_of(record: bytes) -> bytes:
    """The encoded picture of an image record.

    Raises:
        ValueError: the record is too short for its header.
    """
    start = _HEADER.size
    if len(record) >= start:
        start += 4 * int(_HEADER.unpack_from(record)[0])
    if len(record) < start:
        raise ValueError(f"its {len(record)} bytes are too few for its header and labels")
    return record[start:]


def parted(record: bytes) -> bytes:
    """A record's bytes as its parts.

    Raises:
        ValueError: it is longer than a record can be.
    """
    if len(record) > LONGEST:
        raise ValueError(f"{len(record):,} bytes are more than a record holds, {LONGEST:,}")
    words = np.frombuffer(record, "<u4", len(record) // 4)
    cuts = [4 * int(word) for word in np.flatnonzero(words == MAGIC)]
    kinds = [1, *[2] * (len(cuts) - 1), 3] if cuts else [0]
    parts = [
        _PART.pack(MAGIC, kind << 29 | end - start) + record[start:end]
        for kind, start, end in zip(kinds, [0, *(cut + 4 for cut in cuts)], [*cuts, len(record)], strict=True)
    ]
    return b"".join(parts) + bytes(-len(record) % 4)


def read_record(file: int, offset: int, size: int) -> tuple[bytes, int]:
    """The record at an offset of an open file of `size` bytes, and the offset behind it.

    Raises:
        ValueError: there is no whole record.
    """
    parts: list[bytes] = []
    total = 0
    while True:
        head = os.pread(file, _PART.size, offset)
        magic, part = _PART.unpack(head) if len(head) == _PART.size else (0, 0)
        kind, length = part >> 29, part & LONGEST
        if magic != MAGIC or kind not in ((2, 3) if parts else (0, 1)):
            raise ValueError(f"there is no {'next part' if parts else 'record'} at byte {offset:,}")
        total += length + 4 * bool(parts)
        if offset + _PART.size + length > size or total > LONGEST:
            raise ValueError(f"its part at byte {offset:,} is {length:,} bytes long, more than there are")
        parts.append(os.pread(file, length, offset + _PART.size))
        if len(parts[-1]) < length:
            raise ValueError("the file has been cut short since it was opened")
        offset += _PART.size + length + -length % 4
        if kind in (0, 3):
            return _MAGIC.join(parts), offset


def scan(path: Path) -> NDArray[np.int64]:
    """The offsets of all the records of a file, in its order.

    Raises:
        ValueError: it is not records from its first byte to its last.
        OSError: it cannot be read.
    """
    offsets, at = array("q"), 0
    size = path.stat().st_size
    with path.open("rb") as file:
        if not size:
            raise ValueError("the file is empty")
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
            while at + _PART.size <= size:
                magic, part = _PART.unpack_from(content, at)
                kind = part >> 29
                if magic != MAGIC or kind > (3 if offsets else 1):
                    raise ValueError(f"there is no record at byte {at:,}")
                if kind < 2:
                    offsets.append(at)
                length = part & LONGEST
                at += _PART.size + length + -length % 4
    if at != size:
        raise ValueError(f"its last record goes to byte {at:,}, and the file has {size:,}")
    return np.array(offsets, dtype=np.int64)


def heads(words: NDArray[np.uint32], offsets: NDArray[np.int64]) -> NDArray[np.void]:
    """`HEAD` of the records at these offsets, multiples of 4; behind the end of the file its last word."""
    places = np.minimum(offsets[:, None] // 4 + np.arange(HEAD.itemsize // 4), len(words) - 1)
    return np.ascontiguousarray(words[places]).view(HEAD)[:, 0]
