"""L-Softmax."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.losses.cosine_head import log1pexp
from evenface.losses.sphereface import SphereFace


class LSoftmax(SphereFace):
    """L-Softmax (Liu et al., ICML 2016, eq. 4 and 6): SphereFace's margin before anything was normalised.

    The target's logit is |x| |w_y| psi(angle), a rival's x . w_j. The annealing is that of `SphereFace`,
    with the numbers of the authors' example; its `least_lambda` is 0, and they advise 5 or 10 for large sets.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        margin: m, a whole number, 1 to 8; 1 is no margin.
        first_lambda: weight of the plain cosine before the first step, 0 or more.
        least_lambda: the weight that it falls to, 0 or more.
        decay: how fast it falls, a step, 0 or more.
        power: how steeply it falls, 0 or more.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        margin: int = 4,
        first_lambda: float = 1000.0,
        least_lambda: float = 5.0,
        decay: float = 0.000025,
        power: float = 35.0,
    ):
        super().__init__(
            num_classes,
            embedding_size,
            margin=margin,
            first_lambda=first_lambda,
            least_lambda=least_lambda,
            decay=decay,
            power=power,
        )

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy; in training mode each call is one step of the annealing."""
        centres = self.own(labels)
        lengths = torch.linalg.vector_norm(embeddings, dim=1) * torch.linalg.vector_norm(centres, dim=1)
        cosine = (F.normalize(embeddings) * F.normalize(centres)).sum(dim=1).clamp(-1.0, 1.0)
        rivals = self.rivals(embeddings, labels, raw=True)
        return log1pexp(rivals - lengths * self.annealed(cosine)).mean()
