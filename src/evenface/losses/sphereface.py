"""SphereFace (A-Softmax) with the annealing that makes it converge."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.centre_head import CentreHead
from evenface.losses.cosine_head import COSINE_LIMIT, log1pexp


def falling_cosine(phase: Tensor) -> Tensor:
    """(-1)^k cos(phase) - 2k with k = floor(phase / pi): cos(phase) up to pi, falling on beyond it."""
    k = torch.floor(phase.detach() / math.pi)
    return (1.0 - 2.0 * (k % 2)) * torch.cos(phase) - 2.0 * k


class SphereFace(CentreHead):
    """SphereFace (Liu et al., CVPR 2017, eq. 7): a margin that multiplies the target's angle.

    Centres are normalised, embeddings are not: the target's logit is |x| psi(angle), with
    psi(t) = (-1)^k cos(m t) - 2k on the k-th of m equal parts of [0, pi], which falls over the whole
    range. From the start this does not converge, so the logit is annealed as in the authors' code:
    |x| (lambda cos(angle) + psi(angle)) / (1 + lambda), lambda = max(least_lambda,
    first_lambda / (1 + decay * step)^power).

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

    step: Tensor

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        margin: int = 4,
        first_lambda: float = 1000.0,
        least_lambda: float = 5.0,
        decay: float = 0.12,
        power: float = 1.0,
    ):
        super().__init__(num_classes, embedding_size)
        require_range("loss.margin", margin, 1, 8)
        require_range("loss.first_lambda", first_lambda, 0.0, math.inf)
        require_range("loss.least_lambda", least_lambda, 0.0, math.inf)
        require_range("loss.decay", decay, 0.0, math.inf)
        require_range("loss.power", power, 0.0, 1e3)
        self.margin = int(margin)
        self.first_lambda = first_lambda
        self.least_lambda = least_lambda
        self.decay = decay
        self.power = power
        # A buffer, so that a resumed run goes on with the annealing where it was.
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def annealing(self) -> float:
        """The present lambda."""
        fallen = math.pow(1.0 + self.decay * int(self.step), -self.power)
        return max(self.least_lambda, self.first_lambda * fallen)

    def psi(self, cosine: Tensor) -> Tensor:
        """psi of the angle whose cosine (N,) is given."""
        return falling_cosine(self.margin * cosine.clamp(-COSINE_LIMIT, COSINE_LIMIT).acos())

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy; in training mode each call is one step of the annealing."""
        length = torch.linalg.vector_norm(embeddings, dim=1)
        own = self.annealed(self.own_cosine(F.normalize(embeddings), labels))
        rivals = self.rivals(embeddings, labels)  # |x| cos(angle)
        return log1pexp(rivals - length * own).mean()

    def annealed(self, cosine: Tensor) -> Tensor:
        """What becomes of a target's cosine (N,); in training mode each call is one step of the annealing."""
        if self.training:
            self.step += 1
        weight = self.annealing()
        return (weight * cosine + self.psi(cosine)) / (1.0 + weight)
