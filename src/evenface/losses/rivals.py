"""What a loss makes of all rival classes, in blocks of classes: N x C values are never in memory at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from evenface.losses.columns import Columns

Change = Callable[..., Tensor]
"""Elementwise: scaled cosines (M, n) of M rows and n classes, and parameters, to logits or terms (M, n)."""

# Entries of one block of cosines: smaller ones lose more in calls than they gain in the cache.
_BLOCK, _BLOCK_OF_GPU = 2**20, 2**24
_WIDTH = 256  # classes of a block at least: narrower products are slow
_LEAST_NORM = 1e-12  # as torch.nn.functional.normalize has it


@dataclass(frozen=True, eq=False)
class Rivals:
    """A reduction over the classes that are not a row's own.

    Attributes:
        centres: of the classes, (P, D) or (P, K, D) for K sub-centres, of which the nearest counts.
        change: from scaled cosines to logits or terms; with a gradient by autograd, block by block. None
            takes them as they are.
        reduce: "logsumexp" or "sum" of what `change` gives.
        scale: multiplies the cosines.
        raw: take products with the centres as they are in place of scaled cosines.
        bias: (P,), added to the products; None adds nothing.
        log_weight: (P,), log of how many classes each stands for; None is one each.
        low_precision: round the factors of the products to bfloat16; sums are float32 all the same.
    """

    centres: Columns
    change: Change | None
    reduce: Literal["logsumexp", "sum"]
    scale: float | Tensor = 1.0
    raw: bool = False
    bias: Columns | None = None
    log_weight: Tensor | None = None
    low_precision: bool = False

    def __call__(self, rows: Tensor, labels: Tensor, *parameters: Tensor) -> Tensor:
        """Of rows (M, D) and their own classes (M,), over the classes that this process holds: (M,).

        Where there is no rival, the sum is 0 and the logsumexp -inf. Gradients reach the rows, the centres,
        the bias and the parameters.
        """
        biases = None if self.bias is None else self.bias.token
        value: Tensor = _Reduced.apply(self, rows, labels, self.centres.token, biases, *parameters)  # type: ignore[no-untyped-call]
        return value

    def products(
        self, rows: Tensor, start: int, stop: int, room: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of rows (M, D) with the classes of a block: (M, nK) products, (nK, D) centres, (nK,) 1 / norms.

        The products may lie in `room`, which `blocks` gave.
        """
        centres = self.centres.block(start, stop).view(-1, rows.shape[1])
        if self.low_precision:
            product = self.matmul(rows, centres.T)
        else:
            product = torch.mm(rows, centres.T, out=_part(room, len(rows), len(centres)))
        if self.raw:
            if self.bias is not None:
                product += self.bias.block(start, stop)
            return product, centres, None
        inverse = torch.linalg.vector_norm(centres, dim=1).clamp(min=_LEAST_NORM).reciprocal_()
        product *= inverse * self.scale
        return product, centres, inverse

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """a @ b, in the precision that was asked for."""
        if not self.low_precision:
            return a @ b
        a, b = a.bfloat16(), b.bfloat16()
        if a.device.type == "cpu":  # which has no such product: the same numbers, and no gain
            return a.float() @ b.float()
        return torch.mm(a, b, out_dtype=torch.float32)

    def add_matmul(self, into: Tensor, a: Tensor, b: Tensor) -> None:
        """Add a @ b; in float32 without a matrix in between."""
        if self.low_precision:
            into += self.matmul(a, b)
        else:
            into.addmm_(a, b)

    def changed(self, product: Tensor, start: int, stop: int, parameters: tuple[Tensor, ...]) -> Tensor:
        """Logits or terms (M, n) of the products."""
        if self.centres.values.ndim == 3:
            product = product.view(len(product), stop - start, -1).max(dim=2).values
        return self.change(product, *parameters) if self.change else product

    def blocks(self, rows: Tensor) -> tuple[list[tuple[int, int]], Tensor]:
        """Start and stop of the blocks of classes, and memory for the products of one with rows (M, D).

        All blocks share it, because memory that is new has to be mapped first.
        """
        shape = self.centres.values.shape
        of_class = len(rows) * (shape[1] if len(shape) == 3 else 1)
        size = block_width(of_class, rows.device.type)
        whole = len(self.centres)
        blocks = [(start, min(start + size, whole)) for start in range(0, whole, size)]
        return blocks, rows.new_empty(of_class * min(size, whole))


