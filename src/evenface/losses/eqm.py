"""The Equalized Margin loss."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import UserError, require_range
from evenface.losses.cosine_head import CosineHead, log1pexp
from evenface.losses.ladder import least_largest_cosine


class EqM(CosineHead):
    """Equalized Margin loss: every class the same scope, every pair of neighbours the same margin.

    After Sun, Yang, Xue, Liao (IEEE TMM 2020). **The equations are derived here** from the promises of the
    paper's abstract, not copied from its text; `docs/eqm.md` gives the derivation. With c the cosines, s
    the scale, l = `lower`, u = `upper`, v = `centre_upper`, h = `hardness`, and K the classes in the batch:

        L_i = log(1 + exp(-s (c_iy - l)) (1 + sum_{j != y} exp(s (c_ij - u))))
        q_i = softmax of (-h s c_iy) over the batch's samples of class y (no gradient)
        R   = mean over k in K of log(1 + sum_{j != k} exp(s (w_k . w_j - v)))
        L   = (gain / s) (1/|K| sum_i q_i L_i + centre_weight R)

    The fixed reference logit in L_i makes both limits absolute; q lets the samples that strayed furthest
    speak loudest and every class count the same however many samples it has; R keeps centres apart
    whatever their classes' sizes; gain / s keeps the gradient's size from following the scale.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        lower: l, the lower limit of intra-class similarity: cosine, -1 to 1, above `upper`.
        upper: u, the upper limit of inter-class similarity: cosine, -1 to 1.
        hardness: h, 0 or more; 0 weighs a class's samples alike.
        centre_weight: lambda, 0 or more; 0 leaves the centre term out.
        centre_upper: v, cosine, -1 to 1, or "auto": the least possible largest cosine between C directions
            in D dimensions (`least_largest_cosine`).
        gain: g, greater than 0, the size of the gradient in place of s.

    Attributes:
        terms: after each call "sample" and "centre", both already times gain / s, without `centre_weight`.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 32.0,
        lower: float = 0.6,
        upper: float = 0.2,
        hardness: float = 0.3,
        centre_weight: float = 0.3,
        centre_upper: float | Literal["auto"] = "auto",
        gain: float = 30.0,
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.lower", lower, -1.0, 1.0)
        require_range("loss.upper", upper, -1.0, 1.0)
        if not upper < lower:
            raise UserError(
                f"loss.upper: {upper} must be below loss.lower, {lower}: the margin is their difference"
            )
        require_range("loss.hardness", hardness, 0.0, 1e3)
        require_range("loss.centre_weight", centre_weight, 0.0, 1e6)
        require_range("loss.gain", gain, 1e-6, 1e6)
        if centre_upper == "auto":
            centre_upper = least_largest_cosine(num_classes, embedding_size)
        require_range("loss.centre_upper", centre_upper, -1.0, 1.0)
        self.lower = lower
        self.upper = upper
        self.hardness = hardness
        self.centre_weight = centre_weight
        self.centre_upper = float(centre_upper)
        self.gain = gain

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(gain / s) (L_sample + centre_weight R)."""
        present, position = torch.unique(labels, return_inverse=True)
        directions = F.normalize(embeddings)
        own = self.own_cosine(directions, labels)
        rows, classes, upper = directions, labels, directions.new_full((len(labels),), self.upper)
        if (
            self.centre_weight
        ):  # the present centres are rows beside the samples, for one pass over the classes
            rows = torch.cat([rows, F.normalize(self.own(present))])
            classes = torch.cat([labels, present])
            upper = torch.cat([upper, upper.new_full((len(present),), self.centre_upper)])
        rivals = self.rivals(rows, classes, scale=self.scale) - self.scale * upper
        rivals = log1pexp(rivals)  # the reference logit, 0, beside them

        above = self.scale * (own - self.lower)
        each = log1pexp(rivals[: len(labels)] - above)
        weight = _softmax_by_group(-self.hardness * above.detach(), position, len(present))
        sample = (weight * each).sum() / len(present)
        centre = rivals[len(labels) :].mean() if self.centre_weight else torch.zeros_like(sample)

        factor = self.gain / self.scale
        self.terms = {"sample": factor * sample.detach(), "centre": factor * centre.detach()}
        return factor * (sample + self.centre_weight * centre)


def _softmax_by_group(logits: Tensor, group: Tensor, groups: int) -> Tensor:
    """Softmax (N,) of logits (N,) within each group of rows that share an index in [0, groups)."""
    largest = logits.new_full((groups,), -math.inf).scatter_reduce(0, group, logits, "amax")
    share = torch.exp(logits - largest[group])
    return share / share.new_zeros(groups).index_add(0, group, share)[group]
