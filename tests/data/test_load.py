"""The cuts made after a set is read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from evenface.data import DataConfig, load
from evenface.errors import UserError

MakeFaces = Callable[[dict[str, int]], Path]
PEOPLE = {"ann": 3, "bob": 1, "cat": 2, "dan 2": 4, "dan 10": 2}


def test_cuts_are_made_in_order_and_told(make_faces: MakeFaces, tmp_path: Path) -> None:
    names, table = tmp_path / "names.txt", tmp_path / "names.csv"
    names.write_text("ann\nzoe\n")
    table.write_text("n,identity\n1,ann\n2,yan\n")
    root = make_faces(PEOPLE | {"eve": 2})
    train, held, notes = load(DataConfig(root=root, exclude=(names, table), holdout=1), seed=3)
    assert held is not None
    assert sorted(train.identities + held.identities) == ["cat", "dan 10", "dan 2", "eve"]
    assert notes == [
        "data.exclude: 1 people with 3 images left out; 2 of the names listed are not in the set",
        "data.min_images: 1 people with 1 images left out, having fewer than 2 images",
        f"data.holdout: {held} held out",
    ]
    again = load(DataConfig(root=root, exclude=(names, table), holdout=1), seed=3)[1]
    assert again is not None
    assert again.paths == held.paths


def test_images_are_left_out_by_name(make_faces: MakeFaces, tmp_path: Path) -> None:
    table = tmp_path / "out.csv"
    table.write_text("identity,file,how\nann,ann/1.png,stray\ncat,,other\nzoe,zoe/1.png,stray\n")
    faces, _, notes = load(DataConfig(root=make_faces(PEOPLE), exclude=(table,), min_images=1), seed=0)
    counts = dict(zip(faces.identities, faces.counts(), strict=True))
    assert counts == {"ann": 2, "bob": 1, "dan 2": 4, "dan 10": 2}
    assert [path.name for path in faces.paths[:2]] == ["0.png", "2.png"]
    assert notes[0].startswith("data.exclude: 1 people with 3 images left out; 1 of the names listed")


def test_a_set_is_cut_to_an_imbalance(make_faces: MakeFaces) -> None:
    root = make_faces({"ann": 9, "bob": 9, "cat": 9})
    faces, _, notes = load(DataConfig(root=root, imbalance=4, images=14), seed=0)
    assert sorted(faces.counts()) == [2, 4, 8]
    assert notes == [f"data.imbalance: cut to {faces}, by the seed"]
    again, other = (load(DataConfig(root=root, imbalance=4, images=14), seed=seed)[0] for seed in (0, 1))
    assert faces.paths == again.paths != other.paths
    most, _, _ = load(DataConfig(root=root, imbalance=3), seed=0)
    assert sorted(most.counts()) == [3, 5, 9]


def test_no_source() -> None:
    with pytest.raises(
        UserError, match=r"^data\.root: no images given; use --data.root DIR .* or --data.list"
    ):
        load(DataConfig(), seed=0)


def test_too_few_people_left(make_faces: MakeFaces) -> None:
    with pytest.raises(
        UserError, match=r"^data\.root: 3 images of 1 people .* 2 people or more. data.min_images: 1"
    ):
        load(DataConfig(root=make_faces({"ann": 3, "bob": 1})), seed=0)


def test_the_real_celebrities(data_root: Path) -> None:
    folder = data_root / "celeb"
    faces, held, notes = load(
        DataConfig(root=folder / "images", exclude=(folder / "overlap.csv",), holdout=40), seed=0
    )
    assert held is not None
    overlap = (folder / "overlap.csv").read_text().splitlines()[1:]
    assert len(faces.identities) + len(held.identities) == 394 - len(overlap)
    assert notes[0].startswith(f"data.exclude: {len(overlap)} people ")
    assert notes[0].endswith("; 0 of the names listed are not in the set")


def test_a_buffer_for_a_set_without_blocks_is_refused(make_faces: MakeFaces) -> None:
    with pytest.raises(UserError, match=r"^data\.shuffle_buffer: is for shards and parquet, .*leave it out"):
        load(DataConfig(root=make_faces(PEOPLE), shuffle_buffer=10), seed=0)
