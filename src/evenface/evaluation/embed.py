"""From pictures to embeddings, whatever the model is made of."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.benchmark import Embeddings
from evenface.evaluation.images import Image
from evenface.faces import InputFormat
from evenface.progress import Progress

Flip = Literal["none", "sum", "concat"]
"""The mirror image: left out; its raw embedding added; or its raw embedding appended, twice the length."""


class Embedder(Protocol):
    """A model as evaluation sees it: which pictures it takes, and what it makes of a batch of them."""

    @property
    def name(self) -> str:
        """What to print beside its numbers."""
        ...

    @property
    def format(self) -> InputFormat:
        """The pictures it expects."""
        ...

    def __call__(self, images: NDArray[np.float32]) -> Embeddings:
        """Raw (not normalised) embeddings (N, D) of float32 images (N, C, H, W)."""
        ...


@dataclass(frozen=True)
class FunctionEmbedder:
    """Any function from (N, C, H, W) to (N, D) float32 as an `Embedder`."""

    function: Callable[[NDArray[np.float32]], Embeddings]
    format: InputFormat
    name: str = "function"

    def __call__(self, images: NDArray[np.float32]) -> Embeddings:
        """The function's own result."""
        return self.function(images)


class Images(Protocol):
    """Aligned RGB pictures, (height, width, 3) uint8, read on demand; several threads may read at once."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> Image:
        """The picture at 0 <= index < len."""
        ...


def embed(
    embedder: Embedder,
    images: Images,
    flip: Flip = "none",
    *,
    batch_size: int = 128,
    workers: int = 2,
    names: Sequence[object] | None = None,
    progress: Progress | None = None,
) -> Embeddings:
    """Raw embeddings of all images in order, float32 (N, D), or (N, 2D) for flip "concat".

    `workers` threads read the next batch while the embedder works on this one, so at most three batches are
    in memory. `names` (N) are used in error messages in place of the image's number.

    Raises:
        UserError: a picture cannot be read, or its embedding is all zero, not finite, or not a row of (N, D)
            with one D for all; or an option is not allowed.
    """
    parts = embed_batches(embedder, images, flip, batch_size=batch_size, workers=workers, names=names)
    kept: list[Embeddings] = []
    for end, rows in parts:
        kept.append(rows)
        if progress is not None:
            progress(end, len(images))
    return np.concatenate(kept)


def embed_batches(
    embedder: Embedder,
    images: Images,
    flip: Flip = "none",
    *,
    start: int = 0,
    batch_size: int = 128,
    workers: int = 2,
    names: Sequence[object] | None = None,
) -> Iterator[tuple[int, Embeddings]]:
    """`embed` batch by batch, from image `start` on: (images done, the latest rows) each time.

    Raises:
        UserError: as `embed`.
    """
    if flip not in get_args(Flip):
        raise UserError(f"flip: {flip!r} is none of {', '.join(get_args(Flip))}")
    for option, value in (("--batch-size", batch_size), ("--workers", workers)):
        if value < 1:
            raise UserError(f"{option}: {value} is too small; use 1 or more")
    if len(images) == 0:
        raise UserError("embed: no images to embed")
    done, width = start, None
    for fitted in _read_ahead(images, embedder.format, batch_size, workers, start):
        rows = _flipped(embedder, fitted, flip)
        width = width or rows.shape[1]
        if rows.shape[1] != width:
            raise UserError(
                f"{embedder.name}: gave shape {rows.shape} after rows of {width} values; "
                "every picture's embedding must be as long"
            )
        usable = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
        if not usable.all():
            index = done + int(np.argmin(usable))
            what = "all zero" if np.isfinite(rows[index - done]).all() else "not finite"
            which = f"image {index}" if names is None else str(names[index])
            raise UserError(f"{which}: the embedding by {embedder.name} is {what}; check the model's weights")
        done += len(rows)
        yield done, rows


def _flipped(embedder: Embedder, fitted: Image, flip: Flip) -> Embeddings:
    upright = _checked(embedder, fitted)
    if flip == "none":
        return upright
    mirrored = _checked(embedder, fitted[:, :, ::-1])
    if mirrored.shape != upright.shape:
        raise UserError(
            f"{embedder.name}: gave shape {upright.shape} for pictures and {mirrored.shape} for their mirror "
            "images; every picture's embedding must be as long"
        )
    return upright + mirrored if flip == "sum" else np.concatenate([upright, mirrored], axis=1)


def _checked(embedder: Embedder, fitted: Image) -> Embeddings:
    result = embedder(embedder.format.normalise(fitted))
    try:
        rows = np.asarray(result, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:  # the last is a tensor's that has a gradient
        raise UserError(
            f"{embedder.name}: gave no numbers but {type(result).__name__} ({error}); "
            f"expected a numpy array of shape ({len(fitted)}, D)"
        ) from None
    if rows.ndim != 2 or len(rows) != len(fitted):
        raise UserError(
            f"{embedder.name}: gave shape {rows.shape} for {len(fitted)} images; expected ({len(fitted)}, D)"
        )
    return rows


def _read_ahead(
    images: Images, form: InputFormat, batch_size: int, workers: int, first: int
) -> Iterator[Image]:
    """Batches of fitted pictures (n, height, width, channels), the next one being read meanwhile."""

    def read(index: int) -> Image:
        return form.fit(images[index])

    with ThreadPoolExecutor(workers) as pool:
        pending: deque[list[Future[Image]]] = deque()
        for start in range(first, len(images), batch_size):
            stop = min(start + batch_size, len(images))
            pending.append([pool.submit(read, index) for index in range(start, stop)])
            if len(pending) > 1:
                yield np.stack([future.result() for future in pending.popleft()])
        while pending:
            yield np.stack([future.result() for future in pending.popleft()])
