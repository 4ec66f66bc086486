"""A reduction over the rivals of what a loss makes of the products with them."""

from typing import Any

import torch
from torch import Tensor

from evenface.losses.blocks import Blocks, set_own
from evenface.losses.rivals import Rivals, part


def changed_reduction(rivals: Rivals, rows: Tensor, labels: Tensor, *parameters: Tensor) -> Tensor:
    """Of rows (M, D) and their own classes (M,), over the classes that this process holds: (M,).

    Where there is no rival, the sum is 0 and the logsumexp -inf. Gradients reach the rows, the centres, the
    bias and the parameters of `rivals.change`.
    """
    value: Tensor = _Changed.apply(rivals, rows, labels, *rivals.tokens, *parameters)  # type: ignore[no-untyped-call]
    return value


class _Changed(torch.autograd.Function):
    # The products are kept for the way back, where `change` is gone through again.

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
        blocks = Blocks(rivals, rows, ctx.needs_input_grad[3])
        ctx.kept, ctx.lent = blocks.kept, blocks.lent
        for start, stop, place, keep in blocks.places():
            product, _, inverse = rivals.products(rows, start, stop, place)
            if keep:
                blocks.kept.append((product, inverse))
            value = rivals.changed(product, start, stop, parameters)
            terms = part(blocks.room, *value.shape)
            weight = None if rivals.log_weight is None else rivals.log_weight[start:stop]
            of_own = set_own(value, own - start, 0.0 if summing else -torch.inf)
            if not summing:
                total = torch.logaddexp(total, _logsumexp(value, weight, terms))
            elif weight is None:
                total += value.sum(dim=1)
            else:
                total += torch.mul(value, weight.exp(), out=terms).sum(dim=1)
            set_own(value, own - start, of_own)  # it may be the product that is kept
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
            share = part(second, *value.shape)
            weight = None if rivals.log_weight is None else rivals.log_weight[start:stop]
            if rivals.reduce == "sum":
                share.copy_(gradient[:, None])
                if weight is not None:
                    share *= weight.exp()
            else:
                torch.sub(value.detach(), total if weight is None else total - weight, out=share)
                share.exp_().mul_(gradient[:, None])
            set_own(share, own - start, 0.0)
            slope, *of_parameters = torch.autograd.grad(value, inputs, share)
            for known, more in zip(slopes, of_parameters, strict=True):
                known += more
            if rivals.bias is not None:
                rivals.bias.gradient()[start:stop] += slope[: rivals.moving].sum(dim=0)
            of_centres = flat[start * rivals.each : stop * rivals.each]
            if inverse is not None:
                # d scaled cosine / d centre = (scale * row - scaled cosine * direction) / norm
                along = product.mul_(slope)[: rivals.moving].sum(dim=0)
                slope = slope.mul_(inverse * rivals.scale)
            rivals.add_matmul(of_centres, slope[: rivals.moving].T, rows[: rivals.moving], anew)
            if inverse is not None:
                of_centres.addcmul_(centres, (along * inverse.square_())[:, None], value=-1.0)
            rivals.add_matmul(slope_of_rows, slope, centres)
        one = rows.new_zeros(())
        return None, slope_of_rows, None, one, None if rivals.bias is None else one, *slopes


def _logsumexp(value: Tensor, weight: Tensor | None, terms: Tensor) -> Tensor:
    """Of values (M, n) and log weights (n,), in memory for (M, n) terms: (M,), -inf where all are."""
    if weight is not None:
        value = torch.add(value, weight, out=terms)
    largest = value.amax(dim=1).clamp_(min=torch.finfo(value.dtype).min)
    return torch.sub(value, largest[:, None], out=terms).exp_().sum(dim=1).log_().add_(largest)
