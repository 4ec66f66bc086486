"""What the blocks of a call over all classes leave for the way back, and the memory that they take."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from evenface.losses.rivals import Rivals


class Blocks:
    """The blocks of a call, and where the (M, nK) values of each are written.

    They are kept in the memory of the centres' gradient, which is written on the way back only: all if there
    are no more rows than dimensions, otherwise those of the first blocks. Without it, those of the first
    block are kept. The others share one place, because memory that is new has to be mapped first.

    Args:
        rivals: what is called.
        rows: (M, D).
        lend: whether the centres will have a gradient.
    """

    def __init__(self, rivals: Rivals, rows: Tensor, lend: bool):
        self.rivals, self.rows = rivals, len(rows)
        self.bounds, size = rivals.blocks(rows)
        self.room = rows.new_empty(size)
        self.kept: list[Any] = []
        self.spare = rivals.centres.lend(self.kept, size) if lend else None
        self.lent = self.spare is not None
        if self.spare is None:
            self.spare = torch.empty_like(self.room)
        # So far apart that the gradient of a block overwrites no later values.
        self.apart = rivals.each * max(rows.shape)

    def places(self) -> Iterator[tuple[int, int, Tensor, bool]]:
        """Start and stop of each block, memory for its values, and whether they stay there."""
        assert self.spare is not None
        for start, stop in self.bounds:
            place = self.spare[start * self.apart : stop * self.apart]
            keep = len(place) >= self.rows * self.rivals.each * (stop - start)
            yield start, stop, place if keep else self.room, keep


def set_own(value: Tensor, own: Tensor, to: float | Tensor) -> Tensor:
    """Set values (M, n) of a block, at each row's own class (M,) where it has it; what was there, (M, 1)."""
    within = ((own >= 0) & (own < value.shape[1]))[:, None]
    place = own.clamp(0, value.shape[1] - 1)[:, None]
    there = value.gather(1, place)
    value.scatter_(1, place, torch.where(within, to, there))
    return there
