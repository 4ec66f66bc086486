"""LDAM: the fewer images a class has, the wider its margin."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import UserError, require_range
from evenface.losses.cosine_head import CosineHead


class LDAM(CosineHead):
    """LDAM (Cao et al., NeurIPS 2019): CosFace with the margin K / n_j^(1/4) for a class of n_j images.

    K is such that the smallest class has `max_margin`, as in the authors' code. Until `use_class_sizes` tells
    the sizes, all classes count as alike, and each has `max_margin`. The paper's deferred re-weighting is a
    schedule of the training, not part of the loss, and is not here.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        max_margin: margin of the smallest class, cosine, 0 to 2.

    Attributes:
        class_sizes: buffer (P,), int64, images of each class held.
        least_size: buffer (), int64, images of the smallest class of all.

    Raises:
        UserError: an argument outside its range.
    """

    PER_CLASS = ("centres", "class_sizes")

    class_sizes: Tensor
    least_size: Tensor

    def __init__(
        self, num_classes: int, embedding_size: int, *, scale: float = 30.0, max_margin: float = 0.5
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.max_margin", max_margin, 0.0, 2.0)
        self.max_margin = max_margin
        self.register_buffer("class_sizes", torch.ones(len(self.classes), dtype=torch.int64))
        self.register_buffer("least_size", torch.ones((), dtype=torch.int64))

    def use_class_sizes(self, sizes: Tensor) -> None:
        """Set the margins by the number of training images of each class.

        Args:
            sizes: (num_classes,) int64, each 1 or more.

        Raises:
            UserError: another shape, or a class without images.
        """
        if sizes.shape != (self.num_classes,):
            raise UserError(
                f"class sizes: expected one for each of {self.num_classes} classes, got {tuple(sizes.shape)}"
            )
        least = int(sizes.min())
        if least < 1:
            raise UserError(
                f"class sizes: class {int(sizes.argmin())} has {least} images; each needs 1 or more"
            )
        self.class_sizes.copy_(sizes[self.classes.start : self.classes.stop])
        self.least_size.fill_(least)

    def margins(self) -> Tensor:
        """The margin of each class held, (P,), float32 (float64 if the head is)."""
        ratio = self.class_sizes.to(self.precision()) / self.least_size
        return self.max_margin * ratio**-0.25

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of s * cosine, the target's cosine less its class's margin."""
        directions = F.normalize(embeddings)
        own = self.own_cosine(directions, labels) - self.classes.of(self.margins(), labels)
        return self.cross_entropy(directions, labels, own).mean()
