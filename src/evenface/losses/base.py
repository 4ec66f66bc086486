"""What every loss shares: the checks, the precision, the call, and the class centres of most."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import require_range

# Keeps arccos and sqrt(1 - cosine^2) differentiable: their slope at the clamp is about 700, not infinite.
COSINE_LIMIT = 1.0 - 1e-6

# Centres start short. The direction of a centre moves by (learning rate) / norm^2 a step, so centres drawn
# with a norm near sqrt(embedding_size) would stay where they were drawn.
INITIAL_STD = 0.02


class FaceLoss(nn.Module, ABC):
    """A loss of embeddings and labels: `loss = head(embeddings, labels)`.

    A subclass overrides `loss`. It receives float32 (float64 if the head is) whatever the precision of the
    embeddings and of any autocast around the call, and may leave the parts of its loss in `terms`.

    Attributes:
        terms: detached scalars of the latest call by name, for the log; empty where a loss has one term.

    Raises:
        UserError: fewer than 2 classes or 2 dimensions.
    """

    def __init__(self, num_classes: int, embedding_size: int):
        super().__init__()
        require_range("loss.num_classes", num_classes, 2, 2**31)
        require_range("loss.embedding_size", embedding_size, 2, 2**20)
        self.num_classes = num_classes
        self.embedding_size = embedding_size
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
            return self.loss(embeddings.to(self.precision()), labels)

    @abstractmethod
    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of checked input: (N, embedding_size) float32 or float64, (N,) int64 -> scalar."""

    def precision(self) -> torch.dtype:
        """float64 if the head's weights are, otherwise float32."""
        doubles = any(weight.dtype == torch.float64 for weight in self.parameters())
        return torch.float64 if doubles else torch.float32

    def use_class_sizes(self, sizes: Tensor) -> None:
        """Tell the loss how many training images each class has, (num_classes,) int64, before it is used.

        Most losses do not ask. One whose margins follow the sizes keeps them in a buffer.
        """

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


class CentreHead(FaceLoss):
    """A loss that owns one centre per class.

    Attributes:
        centres: parameter (num_classes, embedding_size); only their directions matter to most losses.
        regularisers: terms added to the loss by name (`evenface.losses.regularisers`), none at first.
    """

    def __init__(self, num_classes: int, embedding_size: int):
        super().__init__(num_classes, embedding_size)
        self.centres = nn.Parameter(torch.empty(num_classes, embedding_size).normal_(std=INITIAL_STD))
        self.regularisers = nn.ModuleDict()

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """As `FaceLoss.forward`, plus weight * value of each regulariser; `terms` has the values by name."""
        loss = super().forward(embeddings, labels)
        with torch.autocast(embeddings.device.type, enabled=False):
            for name, regulariser in self.regularisers.items():
                value = regulariser(embeddings.to(self.precision()), labels, self)
                self.terms[name] = value.detach()
                loss = loss + regulariser.weight * value
        return loss

    def directions(self) -> Tensor:
        """The L2-normalised centres, (num_classes, embedding_size), float32 (float64 if the head is)."""
        return F.normalize(self.centres.to(self.precision()))

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Cosines (N, num_classes) in [-1, 1] between embeddings (N, embedding_size) and all centres."""
        return (F.normalize(embeddings) @ self.directions().T).clamp(-1.0, 1.0)


class CosineHead(CentreHead):
    """Cross-entropy over scaled cosines; an additive-margin loss overrides `target_cosine`.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0: the logits are s times the cosines.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, scale: float):
        super().__init__(num_classes, embedding_size)
        require_range("loss.scale", scale, 1e-3, 1e6)
        self.scale = scale

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """What becomes of the cosine (N,) between each embedding and its own class's centre."""
        return cosine

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of s * cosine, the target's cosine replaced by `target_cosine` of it."""
        cosine = self.cosines(embeddings)
        target = labels[:, None]
        changed = self.target_cosine(cosine.gather(1, target).squeeze(1))
        return F.cross_entropy(self.scale * cosine.scatter(1, target, changed[:, None]), labels)
