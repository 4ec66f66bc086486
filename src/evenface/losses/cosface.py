"""CosFace, also known as AM-Softmax."""

from torch import Tensor

from evenface.errors import require_range
from evenface.losses.cosine_head import CosineHead


class CosFace(CosineHead):
    """CosFace (Wang et al., CVPR 2018, eq. 4): the target's cosine less a margin.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        margin: m, cosine, 0 to 2.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, scale: float = 64.0, margin: float = 0.35):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.margin", margin, 0.0, 2.0)
        self.margin = margin

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """Cosine - margin."""
        return cosine - self.margin
