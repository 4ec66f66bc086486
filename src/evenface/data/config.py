"""Every setting of the training data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from evenface.data.augment import AugmentConfig
from evenface.errors import UserError, require_range, unknown

AugmentOn = Literal["workers", "device"]
Corrupt = Literal["stop", "skip"]
SamplerName = Literal["random", "square-root", "effective", "balanced", "pk"]


@dataclass(frozen=True)
class DataConfig:
    """Where the training pictures are, who is left out, and how they are drawn. Give `root` or `list`."""

    root: Path | None = None
    """Folder of people, root/<person>/<image>, or a set in another form: InsightFace's train.rec, .tar
    shards, a .urls list of them, LMDB, parquet; beside `list`, the folder that its paths start from."""
    list: Path | None = None
    """Text file with a line `path label` for each image; paths start from its own folder, or from `root`."""
    exclude: tuple[Path, ...] = ()
    """Files of people to leave out, or of images by their name `person/file.jpg`: one a line, or a .csv
    (column `file` where it is filled, else `identity`, else the first)."""
    min_images: int = 2
    """People with fewer images are left out; 1 or more."""
    holdout: int = 0
    """People kept out of training for validation, drawn from those with 2 or more images; 0, or 2 or more."""
    corrupt: Corrupt = "stop"
    """What to do at an image that cannot be read: stop, or skip it and count it."""
    imbalance: float = 0.0
    """For experiments: cut the set so that the person with the most images has this many times those of the
    one with the fewest, falling by the same factor from each to the next; 1 or more, 0 leaves it as it is."""
    images: int = 0
    """Of a cut by `imbalance`, the images in all; 0 keeps as many as can be."""
    sampler: SamplerName = "random"
    """random: each image once an epoch; balanced: each person as often; between them, square-root: by the
    square root of a person's images, and effective: each image by 1 / the effective number of its person's;
    pk: P people x K images a batch. `evenface sizes` shows what each makes of a set."""
    effective_images: float = 100.0
    """For the effective sampler: a person's images say about as much as this many at most; 1 draws as random
    does, very many as balanced does."""
    shuffle_buffer: int = 0
    """For the random sampler on shards or parquet: read them one after another in random order, and draw from
    this many images; 0 draws from all of them, which slow disks and the network do not like."""
    images_per_person: int = 4
    """K of the pk sampler, 1 or more; the batch size is a multiple of it."""
    workers: int = 2
    """Processes that load images; 0 loads in the main process, which suits `in_memory`."""
    in_memory: bool = False
    """Decode every image once and keep it; takes images x height x width x channels bytes."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes to the pictures."""
    augment_on: AugmentOn = "workers"
    """Where they are made: by the processes that load, or on the device that trains, a batch at once."""

    def __post_init__(self) -> None:
        for name, least in (
            ("min_images", 1),
            ("holdout", 0),
            ("images_per_person", 1),
            ("workers", 0),
            ("images", 0),
            ("shuffle_buffer", 0),
        ):
            if not getattr(self, name) >= least:
                raise UserError(f"data.{name}: {getattr(self, name)} is too small; use {least} or more")
        require_range("data.effective_images", self.effective_images, 1, 1e12)
        if self.imbalance:
            require_range("data.imbalance", self.imbalance, 1, 1e6)
        if self.images and not self.imbalance:
            raise UserError("data.images: is the size of a cut; set data.imbalance too, 1 for a balanced set")
        for name, default, sampler in (
            ("shuffle_buffer", 0, "random"),
            ("images_per_person", 4, "pk"),
            ("effective_images", 100.0, "effective"),
        ):
            if getattr(self, name) != default and self.sampler != sampler:
                raise UserError(f"data.{name}: goes with the {sampler} sampler, not with {self.sampler}")
        for name, choices in (("corrupt", Corrupt), ("sampler", SamplerName), ("augment_on", AugmentOn)):
            if getattr(self, name) not in get_args(choices):
                raise unknown(f"data.{name}", getattr(self, name), get_args(choices))
