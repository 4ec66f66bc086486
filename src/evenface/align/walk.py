"""The pictures below a folder, one after the other, and what their crops are called."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from evenface.data.readers.folder import SUFFIXES
from evenface.errors import UserError

RESERVED = {"sheet"}
"""Stems that no crop at the top may have: the output's own pictures."""


class Source(NamedTuple):
    """A picture below the source folder."""

    name: str
    """Its path from there, with /."""
    stem: str
    """The crop's path, from the output folder, without the suffix."""


def walk(root: Path) -> Iterator[Source | int]:
    """Every picture below `root`, at any depth, folder by folder in the order of their names.

    A crop is called as its picture, with another suffix. Where two pictures of a folder differ in their
    suffix only (or in capitals), each keeps its whole name, so that `a.jpg` and `a.png` become `a.jpg.jpg`
    and `a.png.jpg`; so does one whose name ends in two of them, and a `sheet` at the top. No two crops share
    a name, nor does a name depend on the order.

    Of each folder, how many symbolic links were passed over comes as a number: none is followed. What begins
    with a dot is not looked at. One folder's names are in memory at a time, and those of the folders to come.

    Raises:
        UserError: a folder cannot be opened.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        pictures, deeper, links = [], [], 0
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_symlink():
                        links += 1
                    elif entry.is_dir(follow_symlinks=False):
                        deeper.append(f"{folder}{entry.name}/")
                    elif entry.name.lower().endswith(SUFFIXES) and entry.is_file(follow_symlinks=False):
                        pictures.append(entry.name)
        except OSError as error:
            raise UserError(
                f"{root / folder}: cannot be opened ({error.strerror}); change its permissions and call again"
            ) from None
        if links:
            yield links
        stems = Counter(_key(name) for name in pictures)
        if not folder:
            stems.update(RESERVED)
        for name in sorted(pictures):
            stem = os.path.splitext(name)[0]  # noqa: PTH122 a Path would lose a trailing dot
            alone = stems[_key(name)] == 1 and not stem.lower().endswith(SUFFIXES)
            yield Source(folder + name, folder + (stem if alone else name))
        folders += sorted(deeper, reverse=True)


def _key(name: str) -> str:
    """Names of one key are one file's on some systems, once their suffix is the same."""
    return os.path.splitext(name)[0].casefold()  # noqa: PTH122


def count(root: Path) -> int:
    """How many pictures there are, as `walk` finds them."""
    return sum(isinstance(one, Source) for one in walk(root))
