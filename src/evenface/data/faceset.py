"""Labelled pictures of people, and the cuts made to them before training."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.data import cuts
from evenface.data.pictures import Files, Picked, Pictures
from evenface.errors import UserError


@dataclass(frozen=True, eq=False)
class FaceSet:
    """N images of C people. Labels are 0 to C-1 without gaps, also after every cut."""

    pictures: Pictures
    """The images themselves, N."""
    labels: NDArray[np.int64]
    """(N,), the person of each image, an index into `identities`."""
    identities: list[str]
    """The names of the C people, in natural order (person2 before person10)."""

    @classmethod
    def of(cls, pictures: Pictures | Sequence[Path], names: Iterable[str]) -> "FaceSet":
        """The set in which the person on picture i, or in the file `pictures[i]`, is called `names[i]`."""
        if not isinstance(pictures, Pictures):
            pictures = Files(map(str, pictures))
        number: dict[str, int] = {}
        seen = np.fromiter((number.setdefault(name, len(number)) for name in names), dtype=np.int64)
        return cls.numbered(pictures, seen, list(number))

    @classmethod
    def numbered(cls, pictures: Pictures, numbers: NDArray[np.int64], names: Sequence[str]) -> "FaceSet":
        """The set in which the person on picture i is called `names[numbers[i]]`.

        Two numbers may have one name, which is then one person; a name without a picture is left out.
        """
        used = np.flatnonzero(np.bincount(numbers, minlength=len(names))).tolist()
        identities = sorted({names[number] for number in used}, key=natural)
        label_of = {name: label for label, name in enumerate(identities)}
        label = np.zeros(len(names), dtype=np.int64)
        label[used] = [label_of[names[number]] for number in used]
        return cls(pictures, label[numbers], identities)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def paths(self) -> list[Path]:
        """The place of each image as a path: of images in files of their own, their file."""
        return [Path(self.pictures.place(i)) for i in range(len(self))]

    def __str__(self) -> str:
        counts = self.counts()
        each = f" ({counts.min()} to {counts.max()} each)" if counts.size else ""
        return f"{len(self):,} images of {len(self.identities):,} people{each}"

    def counts(self) -> NDArray[np.int64]:
        """Images of each person, int64 (C,)."""
        return np.bincount(self.labels, minlength=len(self.identities)).astype(np.int64)

    def unknown(self, names: Collection[str]) -> set[str]:
        """Those of these names that neither a person nor an image has."""
        others = set(names).difference(self.identities)
        return others.difference(map(self.pictures.name, range(len(self)))) if others else others

    def without(self, names: Collection[str]) -> "FaceSet":
        """Leave out these people, and the images of these names; others change nothing."""
        kept = np.array([name not in names for name in self.identities], dtype=bool)[self.labels]
        if not set(names) <= set(self.identities):
            kept &= [self.pictures.name(i) not in names for i in range(len(self))]
        return self.pick(kept)

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
        # A seed's first number keeps apart what draws: hold-out (1), order (2), augmentation (3), cut (4).
        held = np.zeros(len(self.identities), dtype=bool)
        held[np.random.default_rng((1, seed)).choice(eligible, people, replace=False)] = True
        return self._keep(~held), self._keep(held)

    def cut(self, imbalance: float, images: int, seed: int) -> "FaceSet":
        """Draw images so that their number falls by the same factor from each person to the next.

        The person with the most keeps `imbalance` times as many as the one with the least, to whole numbers;
        whoever has more now has more then. `images` is how many are kept in all, 0 as many as there can be.

        Raises:
            UserError: there are not so many, or somebody would get none.
        """
        shares = cuts.geometric(len(self.identities), imbalance)
        sizes = cuts.sizes(shares, images or cuts.most(shares, self.counts()), "data")
        kept = np.zeros(len(self), dtype=bool)
        kept[cuts.draw(self.labels, sizes, np.random.default_rng((4, seed)), "data")] = True
        return self.pick(kept)

    def pick(self, images: NDArray[np.bool_]) -> "FaceSet":
        """Keep these images, (N,), and the people who still have one."""
        kept = np.flatnonzero(images)
        people = np.bincount(self.labels[kept], minlength=len(self.identities)) > 0
        new_label = np.cumsum(people) - 1
        return FaceSet(
            Picked(self.pictures, kept),
            new_label[self.labels[kept]].astype(np.int64),
            [name for name, keep in zip(self.identities, people, strict=True) if keep],
        )

    def _keep(self, people: NDArray[np.bool_]) -> "FaceSet":
        return self.pick(people[self.labels])


def natural(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """The key that sorts names so that person2 comes before person10."""
    # Splitting alternates text and digits, so like is compared with like; a longer number is a larger one.
    parts: list[str | tuple[int, str]] = list(re.split("([0-9]+)", name))
    for i in range(1, len(parts), 2):
        digits = str(parts[i]).lstrip("0")
        parts[i] = (len(digits), digits)
    return parts, name
