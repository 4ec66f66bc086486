"""Probes against a gallery of any length, in blocks: the best scores, without ever holding all of them.

Scores are cosines. The products of blocks are float32 and err by at most `rounding(D)`; they choose what is
worth a closer look. Where a comparison is that close, `exact_scores` decides it: the cosine of the same
float32 rows summed in float64, which is the same for equal rows wherever they stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenface.evaluation.templates import unit_rows

Floats = NDArray[np.float32]
Places = NDArray[np.int64]

_BLOCK = 8192  # gallery rows a product, by measurement: shorter ones take up to a third longer in all
_TILE = 4096  # probes a product
_PRODUCT = 2**22  # scores of templates at once


@dataclass(frozen=True, eq=False)
class Candidates:
    """The best gallery rows of each probe, best first; of equal scores the one that came first."""

    scores: Floats
    """(P, k), falling; -inf where the gallery has fewer than k rows, or fewer that score enough."""
    index: Places
    """(P, k) gallery rows; -1 there."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Scores of a probe with a gallery row, in no order."""

    scores: Floats
    """(n,)."""
    probe: Places
    """(n,)."""
    index: Places
    """(n,) gallery rows."""

    def __len__(self) -> int:
        """n."""
        return len(self.scores)

    def __getitem__(self, chosen: NDArray[np.generic]) -> "Pairs":
        """Those of a mask or of places."""
        return Pairs(self.scores[chosen], self.probe[chosen], self.index[chosen])


