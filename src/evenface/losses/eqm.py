"""The Equalized Margin loss."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import UserError, require_range
from evenface.losses.cosine_head import CosineHead, log1pexp
from evenface.losses.ladder import welch_cosine


class EqM(CosineHead):
    """Equalized Margin loss: every class the same scope, every pair of neighbours the same margin.

    After Sun, Yang, Xue, Liao (IEEE TMM 2020). **The equations are derived here** from the promises of the
    paper's abstract, not copied from its text; `docs/eqm.md` gives the derivation. With c the cosines, s
    the scale, t = `centre_scale`, l = `lower`, u = `upper`, v = `centre_upper`, h = `hardness`, and K the
    classes in the batch:

        L_i = log(1 + exp(-s (c_iy - l)) (1 + sum_{j != y} exp(s (c_ij - u))))
        q_i = softmax of (-h s c_iy) over the batch's samples of class y (no gradient)
        R   = mean over k in K of log(1 + sum_{j != k} exp(t (w_k . w_j - v)))  (no gradient to w_j)
        L   = gain (1/s 1/|K| sum_i q_i L_i + centre_weight 1/t R)

    The fixed reference logit in L_i makes both limits absolute; q lets the samples that strayed furthest
    speak loudest and every class count the same however many samples it has; R keeps centres apart
    whatever their classes' sizes, the nearest before all, and moves a centre only when its class is present:
    as often as its samples do; 1/s and 1/t keep the gradient's size from following the scales.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        lower: l, the lower limit of intra-class similarity: cosine, -1 to 1, above `upper`.
        upper: u, the upper limit of inter-class similarity: cosine, -1 to 1.
        hardness: h, 0 or more; 0 weighs a class's samples alike.
        centre_weight: lambda, 0 or more; 0 leaves the centre term out.
        centre_upper: v, cosine, -1 to 1, or "auto": about the least that C directions in D dimensions can all
            stay below (`welch_cosine`).
        centre_scale: t, greater than 0.
        gain: g, greater than 0, the size of the gradient in place of a scale.

    Attributes:
        terms: after each call "sample" and "centre", each already times gain over its scale, without
            `centre_weight`.

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
        centre_weight: float = 1.0,
        centre_upper: float | Literal["auto"] = "auto",
        centre_scale: float = 96.0,
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
        require_range("loss.centre_scale", centre_scale, 1e-3, 1e6)
        require_range("loss.gain", gain, 1e-6, 1e6)
        if centre_upper == "auto":
            centre_upper = welch_cosine(num_classes, embedding_size)
        require_range("loss.centre_upper", centre_upper, -1.0, 1.0)
        self.lower = lower
        self.upper = upper
        self.hardness = hardness
        self.centre_weight = centre_weight
        self.centre_upper = float(centre_upper)
        self.centre_scale = centre_scale
        self.gain = gain

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """gain (L_sample / scale + centre_weight R / centre_scale)."""
        present, position = torch.unique(labels, return_inverse=True)
        directions = F.normalize(embeddings)
        own = self.own_cosine(directions, labels)
        rows, classes = self.scale * directions, labels
        limits = directions.new_full((len(labels),), self.scale * self.upper)
        if self.centre_weight:
            # The present centres are rows beside the samples, for one pass; what they meet does not move.
            rows = torch.cat([rows, self.centre_scale * F.normalize(self.own(present))])
            classes = torch.cat([labels, present])
            limits = torch.cat(
                [limits, limits.new_full((len(present),), self.centre_scale * self.centre_upper)]
            )
        rivals = self.rivals(rows, classes, moving=len(labels))
        rivals = log1pexp(rivals - limits)  # the reference logit, 0, beside them

        above = self.scale * (own - self.lower)
        each = log1pexp(rivals[: len(labels)] - above)
        weight = _softmax_by_group(-self.hardness * above.detach(), position, len(present))
        sample = self.gain / self.scale * (weight * each).sum() / len(present)
        centre = torch.zeros_like(sample)
        if self.centre_weight:
            centre = self.gain / self.centre_scale * rivals[len(labels) :].mean()

        self.terms = {"sample": sample.detach(), "centre": centre.detach()}
        return sample + self.centre_weight * centre


def _softmax_by_group(logits: Tensor, group: Tensor, groups: int) -> Tensor:
    """Softmax (N,) of logits (N,) within each group of rows that share an index in [0, groups)."""
    largest = logits.new_full((groups,), -math.inf).scatter_reduce(0, group, logits, "amax")
    share = torch.exp(logits - largest[group])
    return share / share.new_zeros(groups).index_add(0, group, share)[group]
