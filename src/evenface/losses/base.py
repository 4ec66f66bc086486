"""What every loss shares: the checks, the precision, the call, and the class centres of most."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import UserError, require_range
from evenface.losses.classes import Classes
from evenface.losses.columns import Columns
from evenface.losses.rivals import Change, Rivals

# Keeps arccos and sqrt(1 - cosine^2) differentiable: their slope at the clamp is about 700, not infinite.
COSINE_LIMIT = 1.0 - 1e-6

# Centres start short. The direction of a centre moves by (learning rate) / norm^2 a step, so centres drawn
# with a norm near sqrt(embedding_size) would stay where they were drawn.
INITIAL_STD = 0.02

_DRAWN = 2**14  # classes whose initial centres are drawn at once


class FaceLoss(nn.Module, ABC):
    """A loss of embeddings and labels: `loss = head(embeddings, labels)`.

    A subclass overrides `loss`. It receives float32 (float64 if the head is) whatever the precision of the
    embeddings and of any autocast around the call, and may leave the parts of its loss in `terms`.

    Attributes:
        classes: those that this process holds: all, unless made within `classes.divided`.
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

    What a loss makes of the rivals of each sample goes through `rivals`, which reads the centres in blocks,
    never holds (N, num_classes) values, and is the same however many processes share the classes.

    Attributes:
        centres: parameter (P, embedding_size) of the P classes that this process holds; only their directions
            matter to most losses.
        sample: fraction of the classes absent from a batch that it is compared with in training mode, above
            0, at most 1. Below 1 the gradient of the centres is sparse: only rows that were drawn have one.
        low_precision: round the factors of the products of rows and centres to bfloat16, for the speed of a
            GPU; sums and all else are float32 all the same.
        regularisers: terms added to the loss by name (`evenface.losses.regularisers`), none at first.
    """

    PER_CLASS: ClassVar[tuple[str, ...]] = ("centres",)

    def __init__(self, num_classes: int, embedding_size: int):
        super().__init__(num_classes, embedding_size)
        self.centres = nn.Parameter(self.drawn_centres(embedding_size))
        self.sample = 1.0
        self.low_precision = False
        self.regularisers = nn.ModuleDict()
        self._call: _Call | None = None

    def per_class(self) -> set[str]:
        """Names in the state dict of all tensors whose first dimension is the classes held."""
        names = super().per_class()
        for regulariser in self.regularisers:
            own: tuple[str, ...] = self.regularisers[regulariser].PER_CLASS  # type: ignore[assignment]
            names |= {f"regularisers.{regulariser}.{name}" for name in own}
        return names

    def drawn_centres(self, *shape: int) -> Tensor:
        """Initial centres (P, *shape): those of the same seed without division, cut to the classes held."""
        classes, held = self.classes, torch.empty(len(self.classes), *shape)
        # In pieces of a multiple of 16 classes, which draw the same numbers as one tensor of all classes.
        for start in range(0, self.num_classes, _DRAWN):
            piece = torch.empty(min(_DRAWN, self.num_classes - start), *shape).normal_(std=INITIAL_STD)
            wanted = piece[max(classes.start - start, 0) : max(classes.stop - start, 0)]
            begin = max(start - classes.start, 0)
            held[begin : begin + len(wanted)] = wanted
        return held

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """As `FaceLoss.forward`, plus weight * value of each regulariser; `terms` has the values by name."""
        self._check(embeddings, labels)
        with torch.autocast(embeddings.device.type, enabled=False):
            rows = embeddings.to(self.precision())
            with self.reading(labels):
                loss = self.loss(rows, labels)
                for name, regulariser in self.regularisers.items():
                    value = regulariser(rows, labels, self)
                    self.terms[name] = value.detach()
                    loss = loss + regulariser.weight * value
        return loss

    @contextmanager
    def reading(self, labels: Tensor) -> Iterator[None]:
        """Within it `own`, `own_cosine` and `rivals` read the centres for a batch of labels (N,).

        A call of the head is within one, in which a further one changes nothing.
        """
        outer = self._call
        self._call = outer or _Call(self, labels)
        try:
            yield
        finally:
            self._call = outer

    def directions(self) -> Tensor:
        """The L2-normalised centres held, (P, embedding_size), float32 (float64 if the head is)."""
        return F.normalize(self.centres.to(self.precision()))

    def all_directions(self) -> Tensor:
        """The L2-normalised centres of all classes, (num_classes, embedding_size), on every process.

        Raises:
            UserError: `sample` is below 1, and all centres would move.
        """
        if self.sample < 1.0:
            raise UserError(
                f"head.sample: {self.sample} leaves centres out, and a regulariser compares them all; "
                "set head.sample 1, or leave regularface and uniformface out"
            )
        directions = self.directions()
        if self.classes.processes == 1:
            return directions
        return self.classes.of(directions, torch.arange(self.num_classes, device=directions.device))

    def own(self, labels: Tensor, name: str = "centres") -> Tensor:
        """Within `reading`: the rows (N, ...) of a per-class parameter for labels (N,)."""
        return self._during_call().columns[name].of(labels)

    def own_cosine(self, directions: Tensor, labels: Tensor) -> Tensor:
        """Within `reading`: cosines (N,) in [-1, 1] of directions (N, embedding_size) and own centres."""
        return (directions * F.normalize(self.own(labels))).sum(dim=1).clamp(-1.0, 1.0)

    def rivals(
        self,
        rows: Tensor,
        labels: Tensor,
        change: Change,
        *parameters: Tensor,
        reduce: Literal["logsumexp", "sum"] = "logsumexp",
        raw: bool = False,
        bias: str | None = None,
    ) -> Tensor:
        """Within `reading`: a reduction over the rivals of each row.

        Args:
            rows: (M, embedding_size): directions, whose cosines with the centres' directions are taken.
            labels: (M,) the class of each, which is left out.
            change: elementwise, (cosines (M, n) of some classes, *parameters) -> logits or terms (M, n).
                Cosines may leave [-1, 1] by rounding. What it takes from elsewhere gets no gradient.
            *parameters: tensors that need a gradient through `change`.
            reduce: of what `change` gives, over the classes.
            raw: products with the centres as they are, in place of cosines.
            bias: name of a parameter (P,) to add to the raw products.

        Returns:
            (M,); -inf, or 0 for a sum, where there is no rival. In training mode with `sample` below 1 a
            class that was drawn counts 1 / sample times, so that the sum over the classes (of exponentials,
            for logsumexp) is right on average.
        """
        call, classes = self._during_call(), self.classes
        biases = call.columns[bias] if bias else None
        low = self.low_precision
        over = Rivals(call.columns["centres"], change, reduce, raw, biases, call.log_weight, low)
        local = over(classes.shared(rows), labels, *(classes.shared(p) for p in parameters))
        return classes.sum(local) if reduce == "sum" else classes.logsumexp(local)

    def _during_call(self) -> "_Call":
        if self._call is None:
            raise RuntimeError(
                "centres are read within `head.reading(labels)`, as in `head(embeddings, labels)`"
            )
        return self._call


class _Call:
    """What one call of a head reads: its per-class parameters, all rows or those drawn for this batch.

    Attributes:
        columns: each parameter by name, one object for all who read it in this call.
        log_weight: log of how many classes each row stands for; None is one each.
    """

    def __init__(self, head: CentreHead, labels: Tensor):
        drawn: Tensor | None = None
        self.log_weight: Tensor | None = None
        if head.sample < 1.0 and head.training:
            present = head.classes.position(labels)
            present = present[present >= 0]
            weight = torch.full((len(head.classes),), -math.log(head.sample), device=labels.device)
            weight[present] = 0.0
            chosen = torch.rand(len(weight), device=labels.device) < head.sample
            chosen[present] = True
            drawn = torch.nonzero(chosen).flatten()
            self.log_weight = weight[drawn].to(head.precision())
        self.columns = {
            name: Columns(parameter, head.classes, head.precision(), drawn)
            for name, parameter in head.named_parameters(recurse=False)
            if name in head.PER_CLASS
        }


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
        directions = F.normalize(embeddings)
        own = self.target_cosine(self.own_cosine(directions, labels))
        return self.cross_entropy(directions, labels, own).mean()

    def cross_entropy(self, directions: Tensor, labels: Tensor, own: Tensor) -> Tensor:
        """(N,) of s * cosine, with s * own (N,) as the target's logits."""
        rivals = self.rivals(directions, labels, lambda cosine: self.scale * cosine)
        return log1pexp(rivals - self.scale * own)


def log1pexp(value: Tensor) -> Tensor:
    """log(1 + exp(value)): of the rivals' logsumexp less the target's logit it is the cross-entropy."""
    return F.softplus(value, threshold=40.0)  # beyond which float64 does not see the 1
