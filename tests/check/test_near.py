import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.check import near
from evenface.check.near import distance, joined, near_groups


def brute_force(bits: np.ndarray, word: int, every: int) -> list[set[int]]:
    rows = [[int(value) for value in row] for row in bits]
    groups = [{i} for i in range(len(rows))]
    for i, one in enumerate(rows):
        for j in range(i):
            apart = [(a ^ b).bit_count() for a, b in zip(one, rows[j], strict=True)]
            if apart[0] <= word and sum(apart) <= every:
                mine, yours = (next(group for group in groups if k in group) for k in (i, j))
                if mine is not yours:
                    groups.remove(yours)
                    mine |= yours
    return groups


def as_sets(labels: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]


def same(one: list[set[int]], other: list[set[int]]) -> bool:
    return {frozenset(group) for group in one} == {frozenset(group) for group in other}


def planted(rng: np.random.Generator, rows: int, most: int) -> np.ndarray:
    """Random rows, half of them copies of others with up to `most` bits of each word changed."""
    bits = rng.integers(0, 2**64, (rows, 2), dtype=np.uint64)
    for i in range(rows // 2, rows):
        bits[i] = bits[rng.integers(0, i)]
        for column in range(2):
            for place in rng.choice(64, rng.integers(0, most + 1), replace=False):
                bits[i, column] ^= np.uint64(1) << np.uint64(place)
    return bits


@pytest.mark.parametrize("blocks", [2, 3, 4, 5])
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), rows=st.integers(2, 60), word=st.integers(0, 8), every=st.integers(0, 16))
def test_groups_are_those_of_comparing_all_pairs(blocks, seed, rows, word, every):
    bits = planted(np.random.default_rng(seed), rows, most=word + 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "_blocks_in_a_key", lambda rows, word: blocks)
        assert same(as_sets(near_groups(bits, word, every)), brute_force(bits, word, every))


def test_few_different_words_and_rows_that_stand_twice():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 4, (80, 2), dtype=np.uint64) << np.uint64(62)
    for word, every in ((0, 0), (1, 1), (1, 2), (2, 2)):
        assert same(as_sets(near_groups(bits, word, every)), brute_force(bits, word, every))


def test_many_rows_with_pairs_at_the_very_limit():
    rng = np.random.default_rng(1)
    base = rng.integers(0, 2**64, (20_000, 4), dtype=np.uint64)
    limit, beyond = base[:200].copy(), base[200:400].copy()
    for copies, low, all_bits in ((limit, 8, 40), (beyond, 8, 41)):
        for row in copies:
            for column, count in ((0, low), (1, 16), (2, all_bits - low - 16)):
                for place in rng.choice(64, count, replace=False):
                    row[column] ^= np.uint64(1) << np.uint64(place)
    labels = near_groups(np.concatenate([base, limit, beyond]))
    assert (labels[:200] == labels[20_000:20_200]).all()
    assert len(np.unique(labels)) == 20_200


def test_nothing_and_one_row():
    assert near_groups(np.zeros((0, 4), np.uint64)).tolist() == []
    assert near_groups(np.zeros((1, 4), np.uint64)).tolist() == [0]


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=1, max_size=20))
def test_distance_counts_bits(pairs):
    first, second = np.array(pairs, dtype=np.uint64).T
    found = distance(first[:, None], second[:, None])
    assert found.tolist() == [(a ^ b).bit_count() for a, b in pairs]


def test_joined_links_through_others():
    first, second = np.array([0, 1, 4]), np.array([1, 2, 5])
    assert same(as_sets(joined(np.arange(6), first, second)), [{0, 1, 2}, {3}, {4, 5}])
