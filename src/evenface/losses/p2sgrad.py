"""P2SGrad."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.losses.centre_head import CentreHead


class P2SGrad(CentreHead):
    """P2SGrad (Zhang et al., CVPR 2019, eq. 11): a gradient as large as the cosine's error.

    The paper gives the gradient, sum over j of (c_ij - [j = y]) times the gradient of c_ij, with no setting;
    it is that of the loss here, half the squared distance of a sample's cosines from their targets 1 and 0.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.

    Raises:
        UserError: an argument outside its range.
    """

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch of 1/2 sum_j (c_ij - [j = y])^2."""
        directions = F.normalize(embeddings)
        own = (self.own_cosine(directions, labels) - 1.0).square()
        rivals = self.rivals(directions, labels, torch.square, reduce="sum")
        return 0.5 * (own + rivals).mean()
