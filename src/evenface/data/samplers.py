"""In which order images are drawn: a pure function of the labels, the seed and the step."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from evenface.data.config import DataConfig, SamplerName
from evenface.data.faceset import FaceSet
from evenface.errors import UserError

Indices = NDArray[np.int64]
Key = tuple[int, int]
"""(index of an image, number of the draw since training began): all that a sample depends on."""


def random_order(labels: Indices, rng: np.random.Generator) -> Indices:
    """Every image once, (N,)."""
    return rng.permutation(len(labels))


def balanced_order(labels: Indices, rng: np.random.Generator) -> Indices:
    """N draws in which every person comes up equally often (to within one), (N,).

    A person's images are all drawn before one of them is drawn again.
    """
    rounds = np.resize(rng.permutation(labels.max() + 1), len(labels))
    return _images_of(rng.permutation(rounds), labels, rng)


def weighted_order(labels: Indices, rng: np.random.Generator, share: NDArray[np.float64]) -> Indices:
    """N draws in which each person gets its share (C,) of them, to within one, (N,).

    A person's images are all drawn before one of them is drawn again.
    """
    edges = np.cumsum(share) * len(labels)
    edges[-1] = len(labels)  # whatever the rounding
    draws = np.diff(np.floor(edges + rng.random()), prepend=0).astype(np.int64)
    draws[-1] = len(labels) - draws[:-1].sum()
    return _images_of(rng.permutation(np.repeat(np.arange(len(share)), draws)), labels, rng)


def effective_number(counts: Indices, enough: float) -> NDArray[np.float64]:
    """(1 - b^n) / (1 - b) of n = `counts` with b = 1 - 1 / `enough`: Cui et al., CVPR 2019, eq. 2 to 4.

    They draw n samples of a class from `enough` that differ, and ask how many different ones they have.
    """
    if enough == 1:
        return np.ones(len(counts))
    return np.asarray(-np.expm1(counts * np.log1p(-1 / enough)) * enough)  # exact for a large `enough` too


def shares(counts: Indices, effective_images: float) -> dict[str, NDArray[np.float64]]:
    """Of each sampler that draws single images, the share of the draws that each person gets, (C,)."""
    weights: dict[str, NDArray[np.float64]] = {
        "random": counts.astype(np.float64),
        "square-root": np.sqrt(counts),
        "effective": counts / effective_number(counts, effective_images),
        "balanced": np.ones(len(counts)),
    }
    return {name: weight / weight.sum() for name, weight in weights.items()}


def buffered_order(blocks: Indices, rng: np.random.Generator, window: int) -> Indices:
    """Every image once, (N,): block after block in random order, each image moved by up to `window` places.

    As a buffer of `window` images does that is filled at one end while draws empty it, with a memory of
    none of them: an image comes at most `window` places late, and reading stays within so many images.
    """
    turn = rng.permutation(int(blocks.max()) + 1)[blocks]
    sequence = np.argsort(turn, kind="stable")
    return sequence[np.argsort(np.arange(len(blocks)) + window * rng.random(len(blocks)), kind="stable")]


def pk_order(labels: Indices, rng: np.random.Generator, people: int, images: int) -> Indices:
    """As many batches of `people` x `images` as N images fill; a person's images are adjacent.

    The people of a batch are distinct, and so are a person's images if there are `images` of them. Nobody
    returns before the others have had their turn, save the few who do not fill a batch.
    """
    batches = len(labels) // (people * images)
    everybody = int(labels.max()) + 1
    turn = everybody // people * people  # whole batches only, or a batch could hold somebody twice
    turns = -(-batches * people // turn)
    sequence = np.concatenate([rng.permutation(everybody)[:turn] for _ in range(turns)])
    return _images_of(np.repeat(sequence[: batches * people], images), labels, rng)


def _images_of(people: Indices, labels: Indices, rng: np.random.Generator) -> Indices:
    """An image for each entry of `people`: each person goes round their own shuffled images."""
    shuffled = rng.permutation(len(labels))
    by_person = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    first = np.cumsum(counts) - counts
    together = np.argsort(people, kind="stable")
    occurrence = np.empty_like(people)  # 0, 1, 2, ... for the entries of one person
    occurrence[together] = np.arange(len(people)) - np.searchsorted(people[together], people[together])
    return np.asarray(by_person[first[people] + occurrence % counts[people]], dtype=np.int64)


class BatchPlan:
    """Which images every step of the training draws, whatever the number of workers, processes or restarts.

    An epoch has floor(N / batch_size) batches; the images that do not fill one are others each epoch. With
    several processes each gets its contiguous part of the batch, in the order of the ranks.

    Args:
        labels: int64 (N,), 0 to C-1 without gaps.
        batch_size: images a step, over all processes; a multiple of `world_size`, at most N.
        sampler: see `DataConfig.sampler`.
        seed: 0 or more.
        images_per_person: K of the pk sampler; `batch_size` is K times the P people of a batch.
        world_size: how many processes train together.
        rank: this one, from 0.
        effective_images: see `DataConfig`.
        blocks: `Pictures.blocks`, (N,).
        shuffle_buffer: see `DataConfig`.

    Raises:
        UserError: one of these conditions does not hold.
    """

    def __init__(
        self,
        labels: Indices,
        batch_size: int,
        sampler: SamplerName = "random",
        seed: int = 0,
        images_per_person: int = 4,
        world_size: int = 1,
        rank: int = 0,
        *,
        effective_images: float = 100.0,
        blocks: Indices | None = None,
        shuffle_buffer: int = 0,
    ):
        if not 1 <= batch_size <= len(labels):
            raise UserError(
                f"train.batch_size: {batch_size} is not from 1 to the {len(labels)} images to train on"
            )
        if batch_size % world_size:
            raise UserError(
                f"train.batch_size: {batch_size} does not divide among {world_size} processes; "
                f"use a multiple of {world_size}"
            )
        people = int(labels.max()) + 1
        if sampler == "pk" and (batch_size % images_per_person or batch_size > people * images_per_person):
            raise UserError(
                f"train.batch_size: {batch_size} is not P people x {images_per_person} images "
                f"(data.images_per_person) with P from 1 to {people}; use a multiple of {images_per_person} "
                f"up to {people * images_per_person}"
            )
        self.labels = labels
        self.batch_size = batch_size
        self.sampler: SamplerName = sampler
        self.seed = seed
        self.images_per_person = images_per_person
        self.effective_images = effective_images
        self.blocks, self.shuffle_buffer = blocks, shuffle_buffer
        self.world_size = world_size
        self.rank = rank
        self.steps_per_epoch = len(labels) // batch_size
        self._latest: tuple[int, Indices] | None = None

    @classmethod
    def of(
        cls,
        faces: FaceSet,
        config: DataConfig,
        batch_size: int,
        seed: int = 0,
        world_size: int = 1,
        rank: int = 0,
    ) -> "BatchPlan":
        """The plan that the settings make of a set."""
        return cls(
            faces.labels,
            batch_size,
            config.sampler,
            seed,
            config.images_per_person,
            world_size,
            rank,
            effective_images=config.effective_images,
            blocks=faces.pictures.blocks,
            shuffle_buffer=config.shuffle_buffer,
        )

    def order(self, epoch: int) -> Indices:
        """The images of an epoch, all batches one after another, for all processes; int64."""
        if self._latest is None or self._latest[0] != epoch:
            self._latest = epoch, ORDERS[self.sampler](self, np.random.default_rng((2, self.seed, epoch)))
        return self._latest[1]

    def batch(self, step: int) -> list[Key]:
        """The keys of this process's part of the batch at a step, counted from 0 over the whole training."""
        epoch, within = divmod(step, self.steps_per_epoch)
        part = self.batch_size // self.world_size
        mine = range(self.rank * part, (self.rank + 1) * part)
        images = self.order(epoch)[within * self.batch_size :]
        return [(int(images[i]), step * self.batch_size + i) for i in mine]


