"""Pictures that a model can hardly tell apart: one photograph, cut or aligned anew."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from evenface.check.cleaning.faces import Faces, Floats, Ints
from evenface.check.cleaning.within import nearest

_PROBES = 3  # the same photograph's embeddings have nearly the same nearest centres
_ROWS = 1024


def best_mates(faces: Faces) -> tuple[Ints, Floats]:
    """For each picture the most alike one of the same person, (M,), and their cosine; -1, -inf for none."""
    mate, cosine = _none(len(faces))
    for _, which in faces.each():
        rows = faces.unit(which)
        for start in range(0, len(which) if len(which) > 1 else 0, _ROWS):
            found = rows[start : start + _ROWS] @ rows.T
            own = np.arange(len(found))
            found[own, start + own] = -np.inf
            best = found.argmax(axis=1)
            mate[which[start : start + _ROWS]] = which[best]
            cosine[which[start : start + _ROWS]] = found[own, best]
    return mate, cosine


def best_others(sets: Sequence[Faces], pivots: Floats) -> tuple[Ints, Floats]:
    """For each picture of all sets the most alike one of another person or set, as `best_mates`.

    Places count through the sets. Compared are the pictures that have one of their 3 nearest pivots (P, D) in
    common, not all with all.
    """
    tops = np.concatenate([nearest(faces, pivots, _PROBES)[0] for faces in sets])
    starts = np.cumsum([0, *map(len, sets)])
    number = np.repeat(np.arange(len(sets)), np.diff(starts))
    people = np.cumsum([0, *(len(faces.people) for faces in sets)])
    person = np.concatenate([faces.person for faces in sets]) + people[number]
    mate, cosine = _none(len(number))
    order = np.argsort(tops.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(tops.ravel(), minlength=len(pivots)))
    for bucket in np.split(order // tops.shape[1], ends[:-1]):
        if len(bucket) < 2:
            continue
        bucket = np.sort(bucket)
        sizes = np.searchsorted(bucket, starts)
        parts = zip(sets, np.split(bucket, sizes[1:-1]), starts.tolist(), strict=False)
        rows = np.concatenate([faces.unit(part - start) for faces, part, start in parts])
        for start in range(0, len(bucket), _ROWS):
            part = bucket[start : start + _ROWS]
            found = rows[start : start + _ROWS] @ rows.T
            found[person[part][:, None] == person[bucket]] = -np.inf
            best = found.argmax(axis=1)
            values = found[np.arange(len(part)), best]
            better = values > cosine[part]
            mate[part[better]], cosine[part[better]] = bucket[best[better]], values[better]
    return mate, cosine


def links(pairs: Ints, values: Floats, known: Ints, count: int) -> Ints:
    """Which of some pairs (L, 2) of `count` pictures are the fewest with the highest values that link all the
    pictures in them: rows of `pairs`, the highest value first.

    `known` (K, 2) are links that are there already. Values are -1 to 1.
    """
    # A known link costs less than any, so that the tree has all of them that it needs.
    ends = np.sort(np.concatenate([known, pairs]), axis=1)
    costs = np.concatenate([np.full(len(known), 0.5), 3.0 - values.astype(np.float64)])
    ends, places = np.unique(ends, axis=0, return_index=True)
    graph = coo_array((costs[places], (ends[:, 0], ends[:, 1])), shape=(count, count))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    number = {tuple(pair): place for pair, place in zip(ends.tolist(), places.tolist(), strict=True)}
    order = np.argsort(tree.data, kind="stable")
    used = [number[pair] for pair in zip(tree.row[order].tolist(), tree.col[order].tolist(), strict=True)]
    return np.array([place - len(known) for place in used if place >= len(known)], dtype=np.int64)


def _none(count: int) -> tuple[Ints, Floats]:
    return np.full(count, -1, dtype=np.int64), np.full(count, -np.inf, dtype=np.float32)
