"""Every setting of the quick lab. The recipe file, the command line and Python read these classes."""

from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Literal, get_args

from evenface.data import SamplerName
from evenface.errors import UserError, require_range, unknown
from evenface.training.config import Named, Optimizer, TrainConfig

SourceName = Literal["cfp", "lfw", "faces"]
Cut = Literal["natural", "geometric", "power"]


@dataclass(frozen=True)
class SetsConfig:
    """Whose faces are trained on, with how many images each, and whose are tested."""

    lfw: Path | None = None
    """Folder of LFW: images/ (the aligned LFW-a, 160x160)."""
    cfp: Path | None = None
    """Folder of CFP: Data/, of which the frontal pictures are used."""
    faces: Path | None = None
    """Folder of people, faces/<person>/<image>, of 112x112 pictures on the five-point template."""
    exclude: tuple[Path, ...] = ()
    """Files of people of `faces` to leave out: one name a line, or a .csv (column `identity`)."""
    train: tuple[SourceName, ...] = ("cfp",)
    """Where the training people come from."""
    test: SourceName = "lfw"
    """Where the test people come from."""
    cut: Cut = "natural"
    """natural: all images of everybody with 2 or more; geometric, power: the number of images falls by that
    law from the first person to the last, to 1/`imbalance` of it."""
    people: int = 0
    """People of a cut, those with the most images; 0 takes everybody with 2 or more."""
    drawn: bool = False
    """Draw the people of a cut by the seed instead, with chances as their images, from those who have
    `images` / `people` or more; so they are the same at every imbalance."""
    images: int = 0
    """Images of a cut in all, at least `people`."""
    imbalance: float = 1.0
    """Images of the first person over those of the last, 1 (everybody alike) or more."""
    seed: int = 0
    """Who comes at which place of a cut, and with which images; and which images are tested; 0 or more."""
    strangers: bool = True
    """Test nobody whose name is in a training source too."""
    test_most: int = 10
    """Images of a test person, drawn by the seed, 2 or more; people with one image are left out."""
    holdout: int = 0
    """To choose settings: leave this many people out of the training, and test them, not the others."""
    sampler: SamplerName = "random"
    """random: each image once an epoch; balanced: each person as often; pk: P people x K images a batch."""
    images_per_person: int = 4
    """K of the pk sampler, 1 or more; the batch size is a multiple of it."""

    def __post_init__(self) -> None:
        for name, low in (
            ("people", 0),
            ("images", 0),
            ("imbalance", 1.0),
            ("seed", 0),
            ("test_most", 2),
            ("holdout", 0),
            ("images_per_person", 1),
        ):
            require_range(f"lab.{name}", getattr(self, name), low, inf)
        for name, kind in (("test", SourceName), ("cut", Cut), ("sampler", SamplerName)):
            if getattr(self, name) not in get_args(kind):
                raise unknown(f"lab.{name}", getattr(self, name), get_args(kind))
        for source in self.train:
            if source not in get_args(SourceName):
                raise unknown("lab.train", source, get_args(SourceName))
        if self.drawn and (self.cut == "natural" or not self.people):
            raise UserError(
                "lab.drawn: draws the people of a cut; give lab.cut geometric or power, and lab.people"
            )
        for name, none in (("people", 0), ("images", 0), ("imbalance", 1)):
            if self.cut == "natural" and getattr(self, name) != none:
                raise UserError(
                    f"lab.{name}: {getattr(self, name)} is of a cut; give lab.cut geometric or power, or "
                    "leave it out"
                )
        if not self.train or self.test in self.train or len(set(self.train)) < len(self.train):
            raise UserError(f"lab.train: {', '.join(self.train)}; name sources, each once, but not lab.test")


@dataclass(frozen=True)
class NetworkConfig:
    """Principal components of the features, a hidden layer, the embedding."""

    components: int = 256
    """Principal components of the training images' features, which the network reads; 2 to 1764."""
    hidden: int = 512
    """Units of the hidden layer, 2 or more."""
    embedding_size: int = 256
    """D, 2 or more."""
    input_dropout: float = 0.4
    """Share of the components that are dropped in training, 0 to below 1."""
    dropout: float = 0.4
    """Share of the hidden units that are dropped in training, 0 to below 1."""

    def __post_init__(self) -> None:
        for name, most in (("components", 1764), ("hidden", 2**20), ("embedding_size", 2**20)):
            require_range(f"network.{name}", getattr(self, name), 2, most)
        for name in ("input_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"network.{name}: {getattr(self, name)} is outside its range, 0 to below 1")


@dataclass(frozen=True)
class FitConfig:
    """How the weights are found: the settings of `train` that a network in memory needs."""

    epochs: float = 25.0
    """How often each image is seen, on average; more than 0."""
    batch_size: int = 128
    """Images a step, 2 or more."""
    optimizer: Optimizer = "adamw"
    """sgd (with Nesterov momentum 0.9) or adamw."""
    learning_rate: float = 2e-3
    """The largest, after the warm-up, from which it falls by a cosine to 0; more than 0."""
    warmup: float = 0.1
    """Fraction of the training in which the learning rate rises from 0, 0 to 1."""
    weight_decay: float = 0.05
    """0 or more. Norms, biases and PReLU slopes are left alone."""
    seed: int = 0
    """Of the first weights, the order of the images and the dropout; 0 or more."""

    def __post_init__(self) -> None:
        self.whole()

    def whole(self) -> TrainConfig:
        """The same, with the defaults of what the lab does not set; UserError for a value out of range."""
        return TrainConfig(**vars(self))


@dataclass(frozen=True)
class LabConfig:
    """A run of the lab, whole: with the same pictures it is repeated from this alone."""

    lab: SetsConfig = field(default_factory=SetsConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: Named = field(default_factory=lambda: Named("eqm"))
    regularisers: tuple[Named, ...] = ()
    """Added to the loss, each once; in a file `[[regularisers]]`, with `name` and its settings."""
    train: FitConfig = field(default_factory=FitConfig)
