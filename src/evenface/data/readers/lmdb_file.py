"""Where the values of an LMDB file lie, found without LMDB.

LMDB maps the file and trusts what it reads there: a file that is damaged or cut short can end the process.
Here every number is checked before it is followed, and the values are left where they are.

A file is pages of one size, in the machine's byte order (LMDB 0.9 on 64 bits, `libraries/liblmdb/mdb.c`):

- A page starts with 16 bytes: uint64 its number, uint16, uint16 flags (1 branch, 2 leaf), uint16 `lower`,
  uint16. Then come uint16 places of nodes within the page, up to byte `lower`, in the order of their keys.
- A node starts with uint16 low, uint16 high, uint16 flags, uint16 length of its key; the key follows. In a
  branch the first three give 48 bits, the number of a page below. In a leaf the first two give the size of
  the value, which follows the key; or, with flag 1, behind the key is the uint64 number of the page where
  the value starts after 16 bytes. Flags 2 and 4 mark trees within the tree.
- Pages 0 and 1 hold, after their 16 bytes: uint32 0xbeefc0de, uint32 version 1, 16 bytes, two trees, uint64
  the last page, uint64 transaction. The later transaction counts. Of the 48 bytes of a tree, the uint32 at 0
  of the first is the size of a page; of the second the uint16 at 4 is flags, the uint64 at 40 its top page.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

_META = struct.Struct("=16xII16xI44x4xH34xQ8xQ")
_PAGE = struct.Struct("=Q2xHH2x")
_NODE = struct.Struct("=HHHH")
_NUMBER = struct.Struct("=Q")
_BRANCH, _LEAF = 1, 2
_ELSEWHERE = 1
_EMPTY = 2**64 - 1


class DamagedError(Exception):
    """The file is no database, or not whole."""


Entry = tuple[bytes, int, int]
"""A value: its key, and its first byte and size in the file."""


def entries(path: Path) -> Iterator[Entry]:
    """The entries of a database in the order of their keys; raises DamagedError or OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        yield from _Tree(file).entries()
    finally:
        os.close(file)


class _Tree:
    def __init__(self, file: int):
        self.file = file
        self.size = os.fstat(file).st_size
        metas = [self._meta(0)]
        self.page_size = metas[0][0]
        metas.append(self._meta(self.page_size))
        page, flags, self.top, _ = max(metas, key=lambda meta: meta[3])
        if page != self.page_size:
            raise DamagedError("damaged: two sizes of pages")
        if flags:
            raise DamagedError("not a plain database: its keys have several values or an order of their own")

    def _meta(self, offset: int) -> tuple[int, int, int, int]:
        head = os.pread(self.file, _META.size, offset)
        if len(head) < _META.size:
            raise DamagedError("cut short, or not a database of LMDB")
        magic, version, page, flags, top, transaction = _META.unpack(head)
        if (magic, version) != (0xBEEFC0DE, 1):
            raise DamagedError("not a database of LMDB 0.9, or of another kind of machine")
        if page not in (1 << power for power in range(8, 17)):
            raise DamagedError(f"damaged: pages of {page} bytes")
        return page, flags, top, transaction

    def entries(self) -> Iterator[Entry]:
        before = b""
        waiting = [] if self.top == _EMPTY else [self.top]
        seen = bytearray(self.size // self.page_size)
        while waiting:
            number = waiting.pop()
            if number >= len(seen):
                raise DamagedError(f"cut short: its page {number} of {len(seen)} is not there")
            if seen[number]:  # a damaged tree could lead round and round
                raise DamagedError(f"damaged: two ways lead to page {number}")
            seen[number] = 1
            page = os.pread(self.file, self.page_size, number * self.page_size)
            try:
                own, flags, lower = _PAGE.unpack_from(page)
                places = struct.unpack_from(f"={(lower - 16) // 2}H", page, 16)
                if own != number or flags not in (_BRANCH, _LEAF):
                    raise DamagedError(f"damaged: page {number} is something else")
                if flags == _BRANCH:
                    waiting += [self._below(page, place) for place in reversed(places)]
                    continue
                found = self._leaf(page, number, places)
            except struct.error:
                raise DamagedError(f"damaged: page {number} is not as it should be") from None
            for entry in found:
                if entry[0] <= before:
                    raise DamagedError(f"damaged: the key {entry[0]!r} comes after {before!r}")
                yield entry
                before = entry[0]

    def _below(self, page: bytes, place: int) -> int:
        low, high, top, _ = _NODE.unpack_from(page, place)
        return int(low | high << 16 | top << 32)

    def _leaf(self, page: bytes, number: int, places: tuple[int, ...]) -> list[Entry]:
        found = []
        for place in places:
            low, high, flags, length = _NODE.unpack_from(page, place)
            size, value = low | high << 16, place + 8 + length
            key = page[place + 8 : value]
            if flags == 0:
                offset, end = number * self.page_size + value, (number + 1) * self.page_size
            elif flags == _ELSEWHERE:
                (first,) = _NUMBER.unpack_from(page, value)
                offset, end = first * self.page_size + 16, self.size
            else:
                raise DamagedError(f"the key {key!r} has a database within the database; give one without")
            if offset + size > end:
                goes = f"the value of {key!r} goes to byte {offset + size:,} of {end:,}"
                raise DamagedError(f"cut short or damaged: {goes}")
            found.append((key, offset, size))
        return found
