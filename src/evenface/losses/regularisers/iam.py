"""The inter-class angular margin loss."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.centre_head import CentreHead
from evenface.losses.regularisers.base import Regulariser


class IAM(Regulariser):
    """Inter-class angular margin loss (Sun, Yang, Gao, Xue, Liao, SPIC 80, 2020): rivals pushed by closeness.

    With c_ij the cosine between embedding i and the centre of class j, the mean over the batch of

        log(1/(C - 1) sum_{j != y_i} exp(s c_ij) / sum_j exp(s c_ij))  =  log(1 - p_i) - log(C - 1)

    **The paper's full text is not at hand**: this is the equation as two public accounts of it agree on it, a
    written summary and an implementation.

    Args:
        num_classes: C of the loss.
        embedding_size: D of the loss.
        weight: the paper's beta, 0 or more; the default is this library's.
        scale: s, greater than 0.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, weight: float = 0.1, scale: float = 30.0):
        super().__init__(num_classes, embedding_size, weight=weight)
        require_range("regularisers.iam.scale", scale, 1e-3, 1e6)
        self.scale = scale

    def forward(self, embeddings: Tensor, labels: Tensor, head: CentreHead) -> Tensor:
        """The mean log of the rivals' mean share, below 0 by log(C - 1) or more; 0 for who has no rival."""
        directions = F.normalize(embeddings)
        with head.reading(labels):
            rivals = head.rivals(directions, labels, scale=self.scale)
            every = torch.logaddexp(rivals, self.scale * head.own_cosine(directions, labels))
        share = rivals - every - math.log(self.num_classes - 1)
        return torch.where(rivals > -torch.inf, share, 0.0).mean()
