"""Tar shards in webdataset's layout, on this machine or on the web."""

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from evenface.data.faceset import FaceSet
from evenface.data.fetch import NotThere, cached, fetch
from evenface.data.finished import require_finished
from evenface.data.pictures import Names, Pictures
from evenface.data.readers.folder import SUFFIXES
from evenface.data.shard_index import ShardIndex, index_file, keep_index, known_index, make_index, read_index
from evenface.data.tar import BrokenTar
from evenface.errors import UserError
from evenface.faces import UnreadableImage

_TAR = re.compile(r".*\.(tar|tar\.(gz|bz2|xz|zst)|tgz)", re.IGNORECASE | re.DOTALL)
_WEB = re.compile(r"https?://", re.IGNORECASE)
_RANGE = re.compile(r"\{([0-9]{1,12})\.\.([0-9]{1,12})\}")
_MOST_SHARDS = 1_000_000
_OPEN_FILES = 32


class Shards(Pictures):
    """The pictures of tar shards, each read from its place in its shard; a shard on the web is fetched first.

    Args:
        shards: paths and http(s) URLs.
        indexes: what lies in each.
    """

    def __init__(self, shards: list[str], indexes: list[ShardIndex]):
        self.shards = shards
        self.names = Names(itertools.chain.from_iterable(index.names for index in indexes))
        self.starts = np.concatenate([index.starts for index in indexes])
        self.sizes = np.concatenate([index.sizes for index in indexes])
        self._shard = np.repeat(np.arange(len(shards)), [len(index.names) for index in indexes])
        self.blocks = self._shard
        self._about = [(index.total, index.mtime, index.sha256) for index in indexes]
        self._lost: dict[int, str] = {}
        self._file = lru_cache(_OPEN_FILES)(_open)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_file"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._file = lru_cache(_OPEN_FILES)(_open)

    def __len__(self) -> int:
        return len(self.starts)

    def name(self, index: int) -> str:
        """Its `file_name` in the sample's .json, else its path in the archive."""
        return self.names[index]

    def place(self, index: int) -> str:
        """The shard, the picture's name and the byte where it begins."""
        return f"{self.shards[self._shard[index]]}, {self.names[index]} at byte {self.starts[index]}"

    def encoded(self, index: int) -> bytes:
        """As `Pictures.encoded`; the first one of a shard on the web may have to wait for that."""
        shard, size, start = int(self._shard[index]), int(self.sizes[index]), int(self.starts[index])
        if shard in self._lost:
            raise UnreadableImage(self.place(index), self._lost[shard])
        try:
            file = self._file(self.shards[shard], *self._about[shard])  # held, or another thread may close it
            content = os.pread(file.number, size, start)
        except UserError as error:
            if _WEB.match(self.shards[shard]):
                self._lost[shard] = str(error)  # it was tried long enough for one of its pictures
            raise UnreadableImage(self.place(index), str(error)) from None
        except OSError as error:
            raise UnreadableImage(self.place(index), error.strerror or "cannot be read") from None
        if len(content) < size:
            raise UnreadableImage(self.place(index), "the shard was cut short while it was read")
        return content


class _File:
    """A file that is open as long as somebody reads from it: any thread, and any process after a fork."""

    def __init__(self, path: Path):
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if "number" in vars(self):
            os.close(self.number)


def _open(shard: str, total: int, mtime: int, sha256: str) -> _File:
    path = _local(shard)
    if _WEB.match(shard) and not path.exists():
        fetch(shard, path, field="not fetched", sha256=sha256)
        os.utime(path, ns=(mtime, mtime))  # the mark by which its index knows it again
    file = _File(path)
    if os.fstat(file.number).st_size != total:
        raise UserError("the shard has changed since it was opened; start again")
    return file


def takes_shards(path: Path) -> bool:
    """A .tar, a folder with some, or a .urls list."""
    try:
        if path.is_dir():
            return bool(_tars(path))
    except OSError:  # of which the reader of folders has more to say
        return False
    return _TAR.fullmatch(path.name) is not None or path.suffix.lower() == ".urls"


def read_shards(path: Path, *, field: str = "data.root") -> FaceSet:
    """The pictures of a shard, of all shards of a folder, or of those that a .urls file lists.

    A .urls file has one shard a line: a path that starts from the file's own folder, or a http(s) URL; ranges
    as in `{000000..000146}` are written out; lines that begin with # are passed over. Each shard is indexed
    once (see `ShardIndex`). A shard on the web without an index there is fetched now, others when first read.

    Raises:
        UserError: nothing there, a folder that a conversion has not finished, or a shard or sample that is
            not as it should be; see `samples`.
    """
    shards = _listed(path, field)
    with ThreadPoolExecutor(8) as pool:  # of small files, the wait is for the answer
        known = list(pool.map(lambda shard: _known(shard, field), shards))
    console = Console(stderr=True)
    indexes = [
        index or _indexed(shard, field)
        for shard, index in track(
            list(zip(shards, known, strict=True)),
            "indexing shards",
            console=console,
            transient=True,
            disable=not console.is_terminal or all(known),
        )
    ]
    pictures = Shards(shards, indexes)
    if not len(pictures):
        raise UserError(
            f"{field}: no pictures in {path} ({len(shards)} shards); "
            "expected files such as 0001.jpg and 0001.cls in each archive"
        )
    return FaceSet.of(pictures, _people(indexes))


