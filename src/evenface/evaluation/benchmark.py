"""What every benchmark is to the rest: pictures to embed, and a function from embeddings to results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evenface.evaluation.images import ImageSet
from evenface.evaluation.metrics import Reading
from evenface.evaluation.results import Result

Embeddings = NDArray[np.float32]


class Benchmark(Protocol):
    """A protocol on its pictures. Embedding and scoring are apart: stored embeddings are scored again."""

    @property
    def name(self) -> str:
        """As printed, such as "LFW"."""
        ...

    @property
    def images(self) -> ImageSet:
        """What is embedded, in the order of the embeddings."""
        ...

    @property
    def sources(self) -> Sequence[Path]:
        """Every file other than the pictures that decides a number: lists, annotations, landmarks."""
        ...

    @property
    def conventions(self) -> Mapping[str, str]:
        """What else decides the numbers before scoring, in words: the crop rule, how many frames."""
        ...

    def score(self, embeddings: Embeddings, reading: Reading = "conservative") -> list[Result]:
        """The figures of raw embeddings (M, D) float32, perhaps memory-mapped, in the order of `images`.

        A benchmark that has several protocols on the same pictures (1:1 and 1:N) returns several results.
        `model`, `pictures` and the conventions of the model are filled in by the caller.

        Raises:
            UserError: shapes do not fit, or an embedding is all zero or not finite.
        """
        ...
