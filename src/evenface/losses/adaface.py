"""AdaFace."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.cosine_head import COSINE_LIMIT, CosineHead

LARGEST_NORM = 100.0  # norms above count as this, so that one outlier cannot move the running statistics far


class AdaFace(CosineHead):
    """AdaFace (Kim et al., CVPR 2022, eq. 16 to 19): the norm, as the image's quality, shapes the margin.

    With q = h (norm - mean) / std of the norms, held within -1 and 1 and taken as a constant (no gradient),
    the target's cosine becomes cos(angle - m q) - (m q + m): hard samples of good images (q near 1) count
    most, hard samples of bad images (q near -1, ArcFace with margin m) little. As in the authors' code the
    changed angle is held within 0 and pi, the mean and the (unbiased) standard deviation are running ones, to
    which each training step adds its batch before its loss, and norms above 100 count as 100.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        margin: m, radians and cosine alike, 0 to pi/2.
        concentration: h, 0 to 10; 0 is CosFace.
        momentum: weight of the batch in the running statistics, 0 to 1; 1 takes each batch alone. The
            authors train with 0.01; the paper calls 0.99 the momentum.

    Attributes:
        norm_mean: buffer (), 20 at the start; in evaluation mode it stays as it is.
        norm_std: buffer (), 100 at the start; a batch of one sample, which has none, leaves both as they are.

    Raises:
        UserError: an argument outside its range.
    """

    norm_mean: Tensor
    norm_std: Tensor

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 64.0,
        margin: float = 0.4,
        concentration: float = 0.333,
        momentum: float = 0.01,
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.margin", margin, 0.0, math.pi / 2)
        require_range("loss.concentration", concentration, 0.0, 10.0)
        require_range("loss.momentum", momentum, 0.0, 1.0)
        self.margin = margin
        self.concentration = concentration
        self.momentum = momentum
        self.register_buffer("norm_mean", torch.tensor(20.0))
        self.register_buffer("norm_std", torch.tensor(100.0))

    def quality(self, embeddings: Tensor) -> Tensor:
        """q in [-1, 1] of each embedding, (N,), without gradient; in training mode moves the statistics."""
        length: Tensor = torch.linalg.vector_norm(embeddings.detach(), dim=1)
        norm = length.clamp(max=LARGEST_NORM)
        if self.training and len(norm) > 1:
            self.norm_mean += self.momentum * (norm.mean() - self.norm_mean)
            self.norm_std += self.momentum * (norm.std() - self.norm_std)
        # The small number is for a batch of equal norms at momentum 1.
        centred = (norm - self.norm_mean) / (self.norm_std + 1e-3)
        return (self.concentration * centred).clamp(-1.0, 1.0)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of s * cosine with the target's changed."""
        shift = self.margin * self.quality(embeddings)
        directions = F.normalize(embeddings)
        angle = self.own_cosine(directions, labels).clamp(-COSINE_LIMIT, COSINE_LIMIT).acos()
        own = (angle - shift).clamp(0.0, math.pi).cos() - (shift + self.margin)
        return self.cross_entropy(directions, labels, own).mean()
