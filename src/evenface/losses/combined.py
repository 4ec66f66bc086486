"""The combined margin of the ArcFace paper."""

import math

from torch import Tensor

from evenface.errors import require_range
from evenface.losses.cosine_head import COSINE_LIMIT, CosineHead
from evenface.losses.sphereface import falling_cosine


class CombinedMargin(CosineHead):
    """Combined margin (Deng et al., CVPR 2019, eq. 4): the target's cosine becomes cos(m1 angle + m2) - m3.

    The three margins of SphereFace, ArcFace and CosFace in one; the paper trains (1, 0.3, 0.2) and
    (0.9, 0.4, 0.15). Where m1 angle + m2 passes pi, the cosine would rise again; there it goes on falling as
    SphereFace's psi does, which the paper does not treat.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        angle_factor: m1, 0.1 to 8; 1 is no such margin.
        angle_margin: m2, radians, 0 to pi/2.
        cosine_margin: m3, cosine, 0 to 2.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 64.0,
        angle_factor: float = 1.0,
        angle_margin: float = 0.3,
        cosine_margin: float = 0.2,
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.angle_factor", angle_factor, 0.1, 8.0)
        require_range("loss.angle_margin", angle_margin, 0.0, math.pi / 2)
        require_range("loss.cosine_margin", cosine_margin, 0.0, 2.0)
        self.angle_factor = angle_factor
        self.angle_margin = angle_margin
        self.cosine_margin = cosine_margin

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """cos(m1 angle + m2) - m3."""
        angle = cosine.clamp(-COSINE_LIMIT, COSINE_LIMIT).acos()
        return falling_cosine(self.angle_factor * angle + self.angle_margin) - self.cosine_margin
