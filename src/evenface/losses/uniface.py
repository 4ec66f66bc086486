"""UniFace: one threshold between targets and rivals."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import require_range
from evenface.losses.cosine_head import CosineHead


class UniFace(CosineHead):
    """UniFace (Zhou et al., ICCV 2023, as in the authors' code): targets above one threshold, rivals below.

    Unified cross-entropy with a margin m and one bias b for all classes, which is learnt; with c the cosines,

        L_i = log(1 + exp(b - s (c_iy - m))) + rival_weight sum_{j != y} log(1 + exp(s c_ij - b))

    b / s is the threshold between all targets and all rivals. The authors' code also holds each logit within
    -s and s, against overflow, and a far stray has no gradient there; here nothing overflows, and it has one.
    Their other way to balance, a random part of the rivals, is not here.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, the paper's gamma, greater than 0.
        margin: m, cosine, 0 to 2.
        rival_weight: lambda, greater than 0; 1 is the plain sum.

    Attributes:
        bias: parameter (), b, log(10 C) at the start.
        terms: after each call "target" and "rivals", the two parts of the loss.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 64.0,
        margin: float = 0.4,
        rival_weight: float = 1.0,
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.margin", margin, 0.0, 2.0)
        require_range("loss.rival_weight", rival_weight, 1e-6, 1e6)
        self.margin = margin
        self.rival_weight = rival_weight
        self.bias = nn.Parameter(torch.tensor(math.log(10.0 * num_classes)))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean L_i."""
        directions = F.normalize(embeddings)
        cosine = self.own_cosine(directions, labels)
        own = F.softplus(self.bias.to(cosine) - self.scale * (cosine - self.margin)).mean()
        each = self.rivals(directions, labels, self.rival_term, self.bias, reduce="sum")
        rivals = self.rival_weight * each.mean()
        self.terms = {"target": own.detach(), "rivals": rivals.detach()}
        return own + rivals

    def rival_term(self, cosine: Tensor, bias: Tensor) -> Tensor:
        """log(1 + exp(s c - b)) of rivals' cosines."""
        return F.softplus(self.scale * cosine - bias)
