from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evenface.data import BatchPlan, PlanSampler, SamplerName
from evenface.data.samplers import ORDERS, buffered_order, effective_number
from evenface.errors import UserError

SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
EVERY = pytest.mark.parametrize("sampler", SAMPLERS)
# A long tail: 12 people with 1 to 40 images, in mixed order.
LABELS = np.random.default_rng(0).permutation(
    np.repeat(np.arange(12), [40, 30, 20, 10, 8, 6, 5, 4, 3, 2, 1, 1])
)


def plan(sampler: SamplerName, **changes: int) -> BatchPlan:
    settings = {"batch_size": 16, "seed": 7} | changes
    return BatchPlan(LABELS, sampler=sampler, **settings)


def images(sampler: SamplerName, epoch: int) -> np.ndarray:
    return plan(sampler).order(epoch)


def test_every_sampler_is_in_the_suite() -> None:
    assert ORDERS.keys() == set(SAMPLERS)


@EVERY
def test_an_epoch_has_all_its_batches_of_valid_images(sampler: SamplerName) -> None:
    p = plan(sampler)
    assert p.steps_per_epoch == len(LABELS) // 16
    assert p.steps_per_epoch * 16 <= len(p.order(0)) <= len(LABELS)
    assert p.order(0).dtype == np.int64
    assert set(p.order(0)) <= set(range(len(LABELS)))


@EVERY
def test_the_seed_and_the_epoch_decide(sampler: SamplerName) -> None:
    assert np.array_equal(plan(sampler).order(3), plan(sampler).order(3))
    assert not np.array_equal(plan(sampler).order(3), plan(sampler).order(4))
    assert not np.array_equal(plan(sampler).order(3), plan(sampler, seed=8).order(3))


@EVERY
def test_draws_are_numbered_on_across_epochs(sampler: SamplerName) -> None:
    p = plan(sampler)
    keys = [key for step in range(3 * p.steps_per_epoch) for key in p.batch(step)]
    assert [draw for _, draw in keys] == list(range(len(keys)))
    used = p.steps_per_epoch * 16
    expected = np.concatenate([p.order(epoch)[:used] for epoch in range(3)])
    assert [index for index, _ in keys] == expected.tolist()


@EVERY
def test_going_on_from_the_middle_gives_the_same_batches(sampler: SamplerName) -> None:
    whole = list(PlanSampler(plan(sampler), 0, 30))
    resumed = PlanSampler(plan(sampler), 13, 30)
    assert list(resumed) == whole[13:]
    assert len(resumed) == 17


@EVERY
@pytest.mark.parametrize("world", [2, 4, 16])
def test_the_ranks_together_are_the_single_process(sampler: SamplerName, world: int) -> None:
    ranks = [plan(sampler, world_size=world, rank=rank) for rank in range(world)]
    for step in (0, 5, 20):
        assert [key for p in ranks for key in p.batch(step)] == plan(sampler).batch(step)


def test_random_takes_every_image_once() -> None:
    assert sorted(images("random", 0)) == list(range(len(LABELS)))


def test_balanced_takes_every_person_as_often() -> None:
    drawn = images("balanced", 0)
    counts = np.bincount(LABELS[drawn], minlength=12)
    assert len(drawn) == len(LABELS)
    assert counts.max() - counts.min() <= 1
    more = np.array(
        [np.bincount(LABELS[images("balanced", e)], minlength=12) > counts.min() for e in range(60)]
    )
    assert (more.sum(axis=0) > 20).all()  # who is drawn once more changes from epoch to epoch


def test_balanced_repeats_no_image_before_all_of_the_person_are_used() -> None:
    drawn = images("balanced", 1)
    for person in range(12):
        times = np.bincount(drawn[LABELS[drawn] == person], minlength=len(LABELS))[LABELS == person]
        assert times.max() - times.min() <= 1


def test_balanced_reaches_every_image_over_the_epochs() -> None:
    assert len(np.unique(np.concatenate([images("balanced", epoch) for epoch in range(40)]))) == len(LABELS)


@pytest.mark.parametrize(
    ("sampler", "share"),
    [
        ("square-root", lambda n: n**0.5),
        # n by the effective number of n when 4 are all there are: 1 + 3/4 + (3/4)^2 + ...
        ("effective", lambda n: n / sum(0.75**k for k in range(n))),
    ],
)
def test_weighted_samplers_draw_people_by_their_share(
    sampler: SamplerName, share: Callable[[int], float]
) -> None:
    counts = np.bincount(LABELS)
    exact = np.array([share(int(n)) for n in counts])
    exact *= len(LABELS) / exact.sum()
    p = BatchPlan(LABELS, 16, sampler, seed=7, effective_images=4)
    drawn = np.array([np.bincount(LABELS[p.order(epoch)], minlength=12) for epoch in range(200)])
    assert (drawn.sum(axis=1) == len(LABELS)).all()
    assert (np.abs(drawn - exact) < 1 + 1e-9).all()
    assert np.abs(drawn.mean(axis=0) - exact).max() < 0.15
    for person in range(12):
        times = np.bincount(p.order(0)[LABELS[p.order(0)] == person], minlength=len(LABELS))[LABELS == person]
        assert times.max() - times.min() <= 1


