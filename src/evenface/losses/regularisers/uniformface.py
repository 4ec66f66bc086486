"""UniformFace."""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from evenface.losses.centre_head import CentreHead
from evenface.losses.regularisers.base import Regulariser, row_blocks

# Keeps the square root differentiable where two centres coincide: the gradient there is zero.
_LEAST_SQUARED_DISTANCE = 1e-12


class UniformFace(Regulariser):
    """Uniform loss (UniformFace: Duan et al., CVPR 2019, eq. 6): centres repel each other like equal charges.

    The mean over all pairs of classes of 1 / (1 + |w_j - w_k|), with the L2-normalised centres w. The paper
    tracks the means of the embeddings for it (its eq. 7); here the loss's own centres are taken, since they
    carry a gradient. It compares all C centres with each other at every call, 2 C^2 D operations and
    6 C^2 D backward, in blocks.

    Args:
        num_classes: C of the loss.
        embedding_size: D of the loss.
        weight: the paper's lambda, 0 or more; the paper's is 1.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, weight: float = 1.0):
        super().__init__(num_classes, embedding_size, weight=weight)

    def forward(self, embeddings: Tensor, labels: Tensor, head: CentreHead) -> Tensor:
        """The mean potential energy of two centres, 1/3 (all opposite) to 1 (all in one place)."""
        directions = head.all_directions()
        # checkpoint: a block's C x rows numbers are computed again on the way back, and not kept.
        energies = [
            checkpoint(_energy, directions, block, use_reentrant=False)
            for block in row_blocks(self.num_classes)
        ]
        return torch.stack(energies).sum() / (self.num_classes * (self.num_classes - 1))


def _energy(directions: Tensor, block: slice) -> Tensor:
    """The sum over a block of directions and all others (C, D) of 1 / (1 + distance)."""
    squared = (2.0 - 2.0 * (directions[block] @ directions.T)).clamp_min(_LEAST_SQUARED_DISTANCE)
    energy = 1.0 / (1.0 + torch.sqrt(squared))
    return energy.sum() - energy[:, block].diagonal().sum()
