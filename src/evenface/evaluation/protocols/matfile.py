"""Names and numbers of a MATLAB file, level 5 (MAT-File Format, The MathWorks).

SciPy's reader believes the sizes that a file announces: a broken file of 300 bytes makes it fill gigabytes.
This one reads cell arrays of strings and numeric arrays alone, and nothing beyond the file's own bytes.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError

_MOST = 1 << 24  # bytes of a file, and of what its compressed parts unpack to
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHARS, _NUMBERS = 1, 4, range(6, 16)  # classes of a matrix
_INTEGERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 12: "<i8", 13: "<u8"}
_NUMERIC = _INTEGERS | {7: "<f4", 9: "<f8"}
_TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}

Element = tuple[int, bytes]  # its type, and its content


def read_mat(path: Path, cells: str, numbers: str) -> tuple[list[str], NDArray[np.float64]]:
    """The strings of the cell array called `cells`, and the values (N,) of the array called `numbers`.

    Raises:
        UserError: the file cannot be read, is not of level 5, is broken, or lacks one of the two.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= _MOST else b""
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; the protocol needs this file") from None
    if size > _MOST:
        raise UserError(f"{path}: {size:,} bytes are too many for a list of pictures; fetch it again")
    if content[124:128] != b"\x00\x01IM":
        raise UserError(f"{path}: not a MATLAB file of level 5; fetch it again, or save it with -v7")
    strings, values = None, None
    try:
        for name, kind, parts in _variables(content[128:]):
            if name == cells and kind == _CELL:
                strings = [_string(part) for part in parts]
            elif name == numbers and kind in _NUMBERS:
                values = np.frombuffer(parts[0][1], _NUMERIC[parts[0][0]]).astype(np.float64)
    except (ValueError, LookupError, struct.error, zlib.error) as error:
        raise UserError(f"{path}: a broken MATLAB file ({error}); fetch it again") from None
    if strings is None or values is None:
        raise UserError(
            f"{path}: expected the cell array of strings {cells!r} and the numbers {numbers!r}, and there is "
            f"no {cells if strings is None else numbers!r}; fetch it again"
        )
    return strings, values


def _variables(content: bytes) -> Iterator[tuple[str, int, list[Element]]]:
    """Each matrix at the top: its name, its class and its data."""
    left = _MOST
    for kind, data in _elements(content):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(data, left)
            if not unpacker.eof:
                raise ValueError("a compressed part is cut short or too large")
            left -= len(data)
            ((kind, data),) = _elements(data)
        if kind == _MATRIX:
            name, matrix, _, parts = _matrix(data)
            yield name, matrix, parts


def _matrix(data: bytes) -> tuple[str, int, bytes, list[Element]]:
    """Name, class, shape and data of a matrix."""
    (_, flags), (_, shape), (_, name), *parts = _elements(data)
    return name.decode("latin-1"), flags[0], shape, parts


def _string(element: Element) -> str:
    kind, data = element
    if kind != _MATRIX:
        raise ValueError("a cell that is no matrix")
    _, matrix, shape, parts = _matrix(data)
    if matrix != _CHARS or struct.unpack("<ii", shape)[0] != 1:
        raise ValueError("a cell that is not one line of text")
    kind, data = parts[0]
    return data.decode(_TEXT[kind])


def _elements(data: bytes) -> Iterator[Element]:
    """The data elements that lie one after another."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        start = at + 8
        if kind >> 16:  # a small one: its size beside its type, its content in place of the size
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            at += 8
        else:
            at = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > min(at, len(data)):
            raise ValueError("a part is cut short")
        yield kind, data[start : start + size]
