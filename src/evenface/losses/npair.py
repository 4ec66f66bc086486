"""The multi-class N-pair loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.pairs import PairLoss, mean_or_zero


class NPair(PairLoss):
    """Multi-class N-pair loss (Sohn, NIPS 2016, eq. 7): each anchor finds its positive among all positives.

    Of each class with two images or more in the batch, the first in the batch's order is the anchor f_i and
    the second the positive f_i+; the others are not used, so `images_per_person` 2 of the sampler `pk` wastes
    nothing. Embeddings are not normalised; their length is held by the paper's L2 penalty instead:

        mean over i of log(1 + sum_{j != i} exp(f_i . f_j+ - f_i . f_i+))
            + norm_weight / 2 * mean squared length of all anchors and positives

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        norm_weight: 0 or more; 0 leaves the penalty out. The paper gives no value; 0.002 is TensorFlow's.

    Attributes:
        terms: after each call "pairs" and "length", the two lines above, the second without norm_weight / 2.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, norm_weight: float = 0.002):
        super().__init__(num_classes, embedding_size)
        require_range("loss.norm_weight", norm_weight, 0.0, 1e6)
        self.norm_weight = norm_weight

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The two terms; 0 if no class has two images."""
        order = torch.argsort(labels, stable=True)
        counts = torch.unique_consecutive(labels[order], return_counts=True)[1]
        first = (counts.cumsum(0) - counts)[counts > 1]
        anchors, positives = embeddings[order[first]], embeddings[order[first + 1]]
        own = torch.arange(len(first), device=labels.device)
        pairs = mean_or_zero(F.cross_entropy(anchors @ positives.T, own, reduction="none"))
        length = mean_or_zero(torch.cat([anchors, positives]).square().sum(dim=1))
        self.terms = {"pairs": pairs.detach(), "length": length.detach()}
        return pairs + 0.5 * self.norm_weight * length
