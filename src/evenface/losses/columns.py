"""A per-class parameter as one call of a loss uses it: some or all of its rows, and one gradient for them."""

import math
from typing import Any

import torch
from torch import Tensor

from evenface.losses.classes import Classes, rows_or_zero


class Columns:
    """The rows of a parameter (P, ...) that a call of a loss uses.

    Rows are read by position or by block, and what reads them adds to one common gradient. Autograd by
    itself would make one of the parameter's size for each read, and add them. Until it is written, the
    gradient's memory may hold something else.

    Args:
        parameter: (P, ...), of the P classes that this process holds.
        classes: which classes those are.
        dtype: what is computed in, float32 or float64.
        drawn: (S,) int64, rising: the rows that are used; None uses all. Otherwise the parameter's gradient
            is sparse and has these rows alone.

    Attributes:
        token: scalar that whatever reads rows by an autograd function of its own must take as an input:
            once all who did have had their turn, the parameter gets its gradient.
    """

    def __init__(self, parameter: Tensor, classes: Classes, dtype: torch.dtype, drawn: Tensor | None = None):
        self.values = parameter.detach()
        self.dtype = dtype
        self.classes = classes
        self.drawn = drawn
        self._gradient: Tensor | None = None
        self._lent: list[Any] | None = None
        self._of_rows: list[tuple[Tensor, Tensor]] = []
        self._way_back = -1
        self.token: Tensor = _Token.apply(parameter, self)  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.values) if self.drawn is None else len(self.drawn)

    def position(self, labels: Tensor) -> Tensor:
        """Where labels (N,) are among the rows used, (N,) int64; -1 for those of other processes.

        With `drawn`, classes that are held here and asked for must be among them.
        """
        position = self.classes.position(labels)
        if self.drawn is None:
            return position
        return torch.where(position >= 0, torch.searchsorted(self.drawn, position), -1)

    def block(self, start: int, stop: int) -> Tensor:
        """The values of the rows start to stop among those used."""
        rows = self.values[start:stop] if self.drawn is None else self.values[self.drawn[start:stop]]
        return rows.to(self.dtype)

    def of(self, labels: Tensor) -> Tensor:
        """The rows of labels (N,), whoever holds them, (N, ...), with gradient."""
        taken: Tensor = _Take.apply(self.token, self, labels)  # type: ignore[no-untyped-call]
        return self.classes.sum(taken)

    def gradient(self) -> Tensor:
        """Where the gradient of the rows used, (len(self), ...), is added to: zeros at first."""
        self._begin()
        if self._gradient is None:
            self._gradient = self._memory().zero_()
        elif self._lent is not None:
            self._lent.clear()
            self.returned().zero_()
        return self._gradient

    def lend(self, kept: list[Any], least: int) -> Tensor | None:
        """The gradient's memory, flat, for what `kept` holds; emptied if others need the gradient first.

        None if it is in use, or has fewer than `least` entries.
        """
        if self._gradient is not None or math.prod(self.values.shape[1:]) * len(self) < least:
            return None
        self._gradient, self._lent = self._memory(), kept
        return self._gradient.view(-1)

    def returned(self) -> Tensor:
        """The gradient, (len(self), ...), by whom it was lent to, who now writes all of it."""
        self._begin()
        assert self._gradient is not None
        self._lent = None
        return self._gradient

    def add_rows(self, position: Tensor, gradient: Tensor) -> None:
        """Add to the gradient at these positions (n,), once it is complete otherwise."""
        self._begin()
        self._of_rows.append((position, gradient))

    def take_gradient(self) -> Tensor:
        """The parameter's gradient, complete; this object lets go of it."""
        gradient = self.gradient()
        for position, of_rows in self._of_rows:
            gradient.index_add_(0, position, of_rows)
        self._gradient, self._of_rows = None, []
        gradient = gradient.to(self.values.dtype)
        if self.drawn is None:
            return gradient
        return torch.sparse_coo_tensor(self.drawn[None], gradient, self.values.shape, check_invariants=False)

    def _begin(self) -> None:
        """Forget the gradient of an earlier way back that ended before the parameter, as for rows alone."""
        now = torch._C._current_graph_task_id()
        if now != self._way_back:
            self._way_back, self._of_rows = now, []
            if self._lent is None:
                self._gradient = None

    def _memory(self) -> Tensor:
        return self.values.new_empty(len(self), *self.values.shape[1:], dtype=self.dtype)


class _Token(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parameter: Tensor, columns: Columns) -> Tensor:
        ctx.columns = columns
        return parameter.new_zeros(())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.columns.take_gradient(), None


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, token: Tensor, columns: Columns, labels: Tensor) -> Tensor:
        ctx.columns, ctx.position = columns, columns.position(labels)
        return rows_or_zero(columns.values, columns.classes.position(labels)).to(columns.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        held = ctx.position >= 0
        ctx.columns.add_rows(ctx.position[held], gradient[held])
        return gradient.new_zeros(()), None, None
