"""RegularFace."""

import math

from torch import Tensor

from evenface.losses.centre_head import CentreHead
from evenface.losses.regularisers.base import Regulariser


class RegularFace(Regulariser):
    """Exclusive regularisation (RegularFace: Zhao et al., CVPR 2019): each class away from its nearest rival.

    The mean over all classes j of the largest cosine between centre j and another class's centre. It compares
    all C centres with each other at every call: C^2 floats of memory.

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
        return (directions @ directions.T).fill_diagonal_(-math.inf).amax(dim=1).mean()
