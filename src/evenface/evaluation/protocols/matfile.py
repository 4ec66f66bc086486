"""A variable of a MATLAB file, level 5 (MAT-File Format, The MathWorks).

SciPy's reader believes the sizes that a file announces: a broken file of 300 bytes makes it fill gigabytes.
This one reads text, numbers, cells and structs alone, and nothing beyond the file's own bytes.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError

_MOST = 1 << 24  # bytes of a file, and of what its compressed parts unpack to
_DEEPEST = 8  # cells and structs one inside another
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHARS, _NUMBERS = 1, 2, 4, range(6, 16)  # classes of a matrix
_INTEGERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 12: "<i8", 13: "<u8"}
_NUMERIC = _INTEGERS | {7: "<f4", 9: "<f8"}
_TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}

Element: TypeAlias = tuple[int, memoryview]  # its type, and its content
Value: TypeAlias = str | NDArray[np.float64] | list["Value"] | dict[str, "Value"]
"""One line of text, numbers (N,), the contents of a cell array, or the fields of one struct, in order.

MATLAB's arrays go column by column.
"""


def read_mat(path: Path, cells: str, numbers: str) -> tuple[list[str], NDArray[np.float64]]:
    """The strings of the cell array called `cells`, and the values (N,) of the array called `numbers`.

    Raises:
        UserError: as `read_variable`, or one of the two is something else.
    """
    found, values = read_variable(path, cells), read_variable(path, numbers)
    strings = [value for value in found if isinstance(value, str)]
    if not (isinstance(found, list) and isinstance(values, np.ndarray) and len(strings) == len(found)):
        raise UserError(
            f"{path}: expected a cell array of strings {cells!r} and numbers {numbers!r}; fetch it again"
        )
    return strings, values


def read_variable(path: Path, name: str) -> Value:
    """The variable called `name`.

    Raises:
        UserError: the file cannot be read, is not of level 5, is broken, or lacks the variable.
    """
    try:
        size = path.stat().st_size
        content = memoryview(path.read_bytes() if size <= _MOST else b"")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; the protocol needs this file") from None
    if size > _MOST:
        raise UserError(f"{path}: {size:,} bytes are too many for a list of pictures; fetch it again")
    if bytes(content[124:128]) != b"\x00\x01IM":
        raise UserError(f"{path}: not a MATLAB file of level 5; fetch it again, or save it with -v7")
    try:
        for data in _variables(content[128:]):
            if str(_matrix(data)[0], "latin-1") == name:
                return _value(data)
    except (ValueError, LookupError, struct.error, zlib.error) as error:
        raise UserError(f"{path}: a broken MATLAB file ({error}); fetch it again") from None
    raise UserError(f"{path}: there is no {name!r} in it; fetch it again")


def _variables(content: memoryview) -> Iterator[memoryview]:
    """Each matrix at the top."""
    left = _MOST
    for kind, data in _elements(content):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(data, left + 1)  # one more than may be: 0 would mean no limit
            left -= len(unpacked)
            if not unpacker.eof or left < 0:
                raise ValueError("a compressed part is cut short or too large")
            ((kind, data),) = _elements(memoryview(unpacked))
        if kind == _MATRIX:
            yield data


def _matrix(data: memoryview) -> tuple[memoryview, int, memoryview, Iterator[Element]]:
    """Name, class, shape and data of a matrix."""
    parts = _elements(data)
    (_, flags), (_, shape), (_, name) = islice(parts, 3)
    return name, flags[0], shape, parts


def _value(data: memoryview, depth: int = 0) -> Value:
    _, kind, shape, parts = _matrix(data)
    rows, columns = struct.unpack("<ii", shape)
    if depth > _DEEPEST:
        raise ValueError("cells nested too deep")
    if kind == _CHARS and rows == 1:
        ((kind, data),) = parts
        return str(data, _TEXT[kind])
    if kind == _STRUCT and rows == columns == 1:
        return _struct(parts, depth)
    found: list[Value] | NDArray[np.float64]
    if kind == _CELL:
        found = [_inner(part, depth) for part in parts]
    elif kind in _NUMBERS:
        ((kind, data),) = parts
        found = np.frombuffer(data, _NUMERIC[kind]).astype(np.float64)
    else:
        raise ValueError("a cell that is not one line of text, numbers, cells or one struct")
    if len(found) != rows * columns:
        raise ValueError(f"{len(found)} values for {rows}x{columns}")
    return found


def _struct(parts: Iterator[Element], depth: int) -> dict[str, Value]:
    (_, width), (_, names) = islice(parts, 2)
    (step,) = struct.unpack("<i", width)
    fields = {}
    for at, part in zip(range(0, len(names), step), parts, strict=True):
        fields[str(names[at : at + step], "latin-1").split("\0")[0]] = _inner(part, depth)
    return fields


def _inner(part: Element, depth: int) -> Value:
    kind, data = part
    if kind != _MATRIX:
        raise ValueError("a cell that is not one line of text, numbers, cells or one struct")
    return _value(data, depth + 1)


def _elements(data: memoryview) -> Iterator[Element]:
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
