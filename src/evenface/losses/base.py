"""What every loss shares: the checks, the precision, the call."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from evenface.errors import UserError, require_range
from evenface.losses.classes import Classes


class FaceLoss(nn.Module, ABC):
    """A loss of embeddings and labels: `loss = head(embeddings, labels)`.

    A subclass overrides `loss`. It receives float32 (float64 if the head is) whatever the precision of the
    embeddings and of any autocast around the call, and may leave the parts of its loss in `terms`.

    Attributes:
        classes: those that this process holds: all, unless made within `classes.divided`.
        low_precision: round the factors of the products of embeddings and centres, where a loss has them, to
            bfloat16, for the speed of a GPU; sums and all else are float32 all the same. False at first.
        terms: detached scalars of the latest call by name, for the log; empty where a loss has one term.

    Raises:
        UserError: fewer than 2 classes or 2 dimensions.
    """

    PER_CLASS: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters and buffers whose first dimension is the classes held."""

    def __init__(self, num_classes: int, embedding_size: int):
        super().__init__()
        require_range("loss.num_classes", num_classes, 2, 2**31)
        require_range("loss.embedding_size", embedding_size, 2, 2**20)
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.classes = Classes.here(num_classes)
        self.low_precision = False
        self.terms: dict[str, Tensor] = {}

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch.

        Args:
            embeddings: (N, embedding_size), any float dtype, not normalised, N >= 1, all finite.
            labels: (N,) int64 in [0, num_classes).

        Returns:
            A scalar, float32 (float64 if the head is).

        Raises:
            ValueError: wrong shape or dtype, empty batch, label out of range, NaN or infinite embedding.
        """
        self._check(embeddings, labels)
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.whole(embeddings.to(self.precision()), labels)

    def whole(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """`loss` and what is added to it, of the same input."""
        return self.loss(embeddings, labels)

    @abstractmethod
    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of checked input: (N, embedding_size) float32 or float64, (N,) int64 -> scalar."""

    def per_class(self) -> set[str]:
        """Names in the state dict of all tensors whose first dimension is the classes held."""
        return set(self.PER_CLASS)

    def precision(self) -> torch.dtype:
        """float64 if the head's weights are, otherwise float32."""
        doubles = any(weight.dtype == torch.float64 for weight in self.parameters())
        return torch.float64 if doubles else torch.float32

    def use_class_sizes(self, sizes: Tensor) -> None:
        """Tell the loss how many training images each class has, (num_classes,) int64, before it is used.

        Most losses do not ask. One whose margins follow the sizes keeps them in a buffer.
        """

    def sample_classes(self, fraction: float) -> None:
        """Compare each batch, in training mode, with a part of the classes that are not in it.

        Raises:
            UserError: a fraction outside its range, or below 1 for a loss without class centres.
        """
        if fraction != 1.0:
            raise UserError(
                f"train.sample: {type(self).__name__} has no class centres to draw from; leave it at 1, or "
                "choose a loss with class centres"
            )

    def _check(self, embeddings: Tensor, labels: Tensor) -> None:
        n = len(labels)
        if embeddings.shape != (n, self.embedding_size) or labels.shape != (n,):
            raise ValueError(
                f"expected embeddings (N, {self.embedding_size}) and labels (N,), "
                f"got {tuple(embeddings.shape)} and {tuple(labels.shape)}"
            )
        if n == 0:
            raise ValueError("the batch is empty: a loss needs at least one embedding")
        if not embeddings.is_floating_point() or labels.dtype != torch.int64:
            raise ValueError(
                f"expected float embeddings and int64 labels, got {embeddings.dtype} and {labels.dtype}"
            )
        if not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            wrong = labels[(labels < 0) | (labels >= self.num_classes)]
            raise ValueError(f"label {int(wrong[0])} is outside 0 to {self.num_classes - 1}")
        finite = torch.isfinite(embeddings).all(dim=1)
        if not bool(finite.all()):
            rows = torch.nonzero(~finite).flatten().tolist()
            raise ValueError(
                f"embeddings have NaN or infinite values in {len(rows)} of {n} rows, first row {rows[0]}"
            )

    def extra_repr(self) -> str:
        """The sizes and every number that was set."""
        settings = {
            k: v for k, v in vars(self).items() if isinstance(v, int | float | str) and k != "training"
        }
        return ", ".join(f"{name}={value}" for name, value in settings.items())
