"""LMDB databases of encoded pictures, in the two forms that scripts for PyTorch write.

- The key `person/image` has the encoded picture as its value.
- The key is a number, and the value a pickle of (encoded picture, number of the person). All pickles are read
  when the set is opened, since only they tell the labels; they are never run (`plain_pickle`).

Entries such as `__keys__` and `__len__` are passed over: the database knows its keys itself.
"""

import os
import weakref
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.data.faceset import FaceSet
from evenface.data.pictures import Names, Pictures
from evenface.data.plain_pickle import ByteArray, load_plain
from evenface.data.readers.lmdb_file import DamagedError, entries
from evenface.errors import UserError
from evenface.faces import UnreadableImage

_CURE = "store each picture under the key person/image"


def takes_lmdb(path: Path) -> bool:
    """Whether it is an `.mdb` or `.lmdb` file, or a folder with `data.mdb`."""
    return path.suffix in (".mdb", ".lmdb") or (path / "data.mdb").is_file()


def read_lmdb(path: Path, *, field: str = "data.root") -> FaceSet:
    """The set in an LMDB database: a folder with `data.mdb`, or that file.

    Pictures come in the order of their keys, numbers by size. A person is called by what stands in a key
    before its last /, or by the number.

    Raises:
        UserError: the file is not whole or is no such database, or its entries have neither of the two forms.
    """
    file = path / "data.mdb" if path.is_dir() else path
    found = _Found(file)
    try:
        keys = Names(found.keys())
    except OSError as error:
        raise UserError(f"{field}: {file}: {error.strerror}; give a database that can be read") from None
    except DamagedError as error:
        raise UserError(f"{field}: {file}: {error}; copy the database again") from None
    if not len(keys):
        raise UserError(f"{field}: {file} has no entries; give another database")
    offsets, sizes = np.array(found.offsets, dtype=np.int64), np.array(found.sizes, dtype=np.int64)
    if len(found.people) == len(keys):
        pictures = LmdbPictures(file, keys, offsets, sizes, pickled=False)
        return FaceSet.numbered(pictures, np.array(found.people, dtype=np.int64), list(found.names))
    if odd := next((key for key in keys if not ("/" in key if found.people else _is_number(key))), None):
        raise UserError(f"{field}: {file}: {_what_is_odd(odd)}; {_CURE}")
    order = sorted(range(len(keys)), key=lambda i: int(keys[i]))
    keys = Names(keys[i] for i in order)
    pictures = LmdbPictures(file, keys, offsets[order], sizes[order], pickled=True)
    try:
        return FaceSet.of(pictures, (str(pictures.label(i)) for i in range(len(pictures))))
    except UnreadableImage as error:
        raise UserError(f"{field}: {error}; {_CURE}") from None


class LmdbPictures(Pictures):
    """The pictures under these keys (N,), at these bytes of a file; `pickled` with their labels, or alone."""

    def __init__(
        self, file: Path, keys: Names, offsets: NDArray[np.int64], sizes: NDArray[np.int64], *, pickled: bool
    ):
        self.file, self.keys, self.offsets, self.sizes, self.pickled = file, keys, offsets, sizes, pickled
        self._file: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, index: int) -> str:
        """Its key."""
        return self.keys[index]

    def place(self, index: int) -> str:
        """The file and its key."""
        return f"{self.file}, key {self.keys[index]}"

    def encoded(self, index: int) -> bytes:
        """What its value holds beside the label; raises UnreadableImage."""
        return self._pair(index)[0] if self.pickled else self._value(index)

    def label(self, index: int) -> int:
        """The number of the person, of a pickled picture; raises UnreadableImage."""
        return self._pair(index)[1]

    def _value(self, index: int) -> bytes:
        try:
            if self._file is None:  # reads give their place, so processes may share it after a fork
                self._file = os.open(self.file, os.O_RDONLY)
                weakref.finalize(self, os.close, self._file)
            value = os.pread(self._file, int(self.sizes[index]), int(self.offsets[index]))
        except OSError as error:
            raise UnreadableImage(self.place(index), error.strerror or "cannot be read") from None
        if len(value) < self.sizes[index]:
            raise UnreadableImage(self.place(index), "the file has been cut short since it was opened")
        return value

    def _pair(self, index: int) -> tuple[bytes, int]:
        value = self._value(index)
        try:
            if value[:1] != b"\x80":
                raise ValueError(f"it begins with {value[:4]!r}, as msgpack or a picture without a label may")
            match load_plain(value):
                case (bytes() | ByteArray() as picture, int(label)) if label >= 0:
                    return (picture.content if isinstance(picture, ByteArray) else picture), label
            raise ValueError("it holds something else")
        except ValueError as error:
            expected = "its value is no pickle of (encoded picture, number of the person)"
            raise UnreadableImage(self.place(index), f"{expected}: {error}") from None


class _Found:
    """One pass over a database; what it finds beside the keys is kept in arrays."""

    def __init__(self, file: Path):
        self.file = file
        self.offsets, self.sizes = array("q"), array("q")
        self.names: dict[str, int] = {}
        self.people = array("q")
        """An index into `names` for each key with a /."""

    def keys(self) -> Iterator[str]:
        for stored, offset, size in entries(self.file):
            key = stored.decode("utf-8", "surrogateescape")
            person, slash, _ = key.rpartition("/")
            if slash:
                self.people.append(self.names.setdefault(person, len(self.names)))
            elif key.startswith("__") and key.endswith("__"):
                continue
            self.offsets.append(offset)
            self.sizes.append(size)
            yield key


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdigit()


def _what_is_odd(key: str) -> str:
    if "label" in key or key.startswith(("image-", "num-")):
        return f"labels under keys of their own, as {key!r} tells"
    return f"the key {key!r} is neither person/image nor, as all would have to be, a number"
