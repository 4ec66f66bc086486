"""RegularFace."""

import math

import torch
from torch import Tensor

from evenface.losses.centre_head import CentreHead
from evenface.losses.regularisers.base import Regulariser, row_blocks


class RegularFace(Regulariser):
    """Exclusive regularisation (RegularFace: Zhao et al., CVPR 2019): each class away from its nearest rival.

    The mean over all classes j of the largest cosine between centre j and another class's centre. It compares
    all C centres with each other at every call, 2 C^2 D operations, in blocks.

    Args:
        num_classes: C of the loss.
        embedding_size: D of the loss.
        weight: the paper's lambda, 0 or more; the default is this library's.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, weight: float = 1.0):
        super().__init__(num_classes, embedding_size, weight=weight)

    def forward(self, embeddings: Tensor, labels: Tensor, head: CentreHead) -> Tensor:
        """The mean cosine to the nearest other centre, -1 to 1."""
        directions = head.all_directions()
        with torch.no_grad():
            nearest = torch.cat([_nearest(directions, block) for block in row_blocks(len(directions))])
        return (directions * directions[nearest]).sum(dim=1).mean()


def _nearest(directions: Tensor, block: slice) -> Tensor:
    """Of each direction of a block, which other of all directions (C, D) is nearest."""
    cosines = directions[block] @ directions.T
    cosines[:, block].fill_diagonal_(-math.inf)
    return cosines.argmax(dim=1)
