"""Pictures with nearly the same bits, without comparing each with each."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from evenface.check.look import Bits

WORD = 8
"""Bits of the first word that may differ between two pictures that count as the same."""
ALL = 40
"""Of all 255 bits. docs/checking.md has the measurements behind the two."""

Labels = NDArray[np.int64]


def near_groups(bits: Bits, word: int = WORD, every: int = ALL) -> Labels:
    """The group of each of n rows of bits, (n, W) uint64, as labels from 0 on, int64 (n,).

    Two rows are near if at most `word` bits of their first words differ and at most `every` of all; a group
    holds what is linked by near rows, perhaps through others. Exact: the 64 bits of a first word are dealt
    out to `word` + k blocks, so two near rows agree in k blocks or more (the pigeonhole principle), and are
    met where rows are sorted by those k. Fastest where no row stands twice.
    """
    shared = _blocks_in_a_key(len(bits), word)
    blocks = _blocks(bits[:, 0], word + shared)
    groups: Labels = np.arange(len(bits))
    for chosen in combinations(blocks, shared):
        groups = joined(groups, *_links(bits, groups, *_sorted_by(chosen), word, every))
    return groups


def joined(groups: Labels, first: Labels, second: Labels) -> Labels:
    """The labels (n,) after the groups of the rows `first` (m,) and `second` (m,) became one."""
    if not len(first):
        return groups
    count = int(groups.max()) + 1
    links = np.ones(len(first), dtype=np.int8), (groups[first], groups[second])
    labels = connected_components(coo_array(links, shape=(count, count)), directed=False)[1]
    return np.asarray(labels, dtype=np.int64)[groups]


def distance(first: Bits, second: Bits) -> NDArray[np.int64]:
    """How many bits differ between the rows of two arrays (n, W): (n,)."""
    return np.asarray(_count_bits(first ^ second).sum(axis=-1), dtype=np.int64)


def _links(
    bits: Bits, groups: Labels, order: Labels, key: Bits, word: int, every: int
) -> tuple[Labels, Labels]:
    """The near rows among those of one key that are not in one group yet; rows of a key lie together."""
    low = bits[order, 0]
    found: list[tuple[Labels, Labels]] = [(order[:0], order[:0])]
    # Each row with the next of its key, then with the next but one, and so on until no key has as many rows.
    place, step = np.flatnonzero(key[1:] == key[:-1]), 1
    while len(place):
        near = place[_count_bits(low[place] ^ low[place + step]) <= word]
        first, second = order[near], order[near + step]
        new = groups[first] != groups[second]
        first, second = first[new], second[new]
        same = distance(bits[first], bits[second]) <= every
        found.append((first[same], second[same]))
        step += 1
        place = place[place + step < len(key)]
        place = place[key[place] == key[place + step]]
    first, second = (np.concatenate(side) for side in zip(*found, strict=True))
    return first, second


def _blocks_in_a_key(rows: int, word: int) -> int:
    """The fewest blocks, 2 to 5, with so many values that few rows share a key."""
    return next((k for k in range(2, 5) if 4 * 2 ** (64 * k // (word + k)) > rows), 5)


def _blocks(words: Bits, count: int) -> list[tuple[Bits, int]]:
    """The values (n,) of each block of bits, and how many bits it has."""
    blocks = []
    for block in range(count):
        # Dealt out in turn: of the lowest frequencies, which tell faces apart least, each block has some.
        places = range(block, 64, count)
        value = np.zeros(len(words), dtype=np.uint64)
        for place in places:
            value = value << np.uint64(1) | words >> np.uint64(place) & np.uint64(1)
        blocks.append((value, len(places)))
    return blocks


def _sorted_by(chosen: tuple[tuple[Bits, int], ...]) -> tuple[Labels, Bits]:
    """The order that sorts rows by some blocks, (n,), and the sorted keys (n,)."""
    key = np.zeros(len(chosen[0][0]), dtype=np.uint64)
    for value, bits in chosen:
        key = key << np.uint64(bits) | value
    # Sorting numbers takes a tenth of the time of sorting an index, so each row's number goes below its key.
    low = np.uint64(max(1, (len(key) - 1).bit_length()))
    packed = np.sort(key << low | np.arange(len(key), dtype=np.uint64))
    return (packed & ((np.uint64(1) << low) - np.uint64(1))).astype(np.int64), packed >> low


def _count_bits(words: Bits) -> NDArray[np.int64]:
    # NumPy 1 has no bitwise_count. Sums of bits, pairs and nibbles; the product adds up the bytes.
    words = words - (words >> np.uint64(1) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    words = (words & pairs) + (words >> np.uint64(2) & pairs)
    words = words + (words >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (words * np.uint64(0x0101010101010101) >> np.uint64(56)).astype(np.int64)
