"""What losses with class centres share: the centres, and how they are read."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import UserError, require_range
from evenface.losses.base import FaceLoss
from evenface.losses.changed_rivals import changed_reduction
from evenface.losses.columns import Columns
from evenface.losses.plain_rivals import plain_logsumexp
from evenface.losses.rivals import Change, Rivals

# Centres start short. The direction of a centre moves by (learning rate) / norm^2 a step, so centres drawn
# with a norm near sqrt(embedding_size) would stay where they were drawn.
INITIAL_STD = 0.02

_DRAWN = 2**14  # classes whose initial centres are drawn at once


class CentreHead(FaceLoss):
    """A loss that owns one centre per class.

    What a loss makes of the rivals of each sample goes through `rivals`, which reads the centres in blocks,
    never holds (N, num_classes) values, and is the same however many processes share the classes.

    Attributes:
        centres: parameter (P, embedding_size) of the P classes that this process holds; only their directions
            matter to most losses.
        sample: what `sample_classes` set; 1 at first.
        regularisers: terms added to the loss by name (`evenface.losses.regularisers`), none at first.
    """

    PER_CLASS: ClassVar[tuple[str, ...]] = ("centres",)

    def __init__(self, num_classes: int, embedding_size: int):
        super().__init__(num_classes, embedding_size)
        self.centres = nn.Parameter(self.drawn_centres(embedding_size))
        self.sample = 1.0
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

    def whole(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """`loss` plus weight * value of each regulariser; `terms` has the values by name."""
        with self.reading(labels):
            loss = self.loss(embeddings, labels)
            for name, regulariser in self.regularisers.items():
                value = regulariser(embeddings, labels, self)
                self.terms[name] = value.detach()
                loss = loss + regulariser.weight * value
        return loss

    def sample_classes(self, fraction: float) -> None:
        """Compare each batch, in training mode, with its own classes and this fraction of the others.

        They are drawn anew for each batch, each by itself (Partial FC: An et al., CVPR 2022). The centres'
        gradient is then sparse, with the rows that were read alone: an optimizer should move no others.

        Args:
            fraction: above 0, at most 1, which is all.

        Raises:
            UserError: a fraction outside its range.
        """
        require_range("train.sample", fraction, 1e-9, 1.0)
        self.sample = fraction

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

    def directions(self, every: int = 1) -> Tensor:
        """The L2-normalised centres held, (P, embedding_size), or every n-th of them.

        float32 (float64 if the head is).
        """
        return F.normalize(self.centres[::every].to(self.precision()))

    def all_directions(self) -> Tensor:
        """The L2-normalised centres of all classes, (num_classes, embedding_size), on every process.

        Raises:
            UserError: `sample` is below 1, and all centres would move.
        """
        if self.sample < 1.0:
            raise UserError(
                f"train.sample: {self.sample} leaves centres out, and a regulariser compares them all; "
                "leave it at 1, or leave regularface and uniformface out"
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
        change: Change | None = None,
        *parameters: Tensor,
        reduce: Literal["logsumexp", "sum"] = "logsumexp",
        scale: float | Tensor = 1.0,
        raw: bool = False,
        bias: str | None = None,
        moving: int | None = None,
    ) -> Tensor:
        """Within `reading`: a reduction over the rivals of each row.

        Args:
            rows: (M, embedding_size): directions, whose cosines with the centres' directions are taken.
            labels: (M,) the class of each, which is left out.
            change: elementwise, (scaled cosines (M, n) of some classes, *parameters) -> logits or terms
                (M, n). Cosines may leave [-1, 1] by rounding. What it takes from elsewhere gets no
                gradient. None takes the scaled cosines as they are, and is the fastest.
            *parameters: tensors that need a gradient through `change`.
            reduce: of what `change` gives, over the classes.
            scale: multiplies the cosines, but no raw products; a tensor gets no gradient.
            raw: products with the centres as they are, in place of scaled cosines.
            bias: name of a parameter (P,) to add to the raw products.
            moving: how many rows, from the first, move the rivals' centres and biases; the others give them
                no gradient. None is all.

        Returns:
            (M,); -inf, or 0 for a sum, where there is no rival. In training mode with `sample` below 1 a
            class that was drawn counts 1 / sample times, so that the sum over the classes (of exponentials,
            for logsumexp) is right on average.
        """
        call, classes = self._during_call(), self.classes
        biases = call.columns[bias] if bias else None
        centres, weight, low = call.columns["centres"], call.log_weight, self.low_precision
        over = Rivals(centres, change, reduce, scale, raw, biases, weight, moving, low)
        rows = classes.shared(rows)
        if change is None and reduce == "logsumexp" and over.each == 1:
            local = plain_logsumexp(over, rows, labels)
        else:
            local = changed_reduction(over, rows, labels, *(classes.shared(p) for p in parameters))
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