def block_width(rows: int, device: str) -> int:
    """How many classes a block has for so many rows, on a device of this type."""
    return max(_WIDTH, (_BLOCK if device == "cpu" else _BLOCK_OF_GPU) // rows)


class _Reduced(torch.autograd.Function):
    """The reduction. Its backward computes the products again; only those of a single block are kept."""

    @staticmethod
    def forward(
        ctx: Any,
        rivals: Rivals,
        rows: Tensor,
        labels: Tensor,
        centres: Tensor,
        bias: Tensor | None,
        *parameters: Tensor,
    ) -> Tensor:
        own = rivals.centres.position(labels)
        summing = rivals.reduce == "sum"
        total = rows.new_full((len(rows),), 0.0 if summing else -torch.inf)
        blocks, room = rivals.blocks(rows)
        ctx.kept = None
        for start, stop in blocks:
            products = rivals.products(rows, start, stop, room)
            value = rivals.changed(products[0], start, stop, parameters)
            if len(blocks) == 1:
                ctx.kept, value = products, value.clone()
            if rivals.log_weight is not None:
                weight = rivals.log_weight[start:stop]
                value = value.mul_(weight.exp()) if summing else value.add_(weight)
            value = _without_own(value, own, start, 0.0 if summing else -torch.inf)
            if summing:
                total += value.sum(dim=1)
            else:
                total = torch.logaddexp(total, _logsumexp(value))
        ctx.rivals = rivals
        ctx.save_for_backward(rows, own, total, *parameters)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rivals: Rivals = ctx.rivals
        rows, own, total, *parameters = ctx.saved_tensors
        slope_of_rows = torch.zeros_like(rows)
        slopes = [torch.zeros_like(p) for p in parameters]
        slope_of_centres = rivals.centres.gradient()
        flat = slope_of_centres.view(-1, rows.shape[1])
        each = len(flat) // max(len(slope_of_centres), 1)  # sub-centres
        # A row without rivals has -inf: it must give its (no) rivals exp(-inf), not exp(-inf + inf).
        total = torch.where(total == -torch.inf, torch.inf, total)[:, None]
        blocks, room = rivals.blocks(rows)
        second = torch.empty_like(room)
        kept, ctx.kept = ctx.kept, None  # it is overwritten; who goes back again has it computed again
        for start, stop in blocks:
            product, centres, inverse = kept or rivals.products(rows, start, stop, room)
            with torch.enable_grad():
                inputs = [p.detach().requires_grad_() for p in (product, *parameters)]
                value = rivals.changed(inputs[0], start, stop, tuple(inputs[1:]))
            share = _part(second, *value.shape)
            weight = None if rivals.log_weight is None else rivals.log_weight[start:stop]
            if rivals.reduce == "sum":
                share.copy_(gradient[:, None])
                if weight is not None:
                    share *= weight.exp()
            else:
                torch.sub(value.detach(), total if weight is None else total - weight, out=share)
                share.exp_().mul_(gradient[:, None])
            slope, *of_parameters = torch.autograd.grad(value, inputs, _without_own(share, own, start, 0.0))
            for known, more in zip(slopes, of_parameters, strict=True):
                known += more
            if rivals.bias is not None:
                rivals.bias.gradient()[start:stop] += slope.sum(dim=0)
            part = flat[start * each : stop * each]
            if inverse is not None:
                # d scaled cosine / d centre = (scale * row - scaled cosine * direction) / norm
                along = product.mul_(slope).sum(dim=0)
                slope = slope.mul_(inverse * rivals.scale)
                part.addcmul_(centres, (along * inverse.square_())[:, None], value=-1.0)
            rivals.add_matmul(part, slope.T, rows)
            rivals.add_matmul(slope_of_rows, slope, centres)
        one = rows.new_zeros(())
        return None, slope_of_rows, None, one, None if rivals.bias is None else one, *slopes


def _part(room: Tensor, rows: int, columns: int) -> Tensor:
    """A matrix in memory of one dimension."""
    return room[: rows * columns].view(rows, columns)


def _without_own(value: Tensor, own: Tensor, start: int, instead: float) -> Tensor:
    """Values (M, n) of a block that begins at `start`, with `instead` at each row's own class, in place."""
    place = own - start
    within = ((place >= 0) & (place < value.shape[1]))[:, None]
    place = place.clamp(0, value.shape[1] - 1)[:, None]
    return value.scatter_(1, place, torch.where(within, instead, value.gather(1, place)))


def _logsumexp(value: Tensor) -> Tensor:
    """Over the classes of a block (M, n), which it overwrites: (M,), -inf where all are."""
    largest = value.amax(dim=1).clamp_(min=torch.finfo(value.dtype).min)
    return value.sub_(largest[:, None]).exp_().sum(dim=1).log_().add_(largest)
