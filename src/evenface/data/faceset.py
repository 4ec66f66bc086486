"""Labelled pictures of people, and the cuts made to them before training."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError


@dataclass(frozen=True, eq=False)
class FaceSet:
    """N images of C people. Labels are 0 to C-1 without gaps, also after every cut."""

    paths: list[Path]
    """One file an image, N."""
    labels: NDArray[np.int64]
    """(N,), the person of each image, an index into `identities`."""
    identities: list[str]
    """The names of the C people, in natural order (person2 before person10)."""

    @classmethod
    def of(cls, paths: Sequence[Path], names: Sequence[str]) -> "FaceSet":
        """The set in which the person on `paths[i]` is called `names[i]`."""
        identities = sorted(set(names), key=_natural)
        label = {name: i for i, name in enumerate(identities)}
        return cls(list(paths), np.array([label[name] for name in names], dtype=np.int64), identities)

    def __len__(self) -> int:
        return len(self.paths)

    def __str__(self) -> str:
        counts = self.counts()
        each = f" ({counts.min()} to {counts.max()} each)" if counts.size else ""
        return f"{len(self):,} images of {len(self.identities):,} people{each}"

    def counts(self) -> NDArray[np.int64]:
        """Images of each person, int64 (C,)."""
        return np.bincount(self.labels, minlength=len(self.identities)).astype(np.int64)

    def without(self, names: Collection[str]) -> "FaceSet":
        """Leave out these people; names that are not in the set change nothing."""
        return self._keep(np.array([name not in names for name in self.identities], dtype=bool))

    def at_least(self, images: int) -> "FaceSet":
        """Leave out the people with fewer images than this."""
        return self._keep(self.counts() >= images)

    def hold_out(self, people: int, seed: int) -> tuple["FaceSet", "FaceSet"]:
        """Split by person into (the rest, `people` drawn by the seed from those with 2 or more images).

        Raises:
            UserError: fewer than `people` have 2 images, or fewer than 2 people would remain.
        """
        eligible = np.flatnonzero(self.counts() >= 2)
        most = max(0, min(len(eligible), len(self.identities) - 2))
        if people > most:
            raise UserError(
                f"data.holdout: {people} is too many; of {len(self.identities)} people {len(eligible)} have "
                f"2 or more images, and training keeps at least 2 people. Use {most} or fewer"
            )
        # A seed's first number keeps the generators of hold-out (1), order (2) and augmentation (3) apart.
        held = np.zeros(len(self.identities), dtype=bool)
        held[np.random.default_rng((1, seed)).choice(eligible, people, replace=False)] = True
        return self._keep(~held), self._keep(held)

    def pick(self, images: NDArray[np.bool_]) -> "FaceSet":
        """Keep these images, (N,), and the people who still have one."""
        kept = np.flatnonzero(images)
        people = np.bincount(self.labels[kept], minlength=len(self.identities)) > 0
        new_label = np.cumsum(people) - 1
        return FaceSet(
            [self.paths[i] for i in kept],
            new_label[self.labels[kept]].astype(np.int64),
            [name for name, keep in zip(self.identities, people, strict=True) if keep],
        )

    def _keep(self, people: NDArray[np.bool_]) -> "FaceSet":
        return self.pick(people[self.labels])


def _natural(name: str) -> tuple[list[str | tuple[int, str]], str]:
    # Splitting alternates text and digits, so like is compared with like; a longer number is a larger one.
    parts: list[str | tuple[int, str]] = list(re.split("([0-9]+)", name))
    for i in range(1, len(parts), 2):
        digits = str(parts[i]).lstrip("0")
        parts[i] = (len(digits), digits)
    return parts, name
