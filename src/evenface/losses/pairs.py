"""What the losses over pairs of embeddings share: they have no class centres."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.losses.base import FaceLoss

# Keeps the square root differentiable where two embeddings coincide: the gradient there is zero.
_LEAST_SQUARED_DISTANCE = 1e-12


class PairLoss(FaceLoss):
    """A loss that compares the embeddings of a batch with each other.

    Classes without two images in the batch give no genuine pair, so these losses want the sampler `pk` (or
    `balanced`). A batch that has no valid pair or triplet gives a loss of exactly 0 and zero gradients.
    """

    def __init__(self, num_classes: int, embedding_size: int):
        super().__init__(num_classes, embedding_size)
        # There is no weight that `.double()` could change, so this remembers it.
        self.register_buffer("unit", torch.ones(()), persistent=False)

    def precision(self) -> torch.dtype:
        """float64 after `.double()`, otherwise float32."""
        return torch.float64 if self.get_buffer("unit").dtype == torch.float64 else torch.float32


def squared_distances(embeddings: Tensor) -> Tensor:
    """Squared Euclidean distances (N, N), about 0 to 4, between L2-normalised embeddings (N, D)."""
    unit = F.normalize(embeddings)
    return (2.0 - 2.0 * (unit @ unit.T)).clamp_min(_LEAST_SQUARED_DISTANCE)


def genuine_and_impostor(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Masks (N, N): another image of the same class; an image of another class."""
    same = labels[:, None] == labels
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same


def mean_or_zero(values: Tensor) -> Tensor:
    """The mean of (M,); of no values 0, with a gradient of zero to what they come from."""
    return values.sum() / max(len(values), 1)
