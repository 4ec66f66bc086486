"""MV-Softmax, on the additive and on the angular margin."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.arcface import add_angle
from evenface.losses.cosine_head import CosineHead, log1pexp


class MVSoftmax(CosineHead):
    """MV-Softmax (Wang et al., AAAI 2020, as in the authors' code): rivals that win are raised.

    A rival j misclassifies a sample where its cosine c_j is above the target's with its margin. There c_j
    becomes (1 + t) c_j + t in the adaptive form (more, the closer the rival), c_j + t in the fixed form. The
    authors' code, other than the paper, leaves the margin out where the target's cosine is negative; here
    it is always there. A subclass gives the margin as `target_cosine`.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        emphasis: t, 0 to 10; 0 is the margin alone.
        adaptive: the adaptive form, otherwise the fixed one.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self, num_classes: int, embedding_size: int, *, scale: float, emphasis: float, adaptive: bool
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.emphasis", emphasis, 0.0, 10.0)
        self.emphasis = emphasis
        self.adaptive = adaptive

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy with the winning rivals raised."""
        directions = F.normalize(embeddings)
        own = self.target_cosine(self.own_cosine(directions, labels))
        threshold = own.detach()[:, None]

        def rival_logit(cosine: Tensor) -> Tensor:
            raised = cosine + self.emphasis * ((cosine + 1.0) if self.adaptive else 1.0)
            return self.scale * torch.where(cosine > threshold, raised, cosine)

        return log1pexp(self.rivals(directions, labels, rival_logit) - self.scale * own).mean()


class MVAMSoftmax(MVSoftmax):
    """MV-AM-Softmax (Wang et al., AAAI 2020): CosFace's margin, rivals that win are raised (`MVSoftmax`).

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        margin: m, cosine, 0 to 2.
        emphasis: t, 0 to 10; 0 is CosFace.
        adaptive: the adaptive form, otherwise the fixed one.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 32.0,
        margin: float = 0.35,
        emphasis: float = 0.2,
        adaptive: bool = True,
    ):
        super().__init__(num_classes, embedding_size, scale=scale, emphasis=emphasis, adaptive=adaptive)
        require_range("loss.margin", margin, 0.0, 2.0)
        self.margin = margin

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """Cosine - margin."""
        return cosine - self.margin


class MVArcSoftmax(MVSoftmax):
    """MV-Arc-Softmax (Wang et al., AAAI 2020): ArcFace's margin, rivals that win are raised (`MVSoftmax`).

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        margin: m, radians, 0 to pi/2; the default is ArcFace's.
        emphasis: t, 0 to 10; 0 is ArcFace.
        adaptive: the adaptive form, otherwise the fixed one.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 32.0,
        margin: float = 0.5,
        emphasis: float = 0.2,
        adaptive: bool = True,
    ):
        super().__init__(num_classes, embedding_size, scale=scale, emphasis=emphasis, adaptive=adaptive)
        require_range("loss.margin", margin, 0.0, math.pi / 2)
        self.margin = margin

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """cos(angle + margin), as ArcFace's."""
        return add_angle(cosine, cosine.new_full((), self.margin))
