"""What embeddings say of labels, on made-up embeddings with planted mistakes."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.check.cleaning import alike as alike_module
from evenface.check.cleaning import faces as faces_module
from evenface.check.cleaning.alike import alike
from evenface.check.cleaning.calibration import Histogram, fence, listed
from evenface.check.cleaning.candidates import Kind, write_candidates
from evenface.check.cleaning.faces import Faces, unit
from evenface.check.cleaning.labels import one_in_two, overlap, strays, two_in_one
from evenface.check.cleaning.twins import best_mates, best_others, links
from evenface.check.cleaning.within import nearest, splits
from evenface.check.sets import NOBODY, PictureSet

PEOPLE, EACH, WIDTH = 60, 9, 64


def faces_of(rows: np.ndarray, who: list[str], *, training: bool = True, label: str = "set") -> Faces:
    people = sorted(set(who) - {""})
    person = np.array([people.index(one) if one else NOBODY for one in who], dtype=np.int32)
    names = [f"{one}/{i}.jpg" for i, one in enumerate(who)]
    pictures = PictureSet(label, Path("/nowhere") / label, names, person, people, training=training)
    return Faces.of(pictures, np.arange(len(who)), rows.astype(np.float32))


def photographs(centre: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Raw embeddings of one person, of any length."""
    rows = unit(centre + 0.7 * unit(rng.normal(0, 1, (count, WIDTH)).astype(np.float32)))
    return rows * rng.uniform(5, 20, (count, 1)).astype(np.float32)


@pytest.fixture
def centres() -> np.ndarray:
    return unit(np.random.default_rng(1).normal(0, 1, (2 * PEOPLE, WIDTH)).astype(np.float32))


@pytest.fixture
def pool(centres) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(2)
    rows = np.concatenate([photographs(centres[i], EACH, rng) for i in range(PEOPLE)])
    return rows, [f"p{i:02}" for i in range(PEOPLE) for _ in range(EACH)]


def of(kind: Kind) -> list[tuple[str, str]]:
    return [(one.left.identity, one.right.identity) for one in kind.beyond]


def test_clean_labels_give_no_candidate(pool, centres):
    rng = np.random.default_rng(3)
    training = faces_of(*pool)
    others = np.concatenate([photographs(one, 4, rng) for one in centres[PEOPLE:]])
    test = faces_of(others, [f"q{i // 4}" for i in range(len(others))], training=False, label="test")
    for kind in (strays([training], {}), two_in_one([training]), one_in_two([training])):
        assert kind.beyond == [], kind.key
        assert kind.candidates, kind.key  # the next ones are shown
    assert overlap([training, test]).beyond == []


def test_stray_pictures_are_first(pool, centres):
    rows, who = pool
    rng = np.random.default_rng(4)
    rows[5 * EACH] = photographs(centres[20], 1, rng)[0]  # of somebody in the set
    rows[7 * EACH + 1] = photographs(centres[PEOPLE + 1], 1, rng)[0]  # of nobody in the set
    kind = strays([faces_of(rows, who)], {})
    assert [one.left.file for one in kind.beyond] == [f"p05/{5 * EACH}.jpg", f"p07/{7 * EACH + 1}.jpg"]
    assert kind.beyond[0].right.identity == "p20"
    assert kind.beyond[0].rows[0][:2] == ("p05", f"p05/{5 * EACH}.jpg")
    assert [one.rank for one in kind.candidates] == list(range(1, len(kind.candidates) + 1))
    assert not any(one.ticked for one in kind.candidates)


def test_a_person_who_is_two_is_first_and_their_pictures_are_no_strays(pool, centres):
    rows, who = pool
    second = slice(9 * EACH + 5, 10 * EACH)
    rows[second] = photographs(centres[PEOPLE], EACH - 5, np.random.default_rng(5))
    faces = faces_of(rows, who)
    kind = two_in_one([faces])
    assert of(kind) == [("p09", "p09")]
    assert {row[1] for row in kind.beyond[0].rows} == {
        faces.name(i) for i in range(second.start, second.stop)
    }
    assert set(kind.beyond[0].right.pictures) == set(range(9 * EACH, second.start))
    assert strays([faces], {0: {9}}).beyond == []


