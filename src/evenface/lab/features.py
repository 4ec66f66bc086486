"""Histograms of oriented gradients of aligned faces, computed once and kept in a file."""

from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evenface.data import FaceSet
from evenface.evaluation.embed import FunctionEmbedder, embed
from evenface.evaluation.images import Image
from evenface.faces import InputFormat
from evenface.files import whole
from evenface.lab.sources import Source
from evenface.progress import Progress

SIZE: Final = 7 * 7 * 4 * 9
"""Features of a picture: 7x7 blocks of 2x2 cells of 9 orientations."""
_SETTINGS = "1: middle 96 of 112 pixels, 64x64 gray, square root; cells 8x8, 9 bins, blocks 2x2, clip 0.2"
_FORMAT = InputFormat(64, 64, "gray")


def histograms(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005) of gray pictures.

    Square roots of the pixels; gradients by central differences, without sign; cells of 8x8 pixels with 9
    orientations, each gradient shared between the two nearest; blocks of 2x2 cells, one cell apart,
    L2-normalised, cut at 0.2 and normalised again. Pixels are not shared between cells.

    Args:
        images: (N, 1, 64, 64), (x - 127.5) / 127.5.

    Returns:
        (N, 1764), 0 to 1, each of the 49 blocks of 36 of length 1 (0 where there is no gradient).
    """
    down, across = np.gradient(np.sqrt(127.5 * (images[:, 0] + 1)), axis=(1, 2))
    length = np.hypot(across, down)
    place = np.mod(np.arctan2(down, across) / np.pi, 1) * 9 - 0.5  # of the 9 bins' middles, a circle
    cells = np.empty((len(images), 8, 8, 9), dtype=np.float32)
    for k in range(9):
        apart = np.abs(place - k)
        share = np.maximum(1 - np.minimum(apart, 9 - apart), 0)
        cells[..., k] = (length * share).reshape(-1, 8, 8, 8, 8).sum(axis=(2, 4))
    corners = (cells[:, :-1, :-1], cells[:, :-1, 1:], cells[:, 1:, :-1], cells[:, 1:, 1:])
    blocks = _unit(np.minimum(_unit(np.concatenate(corners, axis=-1)), 0.2))
    return blocks.reshape(len(images), SIZE)


def features(
    faces: FaceSet, root: Path, source: Source, cache: Path, progress: Progress | None = None
) -> NDArray[np.float16]:
    """`histograms` of every picture of a source, (N, 1764), read from the cache or computed into it.

    The cache's file is named after the settings above and the pictures' paths below `root` and sizes in
    bytes, so other pictures have another file. It is mapped into memory, and not changed.

    Raises:
        UserError: a picture cannot be read.
    """
    digest = sha256(_SETTINGS.encode())
    for path in faces.paths:
        digest.update(f"\0{path.relative_to(root).as_posix()}\0{path.stat().st_size}".encode())
    file = cache / f"features-{digest.hexdigest()[:16]}.npy"
    if not file.exists():
        crops = _Middles(faces.paths, source)
        embedder = FunctionEmbedder(histograms, _FORMAT, "gradient histograms")
        computed = embed(embedder, crops, batch_size=32, names=faces.paths, progress=progress)
        cache.mkdir(parents=True, exist_ok=True)
        with whole(file) as unfinished, open(unfinished, "wb") as stream:
            np.save(stream, computed.astype(np.float16))
    return np.asarray(np.load(file, mmap_mode="r"))


class _Middles:
    """The face of each picture, as `embed` reads them."""

    def __init__(self, paths: list[Path], source: Source):
        self.paths, self.source = paths, source

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Image:
        return self.source.crop(self.paths[index])[8:-8, 8:-8]


def _unit(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = blocks / np.maximum(np.linalg.norm(blocks, axis=-1, keepdims=True), 1e-3)
    return unit
