"""CurricularFace."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.arcface import ArcFace
from evenface.losses.cosine_head import log1pexp


class CurricularFace(ArcFace):
    """CurricularFace (Huang et al., CVPR 2020, as in the authors' code): hard rivals count more with time.

    The target has ArcFace's margin. A rival whose cosine c is above the target's with its margin is hard, and
    c becomes c (t + c). t is the running mean of the targets' cosines without margin: near 0 at the start,
    where hard rivals are weakened, and towards 1 later, where they are strengthened. Each training step,
    before its loss, t becomes momentum * (the batch's mean) + (1 - momentum) * t.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        margin: m, radians, 0 to pi/2.
        momentum: weight of the batch in the running mean, 0 to 1. The authors' code has 0.01; the paper
            calls 0.99 the momentum.

    Attributes:
        t: buffer (), cosine, 0 at the start; in evaluation mode it stays as it is.

    Raises:
        UserError: an argument outside its range.
    """

    t: Tensor

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        momentum: float = 0.01,
    ):
        super().__init__(num_classes, embedding_size, scale=scale, margin=margin)
        require_range("loss.momentum", momentum, 0.0, 1.0)
        self.momentum = momentum
        self.register_buffer("t", torch.zeros(()))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy with the hard rivals changed; in training mode each call moves t."""
        directions = F.normalize(embeddings)
        plain = self.own_cosine(directions, labels)
        if self.training:
            self.t += self.momentum * (plain.detach().mean() - self.t)
        own = self.target_cosine(plain)
        threshold = own.detach()[:, None]
        # t as it is now, also in the backward pass, which computes the logits again.
        t = self.t.clone()

        def rival_logit(cosine: Tensor) -> Tensor:
            return self.scale * torch.where(cosine > threshold, cosine * (t + cosine), cosine)

        return log1pexp(self.rivals(directions, labels, rival_logit) - self.scale * own).mean()
