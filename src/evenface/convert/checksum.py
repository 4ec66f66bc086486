"""A number that two sets share if they hold the same people, names and bytes, in any form and order."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evenface.convert.pictures import Picture, read_ahead
from evenface.data import FaceSet, read
from evenface.data.finished import CHECKSUM, beside
from evenface.data.writers.folder import read_renamed
from evenface.errors import UserError
from evenface.faces import UnreadableImage

Progress = Callable[[int, int], None]
"""Is told how many pictures are done, and of how many."""


@dataclass
class Checksum:
    """The sum, modulo 2^256, of SHA-256(SHA-256(person) SHA-256(name) SHA-256(content)) of all pictures.

    A sum, so that it needs no order and can be gone on with. It guards against accidents; whoever wants to
    can make two sets of one sum.
    """

    pictures: int = 0
    sum: int = 0

    def add(self, picture: Picture) -> None:
        """Count a picture in."""
        self.pictures += 1
        self.sum = (self.sum + picture.digest) % 2**256

    def __str__(self) -> str:
        """64 hexadecimal digits."""
        return f"{self.sum:064x}"


def checksum(
    faces: FaceSet, *, names: dict[str, str] | None = None, progress: Progress | None = None
) -> Checksum:
    """The checksum of a set; `names` as of `read_ahead`.

    Raises:
        UnreadableImage: at a picture that is missing or of no known kind.
    """
    total = Checksum()
    for picture in read_ahead(faces, np.arange(len(faces)), names=names):
        if isinstance(picture, UnreadableImage):
            raise picture
        total.add(picture)
        if progress is not None:
            progress(total.pictures, len(faces))
    return total


def read_recorded(output: Path, field: str) -> tuple[str, int]:
    """The checksum that was written with a set, in hexadecimal, and how many pictures it was of.

    Raises:
        UserError: there is none, or it is damaged; begins with `field`.
    """
    path = beside(output, CHECKSUM)
    try:
        found = json.loads(path.read_bytes())
        return str(found["sha256"]), int(found["pictures"])
    except FileNotFoundError:
        raise UserError(
            f"{field}: there is no {path}; name what `evenface convert` wrote, once it is finished"
        ) from None
    except OSError as error:
        raise UserError(f"{field}: {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise UserError(f"{field}: {path} is damaged; convert the set again") from None


def verify(output: Path, progress: Progress | None = None) -> tuple[Checksum, str, int]:
    """Read a converted set: its checksum, the one that was written with it, and of how many pictures.

    Raises:
        UserError: the set or its checksum cannot be read.
    """
    recorded, pictures = read_recorded(output, "--verify")
    names = read_renamed(output) if output.is_dir() else {}
    return checksum(read(output, field="--verify"), names=names, progress=progress), recorded, pictures