def _random(plan: BatchPlan, rng: np.random.Generator) -> Indices:
    if plan.shuffle_buffer and plan.blocks is not None:
        return buffered_order(plan.blocks, rng, plan.shuffle_buffer)
    return random_order(plan.labels, rng)


def _weighted(plan: BatchPlan, rng: np.random.Generator) -> Indices:
    share = shares(np.bincount(plan.labels), plan.effective_images)[plan.sampler]
    return weighted_order(plan.labels, rng, share)


def _pk(plan: BatchPlan, rng: np.random.Generator) -> Indices:
    return pk_order(plan.labels, rng, plan.batch_size // plan.images_per_person, plan.images_per_person)


ORDERS: dict[SamplerName, Callable[[BatchPlan, np.random.Generator], Indices]] = {
    "random": _random,
    "square-root": _weighted,
    "effective": _weighted,
    "balanced": lambda plan, rng: balanced_order(plan.labels, rng),
    "pk": _pk,
}
"""What `DataConfig.sampler` may name."""


class PlanSampler(Sampler[list[Key]]):
    """The steps `start` to `stop` (exclusive) of a plan, as a DataLoader's `batch_sampler`."""

    def __init__(self, plan: BatchPlan, start: int, stop: int):
        self.plan, self.start, self.stop = plan, start, stop

    def __iter__(self) -> Iterator[list[Key]]:
        return map(self.plan.batch, range(self.start, self.stop))

    def __len__(self) -> int:
        return self.stop - self.start