def _people(indexes: Iterable[ShardIndex]) -> Iterator[str]:
    for index in indexes:
        yield from (index.identities[label] for label in index.labels)


def _local(shard: str) -> Path:
    return cached(shard) if _WEB.match(shard) else Path(shard)


def _known(shard: str, field: str) -> ShardIndex | None:
    """The index of a shard from an earlier time, or from its neighbour on the web."""
    path = _local(shard)
    if not _WEB.match(shard) or path.exists():
        return known_index(path)
    file = index_file(path)
    try:
        address, *query = shard.partition("?")
        fetch(f"{address}.index.npz{''.join(query)}", file, field=field)
    except NotThere:
        return None
    index = read_index(file)
    if index is None or not index.sha256:  # by which the shard is known to be the one that was indexed
        file.unlink(missing_ok=True)
        return None
    return index


def _indexed(shard: str, field: str) -> ShardIndex:
    path = _local(shard)
    if _WEB.match(shard):
        fetch(shard, path, field=field)
    try:
        index = make_index(path)
    except BrokenTar as error:
        if _WEB.match(shard):  # so that it is fetched again once it is mended there
            path.unlink()
        raise UserError(f"{field}: {shard}: {error}") from None
    except OSError as error:
        raise UserError(f"{field}: {shard} cannot be opened ({error.strerror}); check the path") from None
    keep_index(path, index)
    return index


def _listed(path: Path, field: str) -> list[str]:
    if re.match("https?:/", str(path)):
        raise UserError(f"{field}: {path} is an address; write it into a file NAME.urls, and give that")
    if path.is_dir():
        require_finished(path, field)
        if any(picture.suffix.lower() in SUFFIXES for picture in path.glob("*/*")):
            raise UserError(
                f"{field}: {path} holds both tar shards and folders of pictures; "
                "move the one or the other elsewhere"
            )
        return [str(tar) for tar in _tars(path)]
    return _urls(path, field) if path.suffix.lower() == ".urls" else [str(path)]


def _tars(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if _TAR.fullmatch(e.name) and e.name[0] != "." and e.is_file()]
    return [folder / name for name in sorted(names)]


def _urls(file: Path, field: str) -> list[str]:
    try:
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(f"{field}: {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{field}: {file}: not UTF-8; save the file as UTF-8") from None
    shards: list[str] = []
    for number, line in enumerate(lines, 1):
        line = line.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        where = f"{field}: {file}, line {number}"
        if not _WEB.match(line):
            if re.match(r"[a-z][a-z0-9+.-]*://|pipe:", line, re.IGNORECASE):
                raise UserError(
                    f"{where}: {line!r} is neither a http(s) address nor a path; fetch it by hand"
                )
            line = str(file.parent / line)
        shards += _written_out(line, where, _MOST_SHARDS - len(shards))
    if not shards:
        raise UserError(f"{field}: {file} lists no shard; expected a path or a http(s) address a line")
    if len(set(shards)) < len(shards):
        twice = Counter(shards).most_common(1)[0][0]
        raise UserError(f"{field}: {file} lists {twice} twice; leave one out")
    return shards


def _written_out(line: str, where: str, most: int) -> list[str]:
    """The shards of a line with any number of ranges {000000..000146}; as wide as the first number."""
    text, ends = _RANGE.split(line)[::3], _RANGE.findall(line)
    if any(brace in part for part in text for brace in "{}") or any(int(a) > int(b) for a, b in ends):
        raise UserError(f"{where}: {line!r} has braces that are no range; write {{000000..000146}}, upwards")
    ranges = [range(int(first), int(last) + 1) for first, last in ends]
    if np.prod([float(len(numbers)) for numbers in ranges]) > most:
        raise UserError(f"{where}: more than {_MOST_SHARDS:,} shards in all; write a smaller range")
    return [
        "".join(
            itertools.chain.from_iterable(
                (part, str(number).zfill(len(first)))
                for part, number, (first, _) in zip(text, numbers, ends, strict=False)
            )
        )
        + text[-1]
        for numbers in itertools.product(*ranges)
    ]
