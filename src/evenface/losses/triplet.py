"""The triplet loss with semi-hard negatives."""

import math

from torch import Tensor

from evenface.errors import require_range
from evenface.losses.pairs import PairLoss, genuine_and_impostor, mean_or_zero, squared_distances


class Triplet(PairLoss):
    """Triplet loss (FaceNet: Schroff et al., CVPR 2015, eq. 3) with semi-hard negatives (section 3.2, eq. 4).

    With D the squared Euclidean distance of two L2-normalised embeddings, a triplet of an anchor, a positive
    and a negative costs max(0, D(anchor, positive) - D(anchor, negative) + margin). Every anchor-positive
    pair of the batch is taken, with one negative: the nearest of those further from the anchor than the
    positive. Where no negative is further, which the paper leaves open, it is the furthest one, the least
    hard. The loss is the mean over the anchor-positive pairs.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        margin: squared distance, 0 to 4.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, margin: float = 0.2):
        super().__init__(num_classes, embedding_size)
        require_range("loss.margin", margin, 0.0, 4.0)
        self.margin = margin

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over anchor-positive pairs; 0 for a batch of one class or of one image a class."""
        squared = squared_distances(embeddings)
        genuine, impostor = genuine_and_impostor(labels)
        anchor, positive = (genuine & impostor.any(dim=1, keepdim=True)).nonzero(as_tuple=True)
        near = squared[anchor, positive]
        far, other = squared[anchor], impostor[anchor]  # (pairs, N): everyone, seen from the anchor
        beyond = far.masked_fill(~other | (far <= near[:, None]), math.inf).amin(dim=1)
        furthest = far.masked_fill(~other, -math.inf).amax(dim=1)
        negative = beyond.where(beyond.isfinite(), furthest)
        return mean_or_zero((near - negative + self.margin).clamp_min(0.0))
