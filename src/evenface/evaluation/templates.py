"""From pictures' embeddings to those of templates: lengths, means over groups, and pooling by media."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from evenface.errors import UserError, unknown

Rows = NDArray[np.float32]

Pooling = Literal["plain", "norm", "detector", "norm+detector"]
"""How much a face counts in its template.

- plain: every embedding is normalised first.
- norm: embeddings as they are, so that a long one counts more.
- detector: normalised, then times the detector's score of the face.
- norm+detector: as they are, times the detector's score; InsightFace's script does this by default.
"""
POOLING: Final[dict[str, str]] = {
    name: f"mean within a medium, sum over media, faces {weights}"
    for name, weights in (
        ("plain", "weigh alike"),
        ("norm", "weighted by embedding norm"),
        ("detector", "weighted by detector score"),
        ("norm+detector", "weighted by embedding norm and detector score"),
    )
}
"""Each `Pooling` in words, as results say it."""

_BLOCK = 8192  # pictures of which there is a float64 copy at once


def unit_rows(embeddings: ArrayLike, names: Sequence[str] | None = None) -> Rows:
    """Rows (N, D) scaled to length 1, float32.

    Raises:
        UserError: a row is all zero or not finite; the message has its number, or its name of `names`.
    """
    rows = np.asarray(embeddings, dtype=np.float32)
    if rows.ndim != 2:
        raise UserError(f"embeddings: expected shape (N, D), found {rows.shape}")
    length = np.empty((len(rows), 1))
    unit = np.empty(rows.shape, dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        # Lengths in float64: squares of large or tiny float32 values leave float32's range.
        length[part] = np.linalg.norm(rows[part].astype(np.float64), axis=1, keepdims=True)
        with np.errstate(all="ignore"):  # what cannot be divided is told below
            unit[part] = rows[part] / length[part]
    _check_lengths(length[:, 0], names)
    return unit


def _check_lengths(length: NDArray[np.float64], names: Sequence[str] | None) -> None:
    usable = np.isfinite(length) & (length > 0)
    if not usable.all():
        row = int(np.argmin(usable))
        which = f"row {row}" if names is None else names[row]
        raise UserError(f"embeddings: {which} is all zero or not finite")


def means(rows: Rows, group: NDArray[np.int64], groups: int) -> Rows:
    """Mean (groups, D) of each group's rows (N, D); `group` (N,) is in [0, groups), each at least once.

    Sums are in float64, of a block of rows at a time, however many a group has.
    """
    order, counts = np.argsort(group, kind="stable"), np.bincount(group, minlength=groups)
    found = np.empty((groups, rows.shape[1]), dtype=np.float32)
    last, unfinished = -1, np.zeros(rows.shape[1])
    for start in range(0, len(order), _BLOCK):
        own = order[start : start + _BLOCK]
        touched, starts = np.unique(group[own], return_index=True)
        sums = np.add.reduceat(rows[own].astype(np.float64), starts, axis=0)
        if touched[0] == last:  # it began in the block before, and is written again
            sums[0] += unfinished
        last, unfinished = touched[-1], sums[-1]
        found[touched] = sums / counts[touched, None]
    return found


@dataclass(frozen=True, eq=False)
class Templates:
    """T templates: sets of faces of one person, in media. A still is a medium, a video's frames share one.

    A medium counts within its template: the same video in two templates is two media.
    """

    ids: NDArray[np.int64]
    """(T,) what the protocol calls each."""
    image: NDArray[np.int64]
    """(F,) each face's picture, by its place in the benchmark's `images`."""
    template: NDArray[np.int64]
    """(F,) each face's template, in [0, T), every one at least once."""
    medium: NDArray[np.int64]
    """(F,) each face's medium."""

    def __len__(self) -> int:
        """T."""
        return len(self.ids)

    def first_images(self) -> NDArray[np.int64]:
        """(T,) a picture to show of each: the first that is listed."""
        return self.image[np.unique(self.template, return_index=True)[1]]

    def pool(
        self,
        embeddings: NDArray[np.float32],
        pooling: Pooling = "plain",
        *,
        detector: NDArray[np.float64] | None = None,
        names: Sequence[str] | None = None,
    ) -> Rows:
        """Unit embeddings (T, D) float32 of the templates, of the pictures' raw ones (M, D).

        A template is the sum over its media of the mean of each medium's faces, scaled to length 1. The mean
        divides by the number of faces, weighted or not. Sums are in float64. Pictures are taken in blocks, so
        memory-mapped embeddings are never in memory as a whole.

        Args:
            embeddings: (M, D).
            pooling: how much a face counts.
            detector: (M,) detector scores, which "detector" and "norm+detector" need.
            names: (M,) of the pictures, for errors.

        Raises:
            UserError: an embedding in use or a template's sum is all zero or not finite; unknown pooling.
        """
        if pooling not in get_args(Pooling):
            raise unknown("pooling", pooling, get_args(Pooling))
        weight = 1 / self._faces_of_medium()
        if "detector" in pooling:
            if detector is None:
                raise UserError(
                    f"pooling {pooling!r}: these faces have no detector scores; choose plain or norm"
                )
            weight = weight * detector[self.image]
        order = np.argsort(self.image, kind="stable")
        used, starts = np.unique(self.image[order], return_index=True)
        starts = np.append(starts, len(order))
        sums = np.zeros((len(self), embeddings.shape[1]))
        for begin in range(0, len(used), _BLOCK):
            images = used[begin : begin + _BLOCK]
            rows = np.asarray(embeddings[images], dtype=np.float64)
            length = np.sqrt(np.einsum("nd,nd->n", rows, rows))
            _check_lengths(length, None if names is None else [names[i] for i in images])
            faces = order[starts[begin] : starts[begin + len(images)]]
            touched, row = np.unique(self.template[faces], return_inverse=True)
            column = np.searchsorted(images, self.image[faces])
            share = weight[faces] if "norm" in pooling else weight[faces] / length[column]
            sums[touched] += csr_array((share, (row, column)), shape=(len(touched), len(images))) @ rows
        length = np.linalg.norm(sums, axis=1)
        _check_lengths(length, [f"the sum of template {one}" for one in self.ids])
        return np.asarray(sums / length[:, None], dtype=np.float32)

    def _faces_of_medium(self) -> NDArray[np.int64]:
        """(F,) how many faces of its template are in each face's medium."""
        medium = np.unique(self.medium, return_inverse=True)[1]
        key = self.template * (int(medium.max()) + 1) + medium
        _, place, count = np.unique(key, return_inverse=True, return_counts=True)
        return np.asarray(count[place])
