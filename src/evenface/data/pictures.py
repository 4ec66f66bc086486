"""Where encoded pictures lie, and how one is read: in any order, from any process."""

import os
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from evenface.faces import decode_image, read_encoded


class Pictures(ABC):
    """N encoded pictures. A format of storage is a subclass.

    Several threads may read at once. An object is handed to worker processes, by fork or pickled, so it opens
    its files where they are first read and has no list with a Python object for each picture: workers would
    copy it, page by page.
    """

    blocks: NDArray[np.int64] | None = None
    """(N,) the file or group that each picture is read with; None where any order costs the same."""

    @abstractmethod
    def __len__(self) -> int:
        """N."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What the set calls picture `index`, with / between folders; unique where the set is sound."""

    @abstractmethod
    def place(self, index: int) -> str:
        """Where picture `index` lies, for people to find it: a file, or a file and a record or a byte."""

    @abstractmethod
    def encoded(self, index: int) -> bytes:
        """Picture `index` as it is stored, a JPEG or PNG for example.

        Raises:
            UnreadableImage: naming its place.
        """

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Picture `index`, 8-bit RGB, (height, width, 3).

        Raises:
            UnreadableImage: it is missing or broken.
        """
        return decode_image(self.encoded(index), self.place(index))


class Picked(Pictures):
    """Some of the pictures of another set, `rows` (M,) of it, in this order."""

    def __init__(self, pictures: Pictures, rows: NDArray[np.int64]):
        self.whole: Pictures = pictures
        self.rows = rows
        if isinstance(pictures, Picked):
            self.whole, self.rows = pictures.whole, pictures.rows[rows]
        self.blocks = None if pictures.blocks is None else pictures.blocks[rows]

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, index: int) -> str:
        """As `Pictures.name`."""
        return self.whole.name(int(self.rows[index]))

    def place(self, index: int) -> str:
        """As `Pictures.place`."""
        return self.whole.place(int(self.rows[index]))

    def encoded(self, index: int) -> bytes:
        """As `Pictures.encoded`."""
        return self.whole.encoded(int(self.rows[index]))


class Files(Pictures):
    """A file for each picture: `root / name`."""

    def __init__(self, names: Iterable[str], root: Path = Path()):
        self.names, self.root = Names(names), root

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """As `Pictures.name`."""
        return self.names[index]

    def place(self, index: int) -> str:
        """As `Pictures.place`."""
        return os.path.join(self.root, self.names[index])  # noqa: PTH118  a Path takes as long as the reading

    def encoded(self, index: int) -> bytes:
        """As `Pictures.encoded`."""
        return read_encoded(self.place(index))


class Names(Sequence[str]):
    """Many strings in two blocks of memory: they take what their letters take, and workers share them."""

    def __init__(self, names: Iterable[str]):
        letters, ends = bytearray(), array("q", [0])
        for name in names:
            letters += name.encode("utf-8", "surrogatepass")  # a file's name need not be valid text
            ends.append(len(letters))
        self._letters = np.frombuffer(bytes(letters), dtype=np.uint8)
        self._ends = np.array(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        start, end = self._ends[index % len(self) :][:2]
        return self._letters[start:end].tobytes().decode("utf-8", "surrogatepass")
