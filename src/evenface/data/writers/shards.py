"""A set as tar shards, written: `shard-000000.tar` and so on, each with its index."""

import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evenface.data.shard_index import index_file, make_index, sha256_of
from evenface.errors import UserError
from evenface.faces.announced import announced

PICTURES = 10_000
"""A shard ends with this many pictures,"""
BYTES = 256 << 20
"""or with the picture that brings it to this many bytes, whichever is first."""
_EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WebP": "webp",
    "BMP": "bmp",
    "GIF": "gif",
    "PNM": "pnm",
    "TIFF": "tif",
}


class ShardWriter:
    """Writes tar shards that webdataset reads; the same pictures in the same order make the same bytes.

    Picture number 123 of all is `000000123.jpg`, or .png and so on after its content; beside it
    `000000123.json` has `identity`, `label` and `file_name`. Pictures may come in any order; since a stream
    of shards is shuffled among neighbours only, let them come shuffled. A shard is `.tar.part` until it is
    whole, then it gets its index (see `ShardIndex`).

    Args:
        path: the folder; made if it is not there.
        identities: the names of the people, by label.
        state: what `state` gave, to go on from there; what was written after it is written again.

    Raises:
        UserError: the folder has shards already, or, with a state, not those that it tells of.
    """

    def __init__(self, path: Path, identities: Sequence[str], state: dict[str, Any] | None = None):
        if "" in identities:
            raise UserError(f"{path}: a person without a name cannot be a sample's label; name them")
        self._path, self._identities = path, identities
        path.mkdir(parents=True, exist_ok=True)
        there = sorted(path.glob("shard-*.tar*"))
        if state is None and there:
            raise UserError(f"{there[0]} is there already; name another folder, or remove it")
        begin = state or {"shard": 0, "first": 0, "pictures": 0, "bytes": 0}
        self._shard, self._first, self._pictures = begin["shard"], begin["first"], begin["pictures"]
        if self._whole.exists():
            self._whole.replace(self._part)
        for file in there:  # written after the state
            if file.name > self._whole.name and file != self._part:
                file.unlink()
        self._file = open(self._part, "r+b" if self._part.exists() else "xb")  # noqa: SIM115
        if self._file.seek(0, os.SEEK_END) < begin["bytes"]:
            raise UserError(f"{self._part}: shorter than it was; delete {path} and begin anew")
        self._file.seek(begin["bytes"])
        self._file.truncate()

    @property
    def _whole(self) -> Path:
        return self._path / f"shard-{self._shard:06d}.tar"

    @property
    def _part(self) -> Path:
        return self._path / f"{self._whole.name}.part"

    def add(self, label: int, name: str, content: bytes) -> None:
        """Append picture `name` of person `label`, as it is; a broken one is called .jpg."""
        try:
            extension = _EXTENSIONS[announced(content)[0]]
        except ValueError:
            extension = "jpg"
        about = {"identity": self._identities[label], "label": label, "file_name": name}
        self._member(extension, content)
        self._member("json", json.dumps(about, separators=(",", ":")).encode())
        self._pictures += 1
        if self._pictures - self._first == PICTURES or self._file.tell() >= BYTES:
            self._finish()
            self._shard, self._first = self._shard + 1, self._pictures
            self._file = open(self._part, "xb")  # noqa: SIM115

    def state(self) -> dict[str, Any]:
        """Where the writing stands, once all of it is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return {
            "shard": self._shard,
            "first": self._first,
            "pictures": self._pictures,
            "bytes": self._file.tell(),
        }

    def close(self) -> None:
        """Finish the last shard."""
        if self._pictures > self._first:
            self._finish()
        else:
            self._file.close()
            self._part.unlink()

    def _member(self, extension: str, content: bytes) -> None:
        member = tarfile.TarInfo(f"{self._pictures:09d}.{extension}")
        member.size = len(content)
        header = member.tobuf(tarfile.USTAR_FORMAT)  # time, user and group 0
        self._file.write(header + content + bytes(-len(content) % tarfile.BLOCKSIZE))

    def _finish(self) -> None:
        least = 2 * tarfile.BLOCKSIZE
        self._file.write(bytes(least + -(self._file.tell() + least) % tarfile.RECORDSIZE))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        index = replace(make_index(self._part), sha256=sha256_of(self._part))
        self._part.replace(self._whole)
        index.write(index_file(self._whole))