def test_two_people_who_are_one_are_first(pool, centres):
    rows, who = pool
    rng = np.random.default_rng(6)
    rows[30 * EACH : 31 * EACH] = photographs(centres[3], EACH, rng)
    faces = faces_of(rows, who)
    kind = one_in_two([faces])
    assert [set(pair) for pair in of(kind)] == [{"p03", "p30"}]
    assert kind.beyond[0].rows[0][1] == ""  # the whole person


def test_training_people_in_a_test_set_without_names(pool, centres):
    rng = np.random.default_rng(7)
    rows = np.concatenate([photographs(centres[i], 3, rng) for i in (2, *range(PEOPLE, PEOPLE + 40))])
    who = [f"Other Name {i // 3}" for i in range(len(rows))]
    rows = np.concatenate([rows, photographs(centres[11], 1, rng), photographs(centres[PEOPLE + 50], 1, rng)])
    test = faces_of(rows, [*who, "", ""], training=False, label="LFW")
    assert (len(test.people), test.named) == (43, 41)
    kind = overlap([faces_of(*pool), test])
    assert sorted(of(kind)) == [("p02", "Other Name 0"), ("p11", f"/{len(who)}.jpg")]
    assert {(one.rows[0][0], one.rows[0][1]) for one in kind.beyond} == {("p02", ""), ("p11", "")}
    assert all(one.ticked for one in kind.beyond)
    assert one_in_two([test]).beyond == []


def test_only_what_is_trained_on_can_be_left_out(pool):
    rows, who = pool
    training, test = faces_of(rows, who), faces_of(rows, who, training=False, label="test")
    of_both = strays([training, test], {}).candidates
    assert {bool(one.rows) for one in of_both if one.left.faces is training} == {True}
    assert {bool(one.rows) for one in of_both if one.left.faces is test} == {False}
    assert all(one.rows for one in strays([test], {}).candidates)  # a set of one's own alone


def test_too_few_people_to_say():
    rng = np.random.default_rng(8)
    few = faces_of(rng.normal(0, 1, (6, WIDTH)), ["a", "a", "a", "b", "b", "b"])
    for kind in (strays([few], {}), two_in_one([few]), one_in_two([few])):
        assert kind.beyond == []
    assert "too few" in strays([few], {}).notes[0]


def test_the_table(tmp_path, pool, centres):
    rows, who = pool
    rows[5 * EACH] = photographs(centres[20], 1, np.random.default_rng(9))[0]
    who = ['x,"<y>' if one == "p05" else one for one in who]
    kind = strays([faces_of(rows, who)], {})
    write_candidates(tmp_path / "c.csv", [kind])
    first, second = (tmp_path / "c.csv").read_text().splitlines()
    assert first == "kind,identity,file,other identity,other file,score,rank"
    assert second.startswith('stray picture,"x,""<y>","x,""<y>/45.jpg",p20,p20/')
    assert second.endswith(f",{kind.beyond[0].score:.4f},1")


def test_a_centre_is_that_of_the_many_and_each_picture_is_measured_without_itself(centres):
    rng = np.random.default_rng(10)
    rows = np.concatenate([photographs(centres[0], 9, rng), photographs(centres[1], 6, rng)])
    faces = faces_of(np.concatenate([rows, rows[:1], rows[:2]]), ["a"] * 15 + ["b"] + ["c"] * 2)
    assert faces.centres.vectors[0] @ centres[0] > 0.95
    assert abs(faces.centres.vectors[0] @ centres[1]) < 0.3
    x = unit(faces.rows[:15])
    kept = np.argsort(-(x @ faces.centres.vectors[0]))[:8]
    for i in range(15):
        total = sum(x[j] for j in kept if j != i)
        assert faces.centres.own[i] == pytest.approx(x[i] @ total / np.linalg.norm(total), abs=1e-5)
    assert np.isnan(faces.centres.own[15])
    assert faces.centres.own[16] == pytest.approx(float(x[0] @ x[1]), abs=1e-5)


