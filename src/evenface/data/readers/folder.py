"""A folder of people: root/<person>/<image>."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evenface.data.faceset import FaceSet, natural
from evenface.data.finished import require_finished
from evenface.data.pictures import Files
from evenface.errors import UserError

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    *(".pgm", ".ppm", ".pbm", ".pnm"),
)
"""What counts as an image, in capitals too."""


def read_folder(root: Path, *, field: str = "data.root") -> FaceSet:
    """Every image root/<person>/<image>; hidden files, other files and deeper folders are not looked at.

    `field` is what the user set to `root`: error messages begin with it.

    Raises:
        UserError: `root` is no folder, holds no folder with images, a folder cannot be opened, or it is a
            conversion that was not finished.
    """
    try:
        if not root.is_dir():
            raise UserError(
                f"{field}: {root} is not a folder; give the folder that holds one folder a person"
            )
        require_finished(root, field)
        people = sorted(_folders(root), key=natural)
        counts: list[int] = []
        pictures = Files(_below(root, people, counts), root)
        if not len(pictures):
            raise UserError(
                f"{field}: no images in a person's folder under {root}; expected {root}/<person>/<image>; "
                + _what_is_there(root, people, hints=field == "data.root")
            )
    except OSError as error:
        raise UserError(
            f"{field}: {error.filename} cannot be opened ({error.strerror}); change its permissions"
        ) from None
    has = np.array(counts) > 0
    labels = np.repeat(np.cumsum(has) - 1, counts)
    return FaceSet(pictures, labels, [person for person, one in zip(people, has, strict=True) if one])


def _below(root: Path, people: list[str], counts: list[int]) -> Iterator[str]:
    """The images of each person in turn; how many are appended to `counts`."""
    for person in people:
        images = _images(root / person)
        counts.append(len(images))
        yield from (f"{person}/{name}" for name in images)


def _what_is_there(root: Path, people: list[str], hints: bool) -> str:
    """What was found in place of people, and the cure: with `hints` in the words of training's options."""
    if direct := len(_images(root)):
        cure = "Use --data.list FILE for a list of labels" if hints else "Give the folder above"
        return f"found {direct} images directly in {root}. {cure}"
    for person in people:
        for deeper in _folders(root / person):
            if _images(root / person / deeper):
                cure = f"Give {root / person}"
                if hints:
                    cure = f"Use --data.root {root / person}, or --data.list FILE for a list of labels"
                return f"found images one folder deeper, in {root / person / deeper}. {cure}"
    return f"found {len(people)} folders and no image ({' '.join(SUFFIXES)}). Give another folder"


def _folders(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _images(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(
            e.name
            for e in entries
            if e.name.lower().endswith(SUFFIXES) and not e.name.startswith(".") and e.is_file()
        )
