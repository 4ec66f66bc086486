"""UNPG: pairs of samples join the rivals."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.arcface import ArcFace
from evenface.losses.cosine_head import log1pexp


class UNPG(ArcFace):
    """UNPG (Jung et al., arXiv 2203.11593, 2022, as in the authors' code): ArcFace, pairs as further rivals.

    The cosines of all pairs of samples of different classes in the batch stand beside the rival centres in
    every sample's softmax, also of pairs without that sample. Pairs that look mislabelled or useless
    are left out by a box plot's rule: with Q1 and Q3 the quartiles of these cosines, a pair stays within
    Q1 - whisker (Q3 - Q1) and Q3 + whisker (Q3 - Q1).

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        margin: m, radians, 0 to pi/2.
        whisker: length of the whiskers in boxes, 0 to 1000; the authors' settings have 1.5.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        whisker: float = 1.5,
    ):
        super().__init__(num_classes, embedding_size, scale=scale, margin=margin)
        require_range("loss.whisker", whisker, 0.0, 1e3)
        self.whisker = whisker

    def rival_pairs(self, directions: Tensor, labels: Tensor) -> Tensor:
        """Cosines, (pairs,), of the pairs of different classes that are kept, each pair once."""
        cosine = (directions @ directions.T).clamp(-1.0, 1.0)[labels[:, None] < labels].sort().values
        if len(cosine) == 0:
            return cosine
        first, third = cosine[len(cosine) // 4], cosine[3 * len(cosine) // 4]
        reach = self.whisker * (third - first)
        return cosine[(first - reach <= cosine) & (cosine <= third + reach)]

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy, each softmax with the kept pairs; ArcFace's in a batch of one class."""
        directions = F.normalize(embeddings)
        own = self.target_cosine(self.own_cosine(directions, labels))
        rivals = self.rivals(directions, labels, scale=self.scale)
        pairs = self.rival_pairs(directions, labels)
        if len(pairs):
            # One logit stands for all pairs: a softmax sees only the sum of their exponentials.
            rivals = torch.logaddexp(rivals, (self.scale * pairs).logsumexp(dim=0))
        return log1pexp(rivals - self.scale * own).mean()