def test_the_effective_sampler_lies_between_random_and_balanced() -> None:
    def draws(enough: float) -> np.ndarray:
        plan = BatchPlan(LABELS, 16, "effective", effective_images=enough)
        return np.bincount(LABELS[plan.order(0)], minlength=12)

    assert draws(1).tolist() == np.bincount(LABELS).tolist()
    assert np.abs(draws(1e9) - len(LABELS) / 12).max() < 1
    counts = np.array([1, 2, 1000])  # n - n (n-1) / (2 enough) + ..., to the last digits
    assert effective_number(counts, 1e12) == pytest.approx(counts, rel=1e-9, abs=0)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=15),
    window=st.integers(1, 60),
    seed=st.integers(0, 2**40),
)
def test_a_shuffle_buffer_reads_block_after_block(sizes: list[int], window: int, seed: int) -> None:
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    order = buffered_order(blocks, np.random.default_rng(seed), window)
    assert sorted(order) == list(range(len(blocks)))
    # The generator's first draw says in which order the blocks are read.
    turn = np.argsort(np.random.default_rng(seed).permutation(len(sizes)))
    place = np.empty(len(blocks), dtype=int)
    place[np.concatenate([np.flatnonzero(blocks == block) for block in turn])] = np.arange(len(blocks))
    assert np.abs(place[order] - np.arange(len(blocks))).max() < window


def test_a_shuffle_buffer_mixes_and_changes_from_epoch_to_epoch() -> None:
    blocks = np.repeat(np.arange(20), 50)
    p = BatchPlan(np.zeros(1000, dtype=np.int64), 10, blocks=blocks, shuffle_buffer=200)
    assert not np.array_equal(p.order(0), p.order(1))
    assert len({int(blocks[p.order(epoch)[0]]) for epoch in range(30)}) > 5
    in_a_batch = [len(set(blocks[p.order(0)[start : start + 10]])) for start in range(200, 800, 10)]
    assert np.mean(in_a_batch) > 2.5
    # A buffer's worth of draws needs the blocks of the buffer and of its ends, not all twenty.
    spans = [len(set(blocks[p.order(0)[start : start + 200]])) for start in range(0, 801, 200)]
    assert max(spans) <= 13


def test_without_blocks_a_shuffle_buffer_changes_nothing() -> None:
    assert np.array_equal(plan("random", shuffle_buffer=5).order(0), plan("random").order(0))


@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=12),
    images=st.integers(1, 5),
    people=st.integers(1, 12),
    seed=st.integers(0, 2**40),
)
def test_pk_batches_are_exact(counts: list[int], images: int, people: int, seed: int) -> None:
    people = min(people, len(counts))
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    assume(people * images <= len(labels))
    p = BatchPlan(labels, people * images, "pk", seed, images)
    for step in range(2 * p.steps_per_epoch):
        drawn = np.array([index for index, _ in p.batch(step)]).reshape(people, images)
        assert (labels[drawn] == labels[drawn[:, :1]]).all()
        assert len(set(labels[drawn[:, 0]])) == people
        for row in drawn:
            assert len(set(row)) == min(images, counts[labels[row[0]]])


def test_pk_lets_everybody_have_a_turn() -> None:
    labels = np.repeat(np.arange(10), 20)
    p = BatchPlan(labels, 20, "pk", images_per_person=4)
    first_two = [labels[index] for step in (0, 1) for index, _ in p.batch(step)]
    assert np.bincount(first_two).tolist() == [4] * 10


@pytest.mark.parametrize(
    ("sampler", "changes", "message"),
    [
        ("random", {"batch_size": 131}, "131 is not from 1 to the 130 images to train on"),
        ("random", {"batch_size": 0}, "0 is not from 1 to"),
        ("random", {"world_size": 3}, "16 does not divide among 3 processes; use a multiple of 3"),
        ("pk", {"images_per_person": 3}, "16 is not P people x 3 images .* use a multiple of 3 up to 36"),
        ("pk", {"images_per_person": 1}, "16 is not P people x 1 images .* P from 1 to 12;"),
    ],
)
def test_impossible_batches_are_refused(sampler: SamplerName, changes: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=rf"^train\.batch_size: {message}"):
        plan(sampler, **changes)
