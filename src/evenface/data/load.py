"""From the settings to the people to train on."""

import numpy as np

from evenface.data.config import DataConfig
from evenface.data.faceset import FaceSet
from evenface.data.readers import read
from evenface.data.readers.listfile import read_list, read_names
from evenface.errors import UserError


def load(config: DataConfig, seed: int) -> tuple[FaceSet, FaceSet | None, list[str]]:
    """Read the images, leave out whom the settings leave out, and hold some people out.

    Returns (the set to train on, the people held out or None, a sentence for each cut made).

    Raises:
        UserError: no source is given or it cannot be read, or fewer than 2 people are left.
    """
    if config.list is not None:
        field, faces = "list", read_list(config.list, config.root)
    elif config.root is not None:
        field, faces = "root", read(config.root)
    else:
        raise UserError(
            "data.root: no images given; use --data.root DIR (DIR/<person>/<image>) or --data.list FILE"
        )
    notes = []

    if config.exclude:
        excluded = set[str]().union(*map(read_names, config.exclude))
        absent = len(faces.unknown(excluded))
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
    if config.imbalance:
        kept = faces.cut(config.imbalance, config.images, seed)
        notes.append(f"data.imbalance: cut to {kept}, by the seed")
        faces = kept
    blocks = faces.pictures.blocks
    if blocks is None and config.shuffle_buffer:
        raise UserError(
            f"data.shuffle_buffer: is for shards and parquet, and {config.list or config.root} is neither; "
            "leave it out"
        )
    if blocks is not None and not config.shuffle_buffer and len(set(blocks[[0, -1]])) > 1:
        notes.append(
            f"data.shuffle_buffer: the images lie in {len(np.unique(blocks)):,} blocks and are drawn from "
            "all of them at once; where that is slow, set it to some 50,000"
        )
    return faces, held, notes


def _left_out(before: FaceSet, after: FaceSet) -> str:
    people, images = len(before.identities) - len(after.identities), len(before) - len(after)
    return f"{people:,} people with {images:,} images left out"
