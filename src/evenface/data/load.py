"""From the settings to the people to train on."""

from collections.abc import Callable
from pathlib import Path

from evenface.data.config import DataConfig
from evenface.data.faceset import FaceSet
from evenface.data.folder import read_folder
from evenface.data.listfile import read_list, read_names
from evenface.errors import UserError

READERS: dict[str, Callable[[Path, DataConfig], FaceSet]] = {
    "list": lambda file, config: read_list(file, config.root),
    "root": lambda root, _: read_folder(root),
}
"""A reader for each field of `DataConfig` that names a source; the first field given decides."""


def load(config: DataConfig, seed: int) -> tuple[FaceSet, FaceSet | None, list[str]]:
    """Read the images, leave out whom the settings leave out, and hold some people out.

    Returns (the set to train on, the people held out or None, a sentence for each cut made).

    Raises:
        UserError: no source is given or it cannot be read, or fewer than 2 people are left.
    """
    field = next((field for field in READERS if getattr(config, field) is not None), None)
    if field is None:
        raise UserError(
            "data.root: no images given; use --data.root DIR (DIR/<person>/<image>) or --data.list FILE"
        )
    faces = READERS[field](getattr(config, field), config)
    notes = []

    if config.exclude:
        excluded = set[str]().union(*map(read_names, config.exclude))
        absent = len(excluded.difference(faces.identities))
        kept = faces.without(excluded)
        notes.append(
            f"data.exclude: {_left_out(faces, kept)}; {absent} of the names listed are not in the set"
        )
        faces = kept
    kept = faces.at_least(config.min_images)
    if len(kept) < len(faces):
        notes.append(
            f"data.min_images: {_left_out(faces, kept)}, having fewer than {config.min_images} images"
        )
        faces = kept
    if len(faces.identities) < 2:
        raise UserError(". ".join([f"data.{field}: {faces}; training needs 2 people or more", *notes]))

    held = None
    if config.holdout:
        faces, held = faces.hold_out(config.holdout, seed)
        notes.append(f"data.holdout: {held} held out")
    return faces, held, notes


def _left_out(before: FaceSet, after: FaceSet) -> str:
    people, images = len(before.identities) - len(after.identities), len(before) - len(after)
    return f"{people:,} people with {images:,} images left out"
