"""The forms in which sets of labelled pictures are stored, a file each."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from evenface.data.faceset import FaceSet
from evenface.data.readers.folder import read_folder
from evenface.data.readers.lmdb import read_lmdb, takes_lmdb
from evenface.data.readers.parquet import read_parquet, takes_parquet
from evenface.data.readers.record import read_records, takes_records
from evenface.data.readers.shards import read_shards, takes_shards


class Read(Protocol):
    """Reads a set: opens and checks it, but not yet its pictures."""

    def __call__(self, path: Path, /, *, field: str) -> FaceSet:
        """The set at `path`; raises UserError whose message begins with `field`, the user's name for it."""
        ...


class Reader(NamedTuple):
    """A form of storage."""

    what: str
    """What it looks like, in words, for help and errors."""
    takes: Callable[[Path], bool]
    """Whether a path looks like this form, by its name or by what lies in the folder; opens no big file."""
    read: Read
    """Reads it."""


READERS: dict[str, Reader] = {
    "lmdb": Reader("a folder with data.mdb, or an .mdb or .lmdb file (LMDB)", takes_lmdb, read_lmdb),
    "parquet": Reader("a .parquet file, or a folder of them (Hugging Face)", takes_parquet, read_parquet),
    "record": Reader("a folder with train.rec, or a .rec file (InsightFace)", takes_records, read_records),
    "shards": Reader("tar shards, a .tar, a folder of them or a .urls list", takes_shards, read_shards),
    "folder": Reader("a folder of people, DIR/<person>/<image>", lambda path: True, read_folder),
}
"""Every form that `DataConfig.root` may have, in the order in which they are tried."""


def read(path: Path, *, field: str = "data.root") -> FaceSet:
    """The set at a path, whatever its form.

    Raises:
        UserError: it is none of the `READERS`, or not as that form should be; begins with `field`.
    """
    return next(reader for reader in READERS.values() if reader.takes(path)).read(path, field=field)