def test_chunked_products_are_those_of_whole_ones(pool, monkeypatch):
    monkeypatch.setattr(faces_module, "CHUNK", 700)
    monkeypatch.setattr(alike_module, "CHUNK", 700)
    faces = faces_of(*pool)
    x, c = unit(faces.rows), faces.centres.vectors
    which, cosine = nearest(faces, c, 3)
    assert np.array_equal(which, np.argsort(-(x @ c.T), axis=1)[:, :3])
    assert cosine == pytest.approx(np.sort(x @ c.T, axis=1)[:, ::-1][:, :3], abs=1e-6)
    found = alike(c, most=25)
    wanted = sorted(((float(c[i] @ c[j]), i, j) for i, j in combinations(range(PEOPLE), 2)), reverse=True)[
        :25
    ]
    assert found.cosine == pytest.approx([one[0] for one in wanted], abs=1e-6)
    assert list(zip(found.first, found.second, strict=True)) == [one[1:] for one in wanted]
    across = alike(c[:20], c[20:], most=25)
    pairs = c[:20] @ c[20:].T
    assert across.cosine == pytest.approx(np.sort(pairs.ravel())[::-1][:25], abs=1e-6)
    assert pairs[across.first, across.second] == pytest.approx(across.cosine, abs=1e-6)


def test_groups_are_told_by_their_mean_cosines(pool):
    faces = faces_of(*pool)
    x = unit(faces.rows)
    for split in splits(faces):
        groups = split.larger, split.smaller
        assert {*groups[0], *groups[1]} <= set(range(split.person * EACH, (split.person + 1) * EACH))
        across = [x[i] @ x[j] for i in groups[0] for j in groups[1]]
        inside = [x[i] @ x[j] for group in groups for i, j in combinations(group, 2)]
        assert (split.between, split.within) == pytest.approx((np.mean(across), np.mean(inside)), abs=1e-5)


def test_mates_are_those_of_comparing_all(pool, centres):
    rows, who = pool
    rows[4] = rows[400] * 3  # a picture of somebody else, once more
    training = faces_of(rows, who)
    test = faces_of(rows[100:130] + 0.01, [""] * 30, training=False, label="test")
    x = unit(rows)
    mate = best_mates(training)[0]
    all_pairs = x @ x.T
    same = np.array(who)[:, None] == np.array(who)
    np.fill_diagonal(same, False)
    assert np.array_equal(mate, np.where(same, all_pairs, -9).argmax(axis=1))
    other, value = best_others([training, test], training.centres.vectors)
    assert (other[4], other[400]) == (400, 4) and value[4] == pytest.approx(1)
    assert np.array_equal(other[100:130], len(x) + np.arange(30))
    assert np.array_equal(other[len(x) :], 100 + np.arange(30))
    assert best_mates(test)[0].tolist() == [-1] * 30


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), count=st.integers(2, 12), edges=st.integers(0, 25), ties=st.integers(0, 6))
def test_links_are_those_that_join_what_is_apart(seed, count, edges, ties):
    rng = np.random.default_rng(seed)
    every = np.array(list(combinations(range(count), 2)))
    pairs = every[rng.permutation(len(every))[:edges]]
    values = rng.permutation(len(pairs)).astype(np.float32) / 30
    known = every[rng.integers(0, len(every), ties)]
    group = list(range(count))
    wanted = []
    for number, (a, b) in enumerate([*known, *pairs[order := np.argsort(-values)]]):
        if group[a] != group[b]:
            group = [group[a] if one == group[b] else one for one in group]
            if number >= len(known):
                wanted.append(int(order[number - len(known)]))
    assert links(pairs, values, known, count).tolist() == wanted


def test_outliers_do_not_move_the_fence():
    scores = np.random.default_rng(11).normal(0, 1, 2000)
    assert fence(scores) == pytest.approx(0.674 + 2.2 * 1.349, abs=0.3)
    assert fence(np.concatenate([scores, np.full(200, 50.0), [np.nan]])) < 5
    assert fence(scores[:19]) == np.inf


@pytest.mark.parametrize("count", [400, 20_000, 1_000_000])
def test_chance_is_never_taken_for_less_than_it_is(count):
    cosines = np.random.default_rng(count).normal(0, 0.12, count)
    seen = Histogram()
    for part in np.array_split(cosines, 3):
        seen.add(part)
    tail = seen.tail()
    assert tail is not None
    most = np.sort(cosines)[::-1][:20]
    expected = tail.by_chance(most)
    assert (expected > 0.3 * np.arange(1, 21)).all()
    assert tail.by_chance(np.array([0.95]))[0] < 0.2 and listed(expected) == 0
    assert listed(np.array([0.1, 0.5, 0.6, 9.0])) == 3
    empty = Histogram()
    empty.add(cosines[:399])
    assert empty.tail() is None
