"""L-Softmax."""

import torch
from torch import Tensor

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

    def lengths(self, embeddings: Tensor) -> Tensor:
        """|x| |w_j|, (N, num_classes)."""
        centres: Tensor = torch.linalg.vector_norm(self.centres.to(embeddings), dim=1)
        return super().lengths(embeddings) * centres
