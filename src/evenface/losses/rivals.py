"""What a loss makes of all rival classes, in blocks of classes: N x C values are never in memory at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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
        moving: how many rows, from the first, move the centres and the bias; the others give them no
            gradient. None is all.
        low_precision: round the factors of the products to bfloat16; sums are float32 all the same.
    """

    centres: Columns
    change: Change | None
    reduce: Literal["logsumexp", "sum"]
    scale: float | Tensor = 1.0
    raw: bool = False
    bias: Columns | None = None
    log_weight: Tensor | None = None
    moving: int | None = None
    low_precision: bool = False

    @property
    def tokens(self) -> tuple[Tensor, Tensor | None]:
        """Of the centres and of the bias, which need no gradient where none is recorded."""
        found = self.centres.token, None if self.bias is None else self.bias.token
        # Else the pass would borrow the memory of the centres' gradient for a way back that never comes.
        return found if torch.is_grad_enabled() else (found[0].detach(), None)

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
        product = part(room, len(rows), len(centres))
        self.matmul(rows, centres.T, product)
        if self.raw:
            if self.bias is not None:
                product += self.bias.block(start, stop)
            return product, centres, None
        inverse = torch.linalg.vector_norm(centres, dim=1).clamp(min=_LEAST_NORM).reciprocal_()
        product *= inverse * self.scale
        return product, centres, inverse

    def matmul(self, a: Tensor, b: Tensor, into: Tensor | None = None) -> Tensor:
        """a @ b, in the precision that was asked for, `into` some memory or new one."""
        if not self.low_precision:
            return torch.mm(a, b, out=into)
        a, b = a.bfloat16(), b.bfloat16()
        cpu = a.device.type == "cpu"  # which has no such product: the same numbers, and no gain
        product = a.float() @ b.float() if cpu else torch.mm(a, b, out_dtype=torch.float32)
        return product if into is None else into.copy_(product)

    def add_matmul(self, into: Tensor, a: Tensor, b: Tensor, anew: bool = False) -> None:
        """Add a @ b, or write it `anew`; in float32 without a matrix in between."""
        if anew:
            self.matmul(a, b, into)
        elif self.low_precision:
            into += self.matmul(a, b)
        else:
            into.addmm_(a, b)

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


def part(room: Tensor, rows: int, columns: int) -> Tensor:
    """A matrix in memory of one dimension."""
    return room[: rows * columns].view(rows, columns)
