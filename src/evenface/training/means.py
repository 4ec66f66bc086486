"""Mean embeddings of people, by a network as it is."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.data import Corrupt, FaceSet, Picked
from evenface.errors import UserError
from evenface.evaluation.embed import Embedder, embed_batches
from evenface.training.readable import Readable


def mean_directions(
    embedder: Embedder,
    faces: FaceSet,
    people: list[int],
    embedding_size: int,
    corrupt: Corrupt,
    workers: int,
) -> Tensor:
    """The mean of each person's L2-normalised embeddings, without augmentation, as a direction.

    Args:
        embedder: from pictures to embeddings (N, D).
        faces: the pictures.
        people: P of their labels, rising.
        embedding_size: D.
        corrupt: whether to stop at a picture that cannot be read, or to leave it out.
        workers: threads that read, 1 or more.

    Returns:
        (P, D) float32 unit vectors on the CPU.

    Raises:
        UserError: a picture cannot be read, or none of a person's; or an embedding is all zero or not finite.
    """
    rows = np.flatnonzero(np.isin(faces.labels, people))
    person = np.searchsorted(people, faces.labels[rows])
    pictures = Readable(Picked(faces.pictures, rows), corrupt)
    names = [pictures.pictures.place(i) for i in range(len(rows))]
    sums = torch.zeros(len(people), embedding_size, dtype=torch.float64)
    for stop, embeddings in embed_batches(embedder, pictures, workers=workers, names=names):
        batch = np.arange(stop - len(embeddings), stop)
        read = ~np.isin(batch, list(pictures.unreadable))
        directions = F.normalize(torch.from_numpy(embeddings[read]).double())
        sums.index_add_(0, torch.from_numpy(person[batch[read]]), directions)
    for label, total in zip(people, sums, strict=True):
        if not total.any():
            raise UserError(
                f"data.corrupt: none of the pictures of {faces.identities[label]} can be read, so their "
                "class centre has no mean to start from; leave them out with data.exclude"
            )
    return F.normalize(sums).float()
