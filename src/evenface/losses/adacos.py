"""AdaCos."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.centre_head import CentreHead
from evenface.losses.cosine_head import log1pexp


class AdaCos(CentreHead):
    """AdaCos (Zhang et al., CVPR 2019, eq. 14): softmax over cosines with a scale that follows the training.

    No setting. The scale starts at sqrt(2) log(C - 1) (eq. 12), and before each training step becomes

        log(B) / cos(min(pi / 4, median over the batch of the target's angle)),
        B = mean over i of sum_{j != y} exp(scale c_ij), with the scale of the step before.

    Args:
        num_classes: C, 3 or more: with 2 the scale would be 0.
        embedding_size: D, 2 or more.

    Attributes:
        scale: buffer (), s; in evaluation mode it stays as it is.
        terms: after each call "scale".

    Raises:
        UserError: an argument outside its range.
    """

    scale: Tensor

    def __init__(self, num_classes: int, embedding_size: int):
        require_range("loss.num_classes", num_classes, 3, 2**31)
        super().__init__(num_classes, embedding_size)
        self.register_buffer("scale", torch.tensor(math.sqrt(2.0) * math.log(num_classes - 1)))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of scale * cosine."""
        directions = F.normalize(embeddings)
        own = self.own_cosine(directions, labels)
        if self.training:
            with torch.no_grad():
                self.scale = self._next_scale(directions, labels, own)
        scale = self.scale  # of this call, also in its backward pass
        self.terms = {"scale": scale}
        rivals = self.rivals(directions, labels, scale=scale)
        return log1pexp(rivals - scale * own).mean()

    def _next_scale(self, directions: Tensor, labels: Tensor, own: Tensor) -> Tensor:
        rivals = self.rivals(directions, labels, scale=self.scale).logsumexp(dim=0)
        angle = own.acos().quantile(0.5).clamp(max=math.pi / 4)
        # With few classes, all rivals opposite would make log(B) negative and turn the loss around.
        return ((rivals - math.log(len(labels))) / angle.cos()).clamp(min=1e-3)
