"""The `.lst` beside a `.rec` file: how the pictures were called before they were packed."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.data.pictures import Names
from evenface.errors import UserError


@dataclass(frozen=True, eq=False)
class Listed:
    """What a list says of N pictures."""

    names: Names
    """N paths."""
    folder: NDArray[np.int64]
    """(N,), an index into `folders`: where the picture lay."""
    folders: list[str]
    """The last folder of a path, without those above it; may be empty."""


def read_lst(lst: Path, keys: NDArray[np.int64], field: str) -> Listed | None:
    """What a `.lst` says of the pictures of these keys, (N,); None without one. More lines do not matter.

    Raises:
        UserError: a line has neither of the forms that `record` tells of, or a key is not listed, or twice.
    """
    if not lst.exists():
        return None
    cure = f"take the .lst that belongs to the .rec, or remove {lst}: pictures are then called by numbers"
    reading = _Reading(lst)
    try:
        names = Names(reading.names())
    except ValueError as error:
        raise UserError(f"{field}: {lst}, line {reading.line}: {error}; {cure}") from None
    listed = np.array(reading.keys, dtype=np.int64)
    order = np.argsort(listed, kind="stable")
    at = np.searchsorted(listed[order], keys)
    found = np.append(listed[order], -1)[at] == keys
    if not found.all():
        missing = keys[(~found).argmax()]
        raise UserError(f"{field}: {lst} does not name record {missing}, which has a picture; {cure}")
    if (np.append(listed[order], -1)[at + 1] == keys).any():
        raise UserError(f"{field}: {lst} names a record twice; {cure}")
    rows = order[at]
    if not np.array_equal(rows, np.arange(len(names))):
        names = Names(names[row] for row in rows)
    used, folder = np.unique(np.array(reading.folder, dtype=np.int64)[rows], return_inverse=True)
    folders = list(reading.folders)
    return Listed(names, folder.astype(np.int64), [_text(folders[one]) for one in used])


class _Reading:
    """One pass over a list; what it finds beside the names is kept in arrays."""

    def __init__(self, lst: Path):
        self.lst = lst
        self.line = 0
        self.keys, self.folder = array("q"), array("q")
        self.folders: dict[bytes, int] = {}

    def names(self) -> Iterator[str]:
        im2rec = None
        with self.lst.open("rb") as file:
            for self.line, line in enumerate(file, 1):
                fields = line.rstrip(b"\r\n").split(b"\t")
                if fields == [b""]:
                    continue
                if len(fields) < 3:
                    raise ValueError("expected three fields or more with tabs between them")
                if im2rec is None:
                    im2rec = _is_number(fields[1])
                if im2rec:
                    key, path = int(fields[0]), fields[-1]
                elif int(fields[0]) or len(fields) > 7:  # aligned, or with the landmarks to align it by
                    key, path = len(self.keys) + 1, fields[1]
                else:
                    continue
                if not 0 <= key < 2**63:
                    raise ValueError(f"{key} is no key of a record")
                self.keys.append(key)
                folder = b"/".join(path.split(b"/")[-2:-1])
                self.folder.append(self.folders.setdefault(folder, len(self.folders)))
                yield _text(path)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")  # a file's name need not be valid text
