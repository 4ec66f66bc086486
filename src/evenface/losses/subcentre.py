"""Sub-centre ArcFace."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import require_range
from evenface.losses.arcface import ArcFace


class SubcentreArcFace(ArcFace):
    """Sub-centre ArcFace (Deng et al., ECCV 2020, section 3.2): each class has K centres, the nearest counts.

    The cosine of a sample and a class is the largest over the class's sub-centres, and ArcFace's margin is
    added to its angle; images with a wrong label gather at a sub-centre of their own.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        margin: m, radians, 0 to pi/2.
        subcentres: K, 2 to 100.

    Attributes:
        centres: parameter (P, subcentres, embedding_size) of the P classes held.
        chosen: buffer (P, subcentres), int64, how many training samples had each as their nearest.

    Raises:
        UserError: an argument outside its range.
    """

    PER_CLASS = ("centres", "chosen")

    chosen: Tensor

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        subcentres: int = 3,
    ):
        super().__init__(num_classes, embedding_size, scale=scale, margin=margin)
        require_range("loss.subcentres", subcentres, 2, 100)
        self.subcentres = int(subcentres)
        self.centres = nn.Parameter(self.drawn_centres(self.subcentres, embedding_size))
        chosen = torch.zeros(len(self.classes), self.subcentres, dtype=torch.int64)
        self.register_buffer("chosen", chosen)

    def directions(self, every: int = 1) -> Tensor:
        """The dominant sub-centre of each class held, the one chosen most often, or of every n-th class."""
        dominant = self.chosen[::every].argmax(dim=1)
        rows = torch.arange(len(dominant), device=dominant.device)
        return F.normalize(self.centres[::every][rows, dominant].to(self.precision()))

    def own_cosine(self, directions: Tensor, labels: Tensor) -> Tensor:
        """Cosines (N,) in [-1, 1] of directions (N, embedding_size) and their own nearest sub-centres."""
        return self._own_cosines(directions, labels).max(dim=1).values

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """ArcFace's loss; in training mode each sample's choice is counted."""
        if self.training:
            with torch.no_grad():
                nearest = self._own_cosines(F.normalize(embeddings), labels).argmax(dim=1)
            position = self.classes.position(labels)
            held = position >= 0
            place = (position[held], nearest[held])
            self.chosen.index_put_(place, torch.ones_like(nearest[held]), accumulate=True)
        return super().loss(embeddings, labels)

    def _own_cosines(self, directions: Tensor, labels: Tensor) -> Tensor:
        every = F.normalize(self.own(labels), dim=2)
        return (directions[:, None] * every).sum(dim=2).clamp(-1.0, 1.0)
