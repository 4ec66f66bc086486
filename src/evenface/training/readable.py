"""Embeddings of a training's own pictures, some of which may not be readable."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evenface.data import Corrupt, FaceSet, Pictures
from evenface.data.dataset import with_cure
from evenface.evaluation.embed import Embedder, Flip, embed
from evenface.faces import UnreadableImage
from evenface.progress import Progress


@dataclass
class Readable:
    """Pictures of which those that cannot be read are black, where `corrupt` says skip."""

    pictures: Pictures
    corrupt: Corrupt
    unreadable: set[int] = field(default_factory=set)
    """Which were, of those read so far."""

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        try:
            return self.pictures[index]
        except UnreadableImage as error:
            if self.corrupt == "stop":
                raise with_cure(error) from None
            self.unreadable.add(index)
            return np.zeros((112, 112, 3), dtype=np.uint8)


def embed_readable(
    embedder: Embedder,
    faces: FaceSet,
    corrupt: Corrupt,
    flip: Flip = "none",
    progress: Progress | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Raw embeddings (R, D) of the pictures that can be read, and their labels (R,).

    Args:
        embedder: the model.
        faces: the pictures.
        corrupt: whether to stop at a picture that cannot be read, or to leave it out.
        flip: the mirror image's part in an embedding.
        progress: called with (done, all).

    Raises:
        UserError: a picture cannot be read, and `corrupt` says stop.
    """
    pictures = Readable(faces.pictures, corrupt)
    rows = embed(embedder, pictures, flip, names=faces.paths, progress=progress)
    read = ~np.isin(np.arange(len(rows)), list(pictures.unreadable))
    return rows[read], faces.labels[read]
