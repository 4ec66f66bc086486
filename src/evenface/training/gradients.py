"""The gradient as a whole: its norm, and its limit."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from evenface.losses import FaceLoss


def clip_gradients(net: nn.Module, head: FaceLoss, limit: float) -> Tensor:
    """Scale all gradients so that their norm is at most `limit`; every process calls this.

    Args:
        net: with the same gradients in all processes.
        head: with those of its own classes, which may be sparse (COO), and the same for what all share.
        limit: 0 is none.

    Returns:
        The norm before, of the weights of all processes together, each counted once; a scalar.
    """
    divided = head.per_class()
    own = _values(p for name, p in head.named_parameters() if name in divided)
    shared = [*net.parameters(), *(p for name, p in head.named_parameters() if name not in divided)]
    common = _values(shared)
    device = next(net.parameters()).device  # of the norm of nothing too
    squares = [get_total_norm(values).to(device).square() for values in (common, own)]
    norm = (squares[0] + head.classes.sum(squares[1])).sqrt()
    if limit:
        torch._foreach_mul_([*common, *own], (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm


def _values(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """What of the gradients is not zero by its place; to change it changes the gradients."""
    values = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            values.append(parameter.grad.values())
        elif parameter.grad is not None:
            values.append(parameter.grad)
    return values
