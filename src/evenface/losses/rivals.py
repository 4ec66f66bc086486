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

    @property
    def each(self) -> int:
        """Sub-centres of a class."""
        return self.centres.values.shape[1] if self.centres.values.ndim == 3 else 1

    def block(self, start: int, stop: int) -> Tensor:
        """The centres and sub-centres of n classes, (nK, D)."""
        return self.centres.block(start, stop).view(-1, self.centres.values.shape[-1])

    def products(
        self, rows: Tensor, start: int, stop: int, room: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of rows (M, D) with the classes of a block: (M, nK) products, (nK, D) centres, (nK,) 1 / norms.

        The products lie in `room`, (M nK,) or more.
        """
        centres = self.block(start, stop)
        product = _part(room, len(rows), len(centres))
        if self.low_precision:
            product.copy_(self.matmul(rows, centres.T))
        else:
            torch.mm(rows, centres.T, out=product)
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

    def add_matmul(self, into: Tensor, a: Tensor, b: Tensor, anew: bool = False) -> None:
        """Add a @ b, or write it `anew`; in float32 without a matrix in between."""
        if not self.low_precision:
            into.addmm_(a, b, beta=0 if anew else 1)
        elif anew:
            into.copy_(self.matmul(a, b))
        else:
            into += self.matmul(a, b)

    def changed(self, product: Tensor, start: int, stop: int, parameters: tuple[Tensor, ...]) -> Tensor:
        """Logits or terms (M, n) of the products."""
        if self.centres.values.ndim == 3:
            product = product.view(len(product), stop - start, -1).max(dim=2).values
        return self.change(product, *parameters) if self.change else product

    def blocks(self, rows: Tensor) -> tuple[list[tuple[int, int]], int]:
        """Start and stop of the blocks of classes, and the most products that rows (M, D) have with one."""
        of_class = len(rows) * self.each
        width = block_width(of_class, rows.device.type)
        whole = len(self.centres)
        blocks = [(start, min(start + width, whole)) for start in range(0, whole, width)]
        return blocks, of_class * min(width, whole)


def block_width(rows: int, device: str) -> int:
    """How many classes a block has for so many rows, on a device of this type."""
    return max(_WIDTH, (_BLOCK if device == "cpu" else _BLOCK_OF_GPU) // rows)


class _Reduced(torch.autograd.Function):
    """The reduction, whose backward needs the products again.

    They are kept in the memory of the centres' gradient, which is written on the way back only: all if there
    are no more rows than dimensions, otherwise those of the first blocks. The others are computed again. The
    block that is at work has its memory to itself and the next one uses it again, because memory that is new
    has to be mapped first.
    """

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
        blocks, size = rivals.blocks(rows)
        room = rows.new_empty(size)
        ctx.kept = []
        spare = rivals.centres.lend(ctx.kept, size) if ctx.needs_input_grad[3] else None
        ctx.lent = spare is not None
        if spare is None:
            spare = torch.empty_like(room)  # for the first block
        apart = rivals.each * max(rows.shape)  # so that the gradient of a block overwrites no later products
        for start, stop in blocks:
            place = spare[start * apart : stop * apart]
            keep = len(place) >= len(rows) * rivals.each * (stop - start)
            product, _, inverse = rivals.products(rows, start, stop, place if keep else room)
            if keep:
                ctx.kept.append((product, inverse))
            value = rivals.changed(product, start, stop, parameters)
            terms = _part(room, *value.shape)
            weight = None if rivals.log_weight is None else rivals.log_weight[start:stop]
            of_own = _set_own(value, own - start, 0.0 if summing else -torch.inf)
            if not summing:
                total = torch.logaddexp(total, _logsumexp(value, weight, terms))
            elif weight is None:
                total += value.sum(dim=1)
            else:
                total += torch.mul(value, weight.exp(), out=terms).sum(dim=1)
            _set_own(value, own - start, of_own)  # it may be the product that is kept
        ctx.rivals = rivals
        ctx.save_for_backward(rows, own, total, *parameters)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rivals: Rivals = ctx.rivals
        rows, own, total, *parameters = ctx.saved_tensors
        slope_of_rows = torch.zeros_like(rows)
        slopes = [torch.zeros_like(p) for p in parameters]
        kept, ctx.kept = ctx.kept, []  # they are overwritten; who goes back again has them computed again
        anew = ctx.lent and bool(kept)
        flat = (rivals.centres.returned() if anew else rivals.centres.gradient()).view(-1, rows.shape[1])
        # A row without rivals has -inf: it must give its (no) rivals exp(-inf), not exp(-inf + inf).
        total = torch.where(total == -torch.inf, torch.inf, total)[:, None]
        blocks, size = rivals.blocks(rows)
        room, second = rows.new_empty(size), rows.new_empty(size)
        for number, (start, stop) in enumerate(blocks):
            if number < len(kept):
                centres, (product, inverse) = rivals.block(start, stop), kept[number]
            else:
                product, centres, inverse = rivals.products(rows, start, stop, room)
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
            _set_own(share, own - start, 0.0)
            slope, *of_parameters = torch.autograd.grad(value, inputs, share)
            for known, more in zip(slopes, of_parameters, strict=True):
                known += more
            if rivals.bias is not None:
                rivals.bias.gradient()[start:stop] += slope.sum(dim=0)
            part = flat[start * rivals.each : stop * rivals.each]
            if inverse is not None:
                # d scaled cosine / d centre = (scale * row - scaled cosine * direction) / norm
                along = product.mul_(slope).sum(dim=0)
                slope = slope.mul_(inverse * rivals.scale)
            rivals.add_matmul(part, slope.T, rows, anew)
            if inverse is not None:
                part.addcmul_(centres, (along * inverse.square_())[:, None], value=-1.0)
            rivals.add_matmul(slope_of_rows, slope, centres)
        one = rows.new_zeros(())
        return None, slope_of_rows, None, one, None if rivals.bias is None else one, *slopes


def _part(room: Tensor, rows: int, columns: int) -> Tensor:
    """A matrix in memory of one dimension."""
    return room[: rows * columns].view(rows, columns)


def _set_own(value: Tensor, own: Tensor, to: float | Tensor) -> Tensor:
    """Set values (M, n) of a block, at each row's own class (M,) where it has it; what was there, (M, 1)."""
    within = ((own >= 0) & (own < value.shape[1]))[:, None]
    place = own.clamp(0, value.shape[1] - 1)[:, None]
    there = value.gather(1, place)
    value.scatter_(1, place, torch.where(within, to, there))
    return there


def _logsumexp(value: Tensor, weight: Tensor | None, terms: Tensor) -> Tensor:
    """Of values (M, n) and log weights (n,), in memory for (M, n) terms: (M,), -inf where all are."""
    if weight is not None:
        value = torch.add(value, weight, out=terms)
    largest = value.amax(dim=1).clamp_(min=torch.finfo(value.dtype).min)
    return torch.sub(value, largest[:, None], out=terms).exp_().sum(dim=1).log_().add_(largest)
