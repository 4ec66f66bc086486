from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenface.data import FaceSet
from evenface.errors import UserError


def make(counts: dict[str, int]) -> FaceSet:
    names = [name for name, images in counts.items() for _ in range(images)]
    return FaceSet.of([Path(name) / str(i) for i, name in enumerate(names)], names)


def people_by_path(faces: FaceSet) -> dict[Path, str]:
    return {path: faces.identities[label] for path, label in zip(faces.paths, faces.labels, strict=True)}


def test_identities_are_in_natural_order() -> None:
    names = ["p10", "p9", "p", "10", "9", "9x2", "9x10", "p09", "P"]
    expected = ["9", "9x2", "9x10", "10", "P", "p", "p09", "p9", "p10"]
    assert make(dict.fromkeys(names, 1)).identities == expected


def test_numeric_labels_keep_their_numbers() -> None:
    assert make({str(i): 1 for i in (3, 11, 0, 1, 2, 10, 9, 8, 7, 6, 5, 4)}).labels.tolist() == [
        *(3, 11, 0, 1, 2, 10, 9, 8, 7, 6, 5, 4)
    ]


def test_counts_and_description() -> None:
    faces = make({"b": 3, "a": 1})
    assert faces.counts().tolist() == [1, 3]
    assert faces.labels.tolist() == [1, 1, 1, 0]
    assert faces.labels.dtype == np.int64
    assert str(faces) == "4 images of 2 people (1 to 3 each)"


@given(
    st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 4), min_size=1, max_size=12), st.data()
)
def test_every_cut_keeps_whole_people_and_closes_the_gaps(
    counts: dict[str, int], data: st.DataObject
) -> None:
    faces = make(counts)
    names = data.draw(st.sets(st.sampled_from([*counts, "nobody"])))
    least = data.draw(st.integers(1, 5))
    expected = {name: n for name, n in counts.items() if name not in names and n >= least}
    cut = faces.without(names).at_least(least)
    assert dict(zip(cut.identities, cut.counts(), strict=True)) == expected
    assert sorted(set(cut.labels.tolist())) == list(range(len(expected)))
    before = people_by_path(faces)
    assert people_by_path(cut) == {path: name for path, name in before.items() if name in expected}


def test_hold_out_splits_people_by_the_seed() -> None:
    faces = make({f"p{i}": 1 + i % 3 for i in range(30)})
    train, held = faces.hold_out(8, seed=5)
    assert len(held.identities) == 8
    assert held.counts().min() >= 2
    assert sorted(train.identities + held.identities) == sorted(faces.identities)
    assert people_by_path(train) | people_by_path(held) == people_by_path(faces)
    assert sorted(set(train.labels.tolist())) == list(range(22))
    assert sorted(set(held.labels.tolist())) == list(range(8))
    assert faces.hold_out(8, seed=5)[1].identities == held.identities
    assert faces.hold_out(8, seed=6)[1].identities != held.identities


@pytest.mark.parametrize(
    ("counts", "most"), [({"a": 2, "b": 2, "c": 2}, 1), ({"a": 1, "b": 1, "c": 2, "d": 1}, 1), ({"a": 2}, 0)]
)
def test_holding_out_too_many_says_how_many_are_possible(counts: dict[str, int], most: int) -> None:
    make(counts).hold_out(most, seed=0)
    with pytest.raises(UserError, match=rf"^data\.holdout: {most + 1} is too many; .* Use {most} or fewer"):
        make(counts).hold_out(most + 1, seed=0)