class TopScores:
    """Keeps the best scores of a gallery that passes by in parts; may be read after each part.

    A score enters only by exceeding the lowest one kept. So one comparison a score is nearly all the cost
    beside the products, and a gallery of equal rows takes no more memory than any other.

    Args:
        probes: (P, D) float32 rows of length 1.
        k: candidates kept for each probe.
        pairs: highest scores kept among all pairs of a probe and a gallery row.
        least: (P,) float32, what a score must exceed to be a candidate of a probe; by default nothing.
    """

    def __init__(self, probes: Floats, k: int, pairs: int = 0, least: Floats | None = None) -> None:
        self._tiles = [probes[start : start + _TILE] for start in range(0, len(probes), _TILE)]
        self._best = Candidates(
            np.full((len(probes), k), -np.inf, dtype=np.float32), np.full((len(probes), k), -1)
        )
        self.compared = 0
        """Pairs of a probe and a gallery row so far."""
        self._pairs = pairs
        self._highest = Pairs(np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64))
        self._least = np.full(len(probes), -np.inf, dtype=np.float32) if least is None else least
        self._cut = np.minimum(self._least, self._floor())  # what a score must exceed to enter
        self._waiting: list[Pairs] = []
        self._scores = np.empty(_BLOCK * min(len(probes), _TILE), dtype=np.float32)
        self._passing = np.empty(len(self._scores), dtype=np.bool_)

    def add(self, gallery: Floats, index: Places, names: Sequence[str] | None = None) -> None:
        """Compare the rows `index` (n,), rising, of raw float32 embeddings (N, D), perhaps memory-mapped.

        Raises:
            UserError: an embedding is all zero or not finite; the message has its number in its block, or
                its name of `names` (N,).
        """
        probes, k = self._best.index.shape
        start = 0
        while start < len(index):
            # At first nearly all scores enter. A block as long as all before it adds about k a probe.
            size = min(_BLOCK, max(k, self.compared // probes))
            places = index[start : start + size]
            rows = _unit(_take(gallery, places), places, names)
            for number, tile in enumerate(self._tiles):
                self._compare(rows, places, tile, number * _TILE)
            self.compared += len(rows) * probes
            if sum(map(len, self._waiting)) >= probes * k:
                self._merge()
            start += size

    def candidates(self) -> Candidates:
        """The best of each probe among all that was added so far."""
        self._merge()
        return self._best

    def highest(self) -> Pairs:
        """The highest scores of all that was added so far, `pairs` of them or all that there are."""
        self._merge()
        return self._highest

    def _compare(self, rows: Floats, places: Places, tile: Floats, offset: int) -> None:
        shape = len(rows), len(tile)
        scores = self._scores[: len(rows) * len(tile)].reshape(shape)
        passing = self._passing[: scores.size].reshape(shape)
        np.matmul(rows, tile.T, out=scores)
        np.greater(scores, self._cut[offset : offset + len(tile)], out=passing)
        found = np.flatnonzero(passing)
        row, probe = np.divmod(found, len(tile))
        self._waiting.append(Pairs(scores.reshape(-1)[found], probe + offset, places[row]))

    def _merge(self) -> None:
        if not self._waiting:
            return
        new, self._waiting = _join(self._waiting), []
        if self._pairs:
            self._highest = _join([self._highest, new[new.scores > self._floor()]])
            if len(self._highest) > self._pairs:
                last = len(self._highest) - self._pairs
                self._highest = self._highest[np.argpartition(self._highest.scores, last)[last:]]
        probes, k = self._best.index.shape
        old = Pairs(self._best.scores.ravel(), np.repeat(np.arange(probes), k), self._best.index.ravel())
        both = _join([old, new[new.scores > self._enough()[new.probe]]])
        order = np.argsort(_key(both), kind="stable")
        starts = np.searchsorted(both.probe[order], np.arange(probes))
        best = order[starts[:, None] + np.arange(k)]
        self._best = Candidates(both.scores[best], both.index[best])
        self._cut = np.minimum(self._enough(), self._floor())

    def _enough(self) -> Floats:
        """(P,) what a score must exceed to be a candidate."""
        return np.maximum(self._best.scores[:, -1], self._least)

    def _floor(self) -> np.float32:
        """What a score must exceed to be among the highest pairs."""
        if not self._pairs:
            return np.float32(np.inf)
        return self._highest.scores.min() if len(self._highest) == self._pairs else np.float32(-np.inf)


def top_candidates(probes: Floats, gallery: Floats, k: int) -> Candidates:
    """The k best of raw gallery embeddings (N, D), perhaps memory-mapped, for unit probes (P, D) float32.

    Raises:
        UserError: a gallery embedding is all zero or not finite.
    """
    top = TopScores(probes, k)
    top.add(gallery, np.arange(len(gallery)))
    return top.candidates()


def rounding(dimension: int) -> float:
    """Most by which a score of `TopScores` differs from `exact_scores`.

    Twice the bound D u, u = 2**-24, of a float32 sum of D products in any order (Higham, Accuracy and
    Stability of Numerical Algorithms, section 3.1): once for the score, the half of it for the length.
    """
    return (dimension + 8) * 2.0**-23


def exact_scores(probes: Floats, gallery: Floats, probe: Places, index: Places) -> NDArray[np.float64]:
    """Cosines (n,) of unit probes (P, D) with raw embeddings (N, D), probe by probe[i], index[i].

    Both are normalised rows in float32, summed in float64: equal rows have equal cosines.
    """
    scores = np.empty(len(probe))
    for start in range(0, len(probe), _BLOCK):
        part = slice(start, start + _BLOCK)
        # Converted first: einsum's own conversion would cut a row's sum wherever its buffer ends.
        first, second = probes[probe[part]].astype(np.float64), unit_rows(gallery[index[part]])
        scores[part] = np.einsum("nd,nd->n", first, second.astype(np.float64))
    return scores


def pair_scores(unit: Floats, first: Places, second: Places) -> Floats:
    """Cosines (n,) of rows `first` (n,) with rows `second` (n,) of unit rows (T, D), in float32.

    By products of whole blocks: with the millions of pairs that IJB makes of thousands of templates, every
    combination is computed many times faster than two rows are fetched for each pair.
    """
    rows, row = _used(first, len(unit))
    columns, column = _used(second, len(unit))
    other = unit[columns]
    size = max(1, _PRODUCT // max(1, len(columns)))
    block = row // size
    order = np.argsort(block.astype(np.min_scalar_type(len(rows) // size)), kind="stable")
    scores = np.empty(len(first), dtype=np.float32)
    for number, wanted in enumerate(np.split(order, np.bincount(block).cumsum()[:-1])):
        product = unit[rows[number * size : (number + 1) * size]] @ other.T
        scores[wanted] = product[row[wanted] - number * size, column[wanted]]
    return scores


def _used(places: Places, count: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Which of [0, count) occur among the places, rising, and where among those each place is."""
    used = np.zeros(count, dtype=np.bool_)
    used[places] = True
    return np.flatnonzero(used), (np.cumsum(used, dtype=np.int32) - 1)[places]


def _unit(rows: Floats, places: Places, names: Sequence[str] | None) -> Floats:
    """`unit_rows` but for rounding, five times as fast unless a length leaves float32's comfortable range."""
    squares = np.einsum("nd,nd->n", rows, rows)
    if ((squares > 2.0**-60) & (squares < 2.0**60)).all():
        return np.asarray(rows / np.sqrt(squares)[:, None])
    return unit_rows(rows, names and [names[place] for place in places])


def _take(rows: Floats, index: Places) -> Floats:
    """`rows[index]`, without a copy where the index has no gaps."""
    first, last = int(index[0]), int(index[-1])
    return rows[first : last + 1] if last - first == len(index) - 1 else rows[index]


def _join(parts: Sequence[Pairs]) -> Pairs:
    return Pairs(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.probe for part in parts]),
        np.concatenate([part.index for part in parts]),
    )


def _key(pairs: Pairs) -> Places:
    """(n,) numbers that rise with the probe and fall with its score: sorting one is faster than a lexsort."""
    bits = (np.float32(0) - pairs.scores).view(np.int32)
    # As integers, the bits of positive floats rise with them; those of negative floats fall.
    return (pairs.probe << 32) + np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
