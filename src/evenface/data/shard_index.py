"""What lies where in a tar shard, and its file beside the shard: NAME.tar.index.npz."""

import hashlib
import io
import os
import zipfile
from array import array
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.data.fetch import cached
from evenface.data.shard_samples import samples
from evenface.files import whole

_LAYOUT = 1
_FIELDS = {
    "names": "u1",
    "starts": "<i8",
    "sizes": "<i8",
    "labels": "<i8",
    "identities": "u1",
    "shard": "<i8",
    "sha256": "u1",
}


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """The N pictures of one shard."""

    names: list[str]
    """N: the path in the archive, or what `file_name` of the sample's .json says."""
    starts: NDArray[np.int64]
    """(N,), the byte at which each begins."""
    sizes: NDArray[np.int64]
    """(N,), bytes."""
    labels: NDArray[np.int64]
    """(N,), into `identities`."""
    identities: list[str]
    """The people of this shard."""
    total: int
    """Bytes of the shard."""
    mtime: int
    """When the shard was last changed, ns; 0 where it is not on this machine."""
    sha256: str = ""
    """Of the shard, in hexadecimal; empty where it was never read as a whole."""

    def write(self, path: Path) -> None:
        """Write the .npz, whole or not at all.

        Raises:
            OSError: it cannot be written there.
        """
        with whole(path) as part, open(part, "wb") as file:
            np.savez(
                file,
                names=_joined(self.names),
                starts=self.starts,
                sizes=self.sizes,
                labels=self.labels,
                identities=_joined(self.identities),
                shard=np.array([_LAYOUT, self.total, self.mtime]),
                sha256=np.frombuffer(bytes.fromhex(self.sha256), np.uint8),
            )


def index_file(shard: Path) -> Path:
    """Where the index of a shard lies."""
    return shard.with_name(f"{shard.name}.index.npz")


def read_index(file: Path) -> ShardIndex | None:
    """The index in a file, every place of which lies within the shard; None where it is no sound one."""
    try:
        found = _arrays(file)
        _, total, mtime = map(int, found["shard"])
        index = ShardIndex(
            _parted(found["names"]),
            *(found["starts"], found["sizes"], found["labels"]),
            _parted(found["identities"]),
            *(total, mtime, found["sha256"].tobytes().hex()),
        )
    except Exception:  # whatever a strange file brings about: it is not used, and made anew
        return None
    starts, sizes, labels = index.starts, index.sizes, index.labels
    sound = (
        len(index.names) == len(starts) == len(sizes) == len(labels)
        and total >= 0
        and found["shard"][0] == _LAYOUT
        and len(index.sha256) in (0, 64)
        and bool(np.all((sizes >= 0) & (starts >= 0) & (starts <= total - sizes)))
        and bool(np.all((labels >= 0) & (labels < len(index.identities))))
    )
    return index if sound else None


def known_index(shard: Path) -> ShardIndex | None:
    """The index of a shard on this machine, kept earlier; None if there is none or the shard has changed."""
    try:
        now = shard.stat()
        for file in _index_files(shard):
            index = read_index(file)
            if index is None or index.total != now.st_size:
                continue
            if index.mtime == now.st_mtime_ns:
                return index
            if index.sha256 and index.sha256 == sha256_of(shard):  # a copy
                index = replace(index, mtime=now.st_mtime_ns)
                keep_index(shard, index)
                return index
    except OSError:
        pass  # the cure is in the error of reading the shard itself
    return None


def make_index(shard: Path) -> ShardIndex:
    """The index of a shard, from its headers and labels.

    Raises:
        BrokenTar: saying what is wrong with the archive or a sample, and at which byte.
        OSError: it cannot be read.
    """
    if not shard.is_file():  # a pipe would be waited for
        raise FileNotFoundError(2, "there is no such file")
    with open(shard, "rb") as opened:
        file = opened.fileno()
        about = os.fstat(file)
        names: list[str] = []
        numbers = array("q")  # start, size and label of each picture
        number: dict[str, int] = {}
        for sample in samples(file, about.st_size):
            names.append(sample.name)
            numbers.extend((sample.start, sample.size, number.setdefault(sample.identity, len(number))))
    starts, sizes, labels = np.array(numbers, np.int64).reshape(-1, 3).T.copy()
    return ShardIndex(names, starts, sizes, labels, list(number), about.st_size, about.st_mtime_ns)


def keep_index(shard: Path, index: ShardIndex) -> None:
    """Keep it beside the shard, else in the cache; where neither takes it, it is made anew each time."""
    for file in _index_files(shard):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            index.write(file)
            return
        except OSError:
            continue


def sha256_of(shard: Path) -> str:
    """The digest of a whole file, hexadecimal."""
    with open(shard, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _index_files(shard: Path) -> tuple[Path, Path]:
    return index_file(shard), index_file(cached(str(shard.absolute())))


def _joined(names: list[str]) -> NDArray[np.uint8]:
    return np.frombuffer("".join(f"{name}\0" for name in names).encode("utf-8", "surrogatepass"), np.uint8)


def _parted(letters: NDArray[Any]) -> list[str]:
    return letters.tobytes().decode("utf-8", "surrogatepass").split("\0")[:-1]


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    """The fields of an .npz, not compressed: whatever it announces, no more is allocated than it is long."""
    if not file.is_file():  # a pipe would be waited for
        raise FileNotFoundError(file)
    found, size = {}, file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        for field, kind in _FIELDS.items():
            entry = archive.getinfo(f"{field}.npy")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
                raise ValueError(field)
            content = archive.read(entry)
            stream = io.BytesIO(content)
            np.lib.format.read_magic(stream)
            _, _, dtype = np.lib.format.read_array_header_1_0(stream)
            if dtype != np.dtype(kind):
                raise ValueError(field)
            found[field] = np.frombuffer(content, dtype, offset=stream.tell())
    return found
