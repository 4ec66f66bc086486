"""Pictures as tensors: single samples, batches, and the loader."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evenface.data.augment import AugmentConfig, augment, generators
from evenface.data.config import Corrupt
from evenface.data.faceset import FaceSet
from evenface.data.samplers import BatchPlan, Key, PlanSampler
from evenface.errors import UserError
from evenface.faces import InputFormat, UnreadableImage


@dataclass(frozen=True, eq=False)
class Batch:
    """B samples that could be read, and the files that could not."""

    images: Tensor
    """uint8 (B, channels, height, width), contiguous; see `normalise`."""
    labels: Tensor
    """int64 (B,)."""
    indices: Tensor
    """int64 (B,), the images' places in the face set."""
    draws: Tensor
    """int64 (B,), the number of each draw since training began."""
    skipped: list[UnreadableImage]
    """Each names its `place` and says why."""

    def __len__(self) -> int:
        return len(self.labels)

    def pin_memory(self) -> "Batch":
        """The same in page-locked memory; a DataLoader calls it."""
        tensors = (self.images, self.labels, self.indices, self.draws)
        images, labels, indices, draws = (tensor.pin_memory() for tensor in tensors)
        return Batch(images, labels, indices, draws, self.skipped)


class FaceDataset(Dataset[tuple[Tensor, int, int]]):
    """The fitted, augmented pictures of a face set. A sample depends on its key and the seed alone.

    Args:
        faces: the images and labels.
        format: the shape and colour of the pictures.
        augment: None to leave the pictures as they are.
        seed: of the augmentation, 0 or more.
        corrupt: whether `loader` stops at an image that cannot be read, or skips it.
        in_memory: decode every image now, and keep it.

    Raises:
        UnreadableImage: with `in_memory` and `corrupt="stop"`.
        UserError: with `in_memory`, the images would take more than half of the machine's memory.
    """

    def __init__(
        self,
        faces: FaceSet,
        format: InputFormat,
        augment: AugmentConfig | None = None,
        *,
        seed: int = 0,
        corrupt: Corrupt = "stop",
        in_memory: bool = False,
    ):
        self.faces = faces
        self.format = format
        self.augment = augment
        self.seed = seed
        self.corrupt: Corrupt = corrupt
        self._unreadable: dict[int, UnreadableImage] = {}
        self._memory: Tensor | None = None
        if in_memory:
            self._memory = self._read_all()

    def __len__(self) -> int:
        return len(self.faces)

    def image(self, index: int) -> NDArray[np.uint8]:
        """The fitted picture before augmentation, uint8 (height, width, channels).

        Raises:
            UnreadableImage: naming the file.
        """
        if index in self._unreadable:
            raise self._unreadable[index]
        if self._memory is not None:
            return self._memory[index].numpy()
        return self.format.fit(self.faces.pictures[index])

    def __getitem__(self, key: Key) -> tuple[Tensor, int, int]:
        """(image uint8 (channels, height, width), label, index); raises UnreadableImage."""
        batch = self.__getitems__([key])
        if batch.skipped:
            raise batch.skipped[0]
        return batch.images[0], int(batch.labels[0]), key[0]

    def __getitems__(self, keys: list[Key]) -> Batch:
        """The batch of these keys; a DataLoader calls it.

        An unreadable image is handed on rather than raised, since an exception that crosses from a worker
        process arrives as a RuntimeError wrapped in a traceback.
        """
        images = np.empty((len(keys), self.format.channels, self.format.height, self.format.width), np.uint8)
        read: list[Key] = []
        skipped = []
        for key, rng in zip(keys, generators(self.seed, (draw for _, draw in keys)), strict=True):
            try:
                image = self.image(key[0])
            except UnreadableImage as error:
                skipped.append(error.with_traceback(None))
                continue
            if self.augment is not None:
                image = augment(image, self.augment, rng, self.format.colour)
            cv2.split(image, list(images[len(read)]))  # three times as fast as a transposed copy
            read.append(key)
        indices, draws = torch.tensor(read, dtype=torch.int64).reshape(-1, 2).unbind(1)
        labels = torch.from_numpy(self.faces.labels[indices.numpy()])
        return Batch(torch.from_numpy(images[: len(read)]), labels, indices, draws, skipped)

    def _read_all(self) -> Tensor:
        shape = (len(self), self.format.height, self.format.width, self.format.channels)
        size, limit = int(np.prod(shape)), _memory_size() // 2
        if size > limit:
            raise UserError(
                f"data.in_memory: {len(self):,} images of {self.format} take {size / 2**30:.1f} GiB, more "
                f"than half of this machine's memory ({limit / 2**30:.1f} GiB). "
                "Leave it off, or make the input smaller"
            )
        # A tensor, not an array: worker processes then share it, however they are started.
        memory = torch.empty(shape, dtype=torch.uint8)
        pixels = memory.numpy()
        for i in range(len(self)):
            try:
                pixels[i] = self.format.fit(self.faces.pictures[i])
            except UnreadableImage as error:
                if self.corrupt == "stop":
                    raise with_cure(error) from None
                self._unreadable[i] = error.with_traceback(None)
        return memory


def loader(
    dataset: FaceDataset, plan: BatchPlan, start: int, stop: int, *, workers: int, pin: bool = False
) -> Iterator[Batch]:
    """The batches of the steps `start` to `stop` (exclusive) of a plan, the same for any number of workers.

    Worker processes start once and last for all the steps. `pin` puts the batches in page-locked memory, from
    which copies to a GPU overlap with its work. The global random state of PyTorch is left alone.

    Raises:
        UnreadableImage: at an image that cannot be read, with `corrupt="stop"`.
        UserError: with `corrupt="skip"`, at a batch of which nothing can be read.
    """
    batches: DataLoader[Batch] = DataLoader(
        dataset,  # type: ignore[arg-type]  # a DataLoader is typed by its samples, not by its batches
        batch_sampler=PlanSampler(plan, start, stop),
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_one_thread,
        pin_memory=pin,
        generator=torch.Generator().manual_seed(plan.seed),
    )
    for batch in batches:
        if batch.skipped and dataset.corrupt == "stop":
            raise with_cure(batch.skipped[0])
        if not len(batch):
            raise UserError(
                f"data.corrupt: none of the {len(batch.skipped)} images of a batch can be read; "
                f"the first is {batch.skipped[0]}"
            )
        yield batch


def with_cure(error: UnreadableImage) -> UnreadableImage:
    """The error of a picture at which a training stops, with what to do about it."""
    cure = "mend it or delete it (`evenface check --train` finds all such), or set data.corrupt to skip"
    return UnreadableImage(error.place, f"{error.why}; {cure}")


def normalise(images: Tensor, format: InputFormat) -> Tensor:
    """`InputFormat.normalise` on any device: uint8 (B, channels, height, width) to float32, same shape."""
    # By a tensor: CUDA divides by a Python number through its reciprocal, which rounds otherwise.
    divisor = torch.full((), float(format.pixels), device=images.device)
    return (images.to(torch.float32) - 127.5) / divisor


def _as_it_is(batch: Any) -> Any:  # __getitems__ has made the Batch
    return batch


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)  # many workers with a pool of threads each would only get in one another's way


def _memory_size() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
