"""The logsumexp over the rivals of the products with them as they are."""

from typing import Any

import torch
from torch import Tensor

from evenface.losses.blocks import Blocks, set_own
from evenface.losses.rivals import Rivals, part


def plain_logsumexp(rivals: Rivals, rows: Tensor, labels: Tensor) -> Tensor:
    """Of rows (M, D) and their own classes (M,), over the classes that this process holds: (M,).

    -inf where there is no rival. Gradients reach the rows, the centres and the bias. For `rivals` without a
    `change` and without sub-centres.
    """
    value: Tensor = _Plain.apply(rivals, rows, labels, *rivals.tokens)  # type: ignore[no-untyped-call]
    return value


class _Plain(torch.autograd.Function):
    # Not the products are kept but their exponentials, which are the slopes but for a factor of each row: on
    # the way back the entries of a block are gone through once, to divide by the norms.

    @staticmethod
    def forward(
        ctx: Any, rivals: Rivals, rows: Tensor, labels: Tensor, centres: Tensor, bias: Tensor | None
    ) -> Tensor:
        own = rivals.centres.position(labels)
        total = rows.new_full((len(rows),), -torch.inf)
        blocks = Blocks(rivals, rows, ctx.needs_input_grad[3])
        ctx.kept, ctx.lent = blocks.kept, blocks.lent
        for start, stop, place, keep in blocks.places():
            terms, largest, inverse = _terms(rivals, rows, own, start, stop, place)
            total = torch.logaddexp(total, terms.sum(dim=1).log_().add_(largest))
            if keep:
                blocks.kept.append((terms, largest, inverse))
        ctx.rivals = rivals
        ctx.save_for_backward(rows, own, total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rivals: Rivals = ctx.rivals
        rows, own, total = ctx.saved_tensors
        of_rows = torch.zeros_like(rows)
        kept, ctx.kept = ctx.kept, []  # they are overwritten; who goes back again has them computed again
        anew = ctx.lent and bool(kept)
        of_centres = rivals.centres.returned() if anew else rivals.centres.gradient()
        # A row without rivals has -inf: it must give its (no) rivals exp(-inf), not exp(-inf + inf).
        total = torch.where(total == -torch.inf, torch.inf, total)
        bounds, size = rivals.blocks(rows)
        room = rows.new_empty(size)
        for number, (start, stop) in enumerate(bounds):
            has = number < len(kept)
            terms, largest, inverse = kept[number] if has else _terms(rivals, rows, own, start, stop, room)
            factor = gradient * torch.exp(largest - total)
            centres = rivals.block(start, stop)
            if rivals.bias is not None:
                rivals.bias.gradient()[start:stop] += factor[: rivals.moving] @ terms[: rivals.moving]
            # Written elsewhere, because terms that were kept lie where the centres' gradient will be.
            slope = torch.mul(
                terms, 1.0 if inverse is None else inverse * rivals.scale, out=part(room, *terms.shape)
            )
            weighed = (rows * factor[:, None])[: rivals.moving]
            into = of_centres[start:stop]
            here = rivals.matmul(slope[: rivals.moving].T, weighed, into if anew else None)
            if inverse is not None:
                # d scaled cosine / d centre = scale (row - cosine * direction) / norm
                along = torch.linalg.vecdot(here, centres) * inverse.square_()
                here.addcmul_(centres, along[:, None], value=-1.0)
            if here is not into:
                into += here
            of_rows.addcmul_(rivals.matmul(slope, centres), factor[:, None])
        one = rows.new_zeros(())
        return None, of_rows, None, one, None if rivals.bias is None else one


def _terms(
    rivals: Rivals, rows: Tensor, own: Tensor, start: int, stop: int, place: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Of rows (M, D) and the n classes of a block: exponentials (M, n), what they are less by, 1 / norms."""
    value, _, inverse = rivals.products(rows, start, stop, place)
    if rivals.log_weight is not None:
        value += rivals.log_weight[start:stop]
    set_own(value, own - start, -torch.inf)
    largest = value.amax(dim=1).clamp_(min=torch.finfo(value.dtype).min)
    return value.sub_(largest[:, None]).exp_(), largest, inverse
