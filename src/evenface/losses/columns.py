"""A per-class parameter as one call of a loss uses it: some or all of its rows, and one gradient for them."""

from typing import Any

import torch
from torch import Tensor

from evenface.losses.classes import Classes, rows_or_zero


class Columns:
    """The rows of a parameter (P, ...) that a call of a loss uses.

    Rows are read by position or by block, and what reads them adds to one common gradient. Autograd by
    itself would make one of the parameter's size for each read, and add them.

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
        if self._gradient is None:
            self._gradient = self.values.new_zeros(len(self), *self.values.shape[1:], dtype=self.dtype)
        return self._gradient

    def take_gradient(self) -> Tensor:
        """The parameter's gradient, complete; this object lets go of it."""
        gradient, self._gradient = self.gradient().to(self.values.dtype), None
        if self.drawn is None:
            return gradient
        return torch.sparse_coo_tensor(self.drawn[None], gradient, self.values.shape, check_invariants=False)


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
        ctx.columns.gradient().index_add_(0, ctx.position[held], gradient[held])
        return gradient.new_zeros(()), None, None
