"""From pictures' embeddings to those of templates: lengths, and means over groups."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.errors import UserError


def unit_rows(embeddings: ArrayLike, names: Sequence[str] | None = None) -> NDArray[np.float32]:
    """Rows (N, D) scaled to length 1, float32.

    Raises:
        UserError: a row is all zero or not finite; the message has its number, or its name of `names`.
    """
    rows = np.asarray(embeddings, dtype=np.float32)
    if rows.ndim != 2:
        raise UserError(f"embeddings: expected shape (N, D), found {rows.shape}")
    # Lengths in float64: squares of large or tiny float32 values leave float32's range.
    length = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    usable = np.isfinite(length[:, 0]) & (length[:, 0] > 0)
    if not usable.all():
        row = int(np.argmin(usable))
        which = f"row {row}" if names is None else names[row]
        raise UserError(f"embeddings: {which} is all zero or not finite")
    return np.asarray(rows / length, dtype=np.float32)


def means(rows: NDArray[np.float32], group: NDArray[np.int64], groups: int) -> NDArray[np.float32]:
    """Mean (groups, D) of each group's rows (N, D); `group` (N,) is in [0, groups), each at least once."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(groups))
    sums = np.add.reduceat(rows[order].astype(np.float64), starts, axis=0)
    return np.asarray(sums / np.bincount(group, minlength=groups)[:, None], dtype=np.float32)
