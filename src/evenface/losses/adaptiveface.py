"""AdaptiveFace's margins, one learnt for each class."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import require_range
from evenface.losses.cosine_head import CosineHead


class AdaptiveFace(CosineHead):
    """AdaM-Softmax of AdaptiveFace (Liu et al., CVPR 2019): CosFace with a learnt margin for each class.

    Mean cross-entropy of s cosine, the target's cosine less its class's margin m_y, plus
    `margin_weight` (1 - mean of all m_j): the margins are pulled up, most where the class has few images.
    The paper's term is -mean; the 1 keeps the loss above 0. Margins are held within 0 to 1.

    The paper's hard prototype mining and data sampling are no part of the loss and are not here. The
    paper's text was not at hand: the weight and the scale are those of FaceX-Zoo's implementation. The margin
    of a class with 1 / C of the images grows while s (1 - p) < `margin_weight`, with p the probability
    of its samples; so with few classes, or classes of one size, a weight below s is the better choice.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        margin: what every class's margin starts from, cosine, 0 to 1.
        margin_weight: lambda, 0 or more.

    Attributes:
        margins: parameter (P,) of the classes held, cosine, 0 to 1 at each training step.
        terms: after each call "softmax", and "margin": the mean of the margins.

    Raises:
        UserError: an argument outside its range.
    """

    PER_CLASS = ("centres", "margins")

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 30.0,
        margin: float = 0.35,
        margin_weight: float = 70.0,
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.margin", margin, 0.0, 1.0)
        require_range("loss.margin_weight", margin_weight, 0.0, 1e6)
        self.margin_weight = margin_weight
        self.margins = nn.Parameter(torch.full((len(self.classes),), margin))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy + margin_weight * (1 - mean margin); in training mode margins are held first."""
        if self.training:
            with torch.no_grad():
                self.margins.clamp_(0.0, 1.0)
        directions = F.normalize(embeddings)
        margins = self.margins.to(directions)
        own = self.own_cosine(directions, labels) - self.classes.of(margins, labels)
        softmax = self.cross_entropy(directions, labels, own).mean()
        mean = self.classes.sum(margins.sum()) / self.num_classes
        self.terms = {"softmax": softmax.detach(), "margin": mean.detach()}
        return softmax + self.margin_weight * (1.0 - mean)
