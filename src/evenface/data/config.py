"""Every setting of the training data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from evenface.data.augment import AugmentConfig
from evenface.errors import UserError, unknown

Corrupt = Literal["stop", "skip"]
SamplerName = Literal["random", "balanced", "pk"]


@dataclass(frozen=True)
class DataConfig:
    """Where the training pictures are, who is left out, and how they are drawn. Give `root` or `list`."""

    root: Path | None = None
    """Folder of people, root/<person>/<image>; beside `list`, the folder that its paths start from."""
    list: Path | None = None
    """Text file with a line `path label` for each image; paths start from its own folder, or from `root`."""
    exclude: tuple[Path, ...] = ()
    """Files of people to leave out: one name a line, or a .csv (column `identity`, otherwise the first)."""
    min_images: int = 2
    """People with fewer images are left out; 1 or more."""
    holdout: int = 0
    """People kept out of training for validation, drawn from those with 2 or more images; 0, or 2 or more."""
    corrupt: Corrupt = "stop"
    """What to do at an image that cannot be read: stop, or skip it and count it."""
    sampler: SamplerName = "random"
    """random: each image once an epoch; balanced: each person as often; pk: P people x K images a batch."""
    images_per_person: int = 4
    """K of the pk sampler, 1 or more; the batch size is a multiple of it."""
    workers: int = 2
    """Processes that load images; 0 loads in the main process, which suits `in_memory`."""
    in_memory: bool = False
    """Decode every image once and keep it; takes images x height x width x channels bytes."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes to the pictures."""

    def __post_init__(self) -> None:
        for name, least in (("min_images", 1), ("holdout", 0), ("images_per_person", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise UserError(f"data.{name}: {getattr(self, name)} is too small; use {least} or more")
        if self.corrupt not in get_args(Corrupt):
            raise unknown("data.corrupt", self.corrupt, get_args(Corrupt))
        if self.sampler not in get_args(SamplerName):
            raise unknown("data.sampler", self.sampler, get_args(SamplerName))
