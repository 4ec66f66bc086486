"""What every regulariser shares."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor, nn

from evenface.errors import require_range
from evenface.losses.centre_head import CentreHead
from evenface.losses.classes import Classes

_BLOCK = 2**22


class Regulariser(nn.Module, ABC):
    """A term that a loss with class centres adds to itself: weight * regulariser(embeddings, labels, head).

    Args:
        num_classes: C of the loss.
        embedding_size: D of the loss.
        weight: 0 or more.

    Raises:
        UserError: the weight is outside its range.
    """

    PER_CLASS: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters and buffers whose first dimension is the classes that this process holds."""

    def __init__(self, num_classes: int, embedding_size: int, *, weight: float):
        super().__init__()
        require_range("regularisers.weight", weight, 0.0, 1e6)
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.classes = Classes.here(num_classes)
        self.weight = weight

    @abstractmethod
    def forward(self, embeddings: Tensor, labels: Tensor, head: CentreHead) -> Tensor:
        """The value, without the weight.

        Args:
            embeddings: (N, embedding_size), float32 or float64 as the head computes, not normalised, N >= 1.
            labels: (N,) int64 in [0, num_classes).
            head: the loss that it is added to.

        Returns:
            A scalar.
        """


def row_blocks(classes: int) -> Iterator[slice]:
    """Rows in blocks, for those who compare all classes with each other: (rows, classes) numbers at once."""
    rows = max(1, _BLOCK // classes)
    return (slice(start, min(start + rows, classes)) for start in range(0, classes, rows))
