"""Sub-centre ArcFace."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import require_range
from evenface.losses.arcface import ArcFace
from evenface.losses.base import INITIAL_STD


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
        centres: parameter (num_classes, embedding_size), the first sub-centre of each class.
        further: parameter (num_classes, subcentres - 1, embedding_size), the others.
        chosen: buffer (num_classes, subcentres), int64, how many training samples had each as their nearest.

    Raises:
        UserError: an argument outside its range.
    """

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
        further = torch.empty(num_classes, self.subcentres - 1, embedding_size)
        self.further = nn.Parameter(further.normal_(std=INITIAL_STD))
        self.register_buffer("chosen", torch.zeros(num_classes, self.subcentres, dtype=torch.int64))

    def all_directions(self) -> Tensor:
        """The L2-normalised sub-centres, (num_classes, subcentres, embedding_size)."""
        every = torch.cat([self.centres[:, None], self.further], dim=1)
        return F.normalize(every.to(self.precision()), dim=2)

    def directions(self) -> Tensor:
        """The dominant sub-centre of each class, the one chosen most often, (num_classes, embedding_size)."""
        rows = torch.arange(self.num_classes, device=self.chosen.device)
        return self.all_directions()[rows, self.chosen.argmax(dim=1)]

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Cosines (N, num_classes) in [-1, 1] between embeddings and the nearest sub-centre of each class."""
        cosine = (F.normalize(embeddings) @ self.all_directions().flatten(0, 1).T).clamp(-1.0, 1.0)
        return cosine.view(-1, self.num_classes, self.subcentres).max(dim=2).values

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """ArcFace's loss; in training mode each sample's choice is counted."""
        if self.training:
            with torch.no_grad():
                own = F.normalize(embeddings)[:, None] * self.all_directions()[labels]
                nearest = own.sum(dim=2).argmax(dim=1)
                self.chosen.index_put_((labels, nearest), torch.ones_like(labels), accumulate=True)
        return super().loss(embeddings, labels)
