"""The Equalized Margin loss."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import UserError, require_range
from evenface.losses.base import CosineHead
from evenface.losses.ladder import least_largest_cosine


class EqM(CosineHead):
    """Equalized Margin loss: every class the same scope, every pair of neighbours the same margin.

    After Sun, Yang, Xue, Liao (IEEE TMM 2020). **The equations are derived here** from the promises of the
    paper's abstract, not copied from its text; `docs/eqm.md` gives the derivation. With c the cosines, s
    the scale, t the sharpness, l = `lower`, u = `upper`, v = `centre_upper`, h = `hardness`, K the classes
    in the batch, B_k the batch's samples of class k, and m = sum_i p_i c_iy the mean own cosine (q and m
    are constants, without gradient):

        M_i = log(1 + sum_{j != y} exp(t (c_ij - u))) / t
        L_i = log(1 + exp(s (l + M_i - c_iy))) / s
        q_i = softmax of (-h t c_iy) over the batch's samples of class y
        p_i = q_i sqrt|B_y| / sum_{k in K} sqrt|B_k|
        R_k = log(1 + sum_{j != k} exp(r (w_k . w_j - v))) / r, r = sqrt(D) log(C)
        V   = sum_i p_i H(c_iy - m), H(d) = d^2 / 2 up to |d| = 1 / scope_weight, straight beyond
        L   = gain (sum_i p_i L_i + centre_weight 1/|K| sum_k R_k + scope_weight V)

    M_i is a smooth maximum of 0 and of how far each rival passes the upper limit, in units of cosine. The
    reference 0 makes both limits absolute. The scale only rounds the corner at the lower limit: where rivals
    lie is read at the sharpness, so a small scale does not drown the near rivals in the mass of far ones.
    q lets the samples that strayed furthest speak loudest, and a class counts as the square root of its
    samples in the batch; R keeps centres apart whatever their classes' sizes, at a sharpness r that tells
    cosines 1 / sqrt(D) apart, by which those of random directions differ; V makes the scopes alike: it holds
    back the samples that are nearer to their centre than the mean and pulls the farther ones, each by no more
    than the full pull of L_i, so none is pushed away while it is below the lower limit.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0, how sharp the corner at the lower limit is.
        lower: l, the lower limit of intra-class similarity: cosine, -1 to 1, above `upper`.
        upper: u, the upper limit of inter-class similarity: cosine, -1 to 1.
        sharpness: t, greater than 0, or "auto": log(C) / u, at which C rivals at right angles to a sample
            weigh together no more than one at the upper limit; needs u > 0.
        hardness: h, 0 or more; 0 weighs a class's samples alike.
        centre_weight: lambda, 0 or more; 0 leaves the centre term out.
        centre_upper: v, cosine, -1 to 1, or "auto": the least possible largest cosine between C directions
            in D dimensions (`least_largest_cosine`).
        scope_weight: mu, 0 or more; 0 leaves the scopes free.
        gain: g, greater than 0, the largest gradient of L_i with respect to the own cosine.

    Attributes:
        terms: after each call "sample", "centre" and "scope", times gain, without the other two's weights.

    Raises:
        UserError: an argument outside its range, or "auto" sharpness with `upper` not above 0.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 32.0,
        lower: float = 0.6,
        upper: float = 0.2,
        sharpness: float | Literal["auto"] = "auto",
        hardness: float = 0.3,
        centre_weight: float = 0.3,
        centre_upper: float | Literal["auto"] = "auto",
        scope_weight: float = 8.0,
        gain: float = 30.0,
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.lower", lower, -1.0, 1.0)
        require_range("loss.upper", upper, -1.0, 1.0)
        if not upper < lower:
            raise UserError(
                f"loss.upper: {upper} must be below loss.lower, {lower}: the margin is their difference"
            )
        if sharpness == "auto":
            if upper <= 0:
                raise UserError(
                    f"loss.sharpness: auto is log(classes) / loss.upper and needs loss.upper above 0, "
                    f"found {upper}. Give a number, such as 32"
                )
            sharpness = math.log(num_classes) / upper
        require_range("loss.sharpness", sharpness, 1e-3, 1e6)
        require_range("loss.hardness", hardness, 0.0, 1e3)
        require_range("loss.centre_weight", centre_weight, 0.0, 1e6)
        require_range("loss.scope_weight", scope_weight, 0.0, 1e6)
        require_range("loss.gain", gain, 1e-6, 1e6)
        if centre_upper == "auto":
            centre_upper = least_largest_cosine(num_classes, embedding_size)
        require_range("loss.centre_upper", centre_upper, -1.0, 1.0)
        self.lower = lower
        self.upper = upper
        self.sharpness = float(sharpness)
        self.hardness = hardness
        self.centre_weight = centre_weight
        self.centre_upper = float(centre_upper)
        self.centre_sharpness = math.sqrt(embedding_size) * math.log(num_classes)
        self.scope_weight = scope_weight
        self.gain = gain

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """gain (L_sample + centre_weight R + scope_weight V)."""
        present, position, counts = torch.unique(labels, return_inverse=True, return_counts=True)
        cosine = self.cosines(embeddings)
        own = cosine.gather(1, labels[:, None]).squeeze(1)
        short = self.lower + _highest(cosine - self.upper, labels, self.sharpness) - own
        each = F.softplus(self.scale * short) / self.scale
        strayed = -self.hardness * self.sharpness * own.detach()
        share: Tensor = counts.to(own.dtype).sqrt()
        weight = _softmax_by_group(strayed, position, len(present)) * (share / share.sum())[position]
        sample = (weight * each).sum()
        scope = centre = torch.zeros_like(sample)
        if self.scope_weight:
            mean = (weight * own).sum().detach().expand_as(own)
            apart = F.huber_loss(own, mean, reduction="none", delta=1 / self.scope_weight)
            scope = (weight * apart).sum()
        if self.centre_weight:
            directions = self.directions()
            between = (directions[present] @ directions.T).clamp(-1.0, 1.0)
            centre = _highest(between - self.centre_upper, present, self.centre_sharpness).mean()

        self.terms = {
            "sample": self.gain * sample.detach(),
            "centre": self.gain * centre.detach(),
            "scope": self.gain * scope.detach(),
        }
        return self.gain * (sample + self.centre_weight * centre + self.scope_weight * scope)


def _highest(excess: Tensor, own: Tensor, sharpness: float) -> Tensor:
    """Smooth max(0, largest excess of a rival) of each row: the own class's place takes the 0."""
    return (sharpness * excess).scatter(1, own[:, None], 0.0).logsumexp(dim=1) / sharpness


def _softmax_by_group(logits: Tensor, group: Tensor, groups: int) -> Tensor:
    """Softmax (N,) of logits (N,) within each group of rows that share an index in [0, groups)."""
    largest = logits.new_full((groups,), -math.inf).scatter_reduce(0, group, logits, "amax")
    share = torch.exp(logits - largest[group])
    return share / share.new_zeros(groups).index_add(0, group, share)[group]
