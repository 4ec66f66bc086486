"""Which classes of a loss this process holds, and the sums over the processes that hold the others."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_place = (0, 1)  # rank, and number of the processes among which losses made now are divided


@contextmanager
def divided(rank: int, processes: int) -> Iterator[None]:
    """Losses made inside hold this process's part of the classes, and their calls are collective.

    Every process passes the whole batch, in the same order, and gets the loss of the whole batch. Needs
    the default group of `torch.distributed`, of `processes` processes.
    """
    global _place
    before, _place = _place, (rank, processes)
    try:
        yield
    finally:
        _place = before


@dataclass(frozen=True)
class Classes:
    """The slice of a loss's classes that this process holds: `start` to `stop`, exclusive, of `total`.

    Each process has ceil(total / processes), the last ones fewer or none: the way of DTensor's `Shard(0)`.
    """

    total: int
    start: int
    stop: int
    processes: int

    @classmethod
    def here(cls, total: int) -> "Classes":
        """This process's slice of `total` classes; all of them outside `divided`."""
        rank, processes = _place
        part = -(-total // processes)
        return cls(total, min(rank * part, total), min((rank + 1) * part, total), processes)

    def __len__(self) -> int:
        return self.stop - self.start

    def position(self, labels: Tensor) -> Tensor:
        """Where labels (N,) are in the slice, (N,) int64; -1 for those of other processes."""
        return torch.where((labels >= self.start) & (labels < self.stop), labels - self.start, -1)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over the processes of what each has of a value.

        All processes compute the same from the sum, so each has the sum's whole gradient already.
        """
        return value if self.processes == 1 else _Sum.apply(value)  # type: ignore[no-untyped-call]

    def shared(self, value: Tensor) -> Tensor:
        """A value that all processes have, and each uses on its own classes: its gradients are summed."""
        return value if self.processes == 1 else _Shared.apply(value)  # type: ignore[no-untyped-call]

    def logsumexp(self, value: Tensor) -> Tensor:
        """log of the sum over the processes of exp(value); -inf where all have -inf."""
        if self.processes == 1:
            return value
        largest = value.detach().clone()
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        largest = largest.clamp(min=torch.finfo(value.dtype).min)
        total = self.sum(torch.exp(value - largest))
        # No log of 0, whose gradient is infinite, and no number times it.
        log = total.clamp(min=torch.finfo(value.dtype).tiny).log() + largest
        return torch.where(total > 0, log, -torch.inf)

    def of(self, per_class: Tensor, labels: Tensor) -> Tensor:
        """Entries of a tensor (len(self), ...) for labels (N,), whoever holds them: (N, ...)."""
        if self.processes == 1:
            return per_class[labels]
        return self.sum(rows_or_zero(per_class, self.position(labels)))

    def whole(self, per_class: Tensor) -> Tensor:
        """The parts of all processes, (total, ...), on every process, without gradient."""
        if self.processes == 1:
            return per_class.detach()
        part = -(-self.total // self.processes)
        own = per_class.new_zeros(part, *per_class.shape[1:])
        own[: len(self)] = per_class.detach()
        parts = [torch.empty_like(own) for _ in range(self.processes)]
        dist.all_gather(parts, own)
        return torch.cat(parts)[: self.total]


def rows_or_zero(values: Tensor, position: Tensor) -> Tensor:
    """Rows (N, ...) of values (P, ...), P >= 0, at positions (N,); 0 where the position is -1."""
    padded = values if len(values) else values.new_zeros(1, *values.shape[1:])
    rows = padded[position.clamp(min=0)]
    return torch.where((position >= 0).view(-1, *[1] * (values.ndim - 1)), rows, torch.zeros_like(rows))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total
