"""The pictures of a benchmark: what they are called, how one is read, and what identifies them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError

Image = NDArray[np.uint8]

HASH_MOST = 100_000
"""Sets of more pictures than this are identified by names and sizes: to read a million twice takes hours."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """M pictures, each once, as `evenface.evaluation.embed.embed` reads them."""

    root: Path
    """What the names are relative to."""
    names: Sequence[str]
    """(M,) unique, with / between folders: the key of a picture's embedding where embeddings are stored."""
    read: Callable[[int], Image]
    """Picture i, RGB uint8 (h, w, 3), a 112x112 crop on the template or as the set's conventions say; safe to
    call from several threads."""
    inside: Path | None = None
    """The one file that all pictures lie in, such as an InsightFace .bin; None: files, `root / name`."""
    landmarks: Sequence[Path] = ()
    """The files that say where the faces are, if `read` needs any."""

    def __len__(self) -> int:
        """M."""
        return len(self.names)

    def __getitem__(self, index: int) -> Image:
        """`read`."""
        return self.read(index)

    def path(self, index: int) -> Path:
        """The file of picture `index`. Pictures that share a file follow one another."""
        return self.inside or self.root / self.names[index]

    def files(self) -> Iterator[Path]:
        """Every file once, in order."""
        return (path for path, _ in groupby(map(self.path, range(len(self)))))

    def check(self) -> None:
        """Raise UserError if a picture's file is missing: the first one's name, and how many are."""
        missing = [path for path in self.files() if not path.is_file()]
        if missing:
            more = f" and {len(missing) - 1:,} more of {len(self):,}" if len(missing) > 1 else ""
            raise UserError(f"{missing[0]}: missing{more}; unpack the whole set there")

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of `files`: of each the name, the size and, up to HASH_MOST pictures, bytes.

        Folders do not enter; a changed picture does.
        """
        return digest(self.files(), sizes_only=len(self) > HASH_MOST)

    @property
    def identified_by(self) -> str:
        """What `sha256` is of, in words."""
        return "names and sizes" if len(self) > HASH_MOST else "names and bytes"


def digest(files: Iterable[Path], *, sizes_only: bool = False) -> str:
    """Hexadecimal SHA-256 of some files in order: of each the file name, the size and the bytes."""
    found = sha256()
    for path in files:
        content = b"" if sizes_only else path.read_bytes()
        size = path.stat().st_size if sizes_only else len(content)
        found.update(f"{path.name}\0{size}\0".encode("utf-8", "surrogateescape"))
        found.update(content)
    return found.hexdigest()
