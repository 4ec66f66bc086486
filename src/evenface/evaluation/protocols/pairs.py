"""A set of labelled pairs of pictures in folds: what LFW, CFP and their kin have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError

Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PairSet:
    """P pairs among M pictures. The protocol's module says where each part comes from."""

    name: str
    """As printed, such as "LFW"."""
    images: list[Path]
    """(M,) the pictures that occur in pairs, each once."""
    first: NDArray[np.int64]
    """(P,) indices into `images`."""
    second: NDArray[np.int64]
    """(P,) indices into `images`."""
    same: NDArray[np.bool_]
    """(P,) whether both show one person."""
    fold: NDArray[np.int64]
    """(P,) 0-based number of the fold."""
    load: Callable[[int], Image]
    """`images[i]` as an aligned 112x112 RGB crop, uint8 (112, 112, 3); safe to call from several threads."""
    conventions: dict[str, str]
    """What else decides the numbers, in words: the crop rule."""
    sources: list[Path]
    """Every file other than the pictures that decides a pair or a crop."""

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.same)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of `sources`, then `images`: of each the file name, the size and the bytes.

        It identifies the set by content: folders do not enter, a changed list, picture or landmark does.
        """
        digest = sha256()
        for path in [*self.sources, *self.images]:
            content = path.read_bytes()
            digest.update(f"{path.name}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()


class PairList:
    """Collects pairs line by line; a picture that occurs again keeps its index."""

    def __init__(self) -> None:
        self.index: dict[Path, int] = {}
        self.rows: list[tuple[int, int, bool, int]] = []

    def add(self, first: Path, second: Path, same: bool, fold: int) -> None:
        """One more pair."""
        a = self.index.setdefault(first, len(self.index))
        b = self.index.setdefault(second, len(self.index))
        self.rows.append((a, b, same, fold))

    def build(
        self, name: str, load: Callable[[Path], Image], conventions: dict[str, str], sources: list[Path]
    ) -> PairSet:
        """The set of these pairs; `load` makes the aligned crop of a picture's path."""
        images = list(self.index)
        table = np.array(self.rows, dtype=np.int64)
        return PairSet(
            name=name,
            images=images,
            first=table[:, 0],
            second=table[:, 1],
            same=table[:, 2].astype(np.bool_),
            fold=table[:, 3],
            load=lambda i: load(images[i]),
            conventions=conventions,
            sources=sources,
        )


def read_lines(path: Path) -> list[str]:
    """Lines of a protocol's text file, without line ends (LF or CRLF) and without empty lines at the end.

    Raises:
        UserError: the file is missing, unreadable, not text, or empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; the protocol needs this file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8; fetch the protocol file again") from None
    if not lines:
        raise UserError(f"{path}: empty; fetch the protocol file again")
    return lines
