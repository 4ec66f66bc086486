"""The common suite over the readers, and the cuts that follow them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from evenface.data import READERS, DataConfig, load
from evenface.errors import UserError

MakeFaces = Callable[[dict[str, int]], Path]
PEOPLE = {"ann": 3, "bob": 1, "cat": 2, "dan 2": 4, "dan 10": 2}


def as_root(root: Path) -> DataConfig:
    return DataConfig(root=root, min_images=1)


def as_list(root: Path) -> DataConfig:
    file = root.parent / "list.txt"
    images = sorted(root.glob("*/*.png"), reverse=True)
    file.write_text("\n".join(f"{p.relative_to(root)}\t{p.parent.name.replace(' ', '')}" for p in images))
    return DataConfig(list=file, root=root, min_images=1)


SOURCES = {"root": as_root, "list": as_list}


def test_every_reader_is_in_the_suite() -> None:
    assert SOURCES.keys() == READERS.keys()


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_reader_gives_the_same_people(
    source: Callable[[Path], DataConfig], make_faces: MakeFaces
) -> None:
    faces, held, notes = load(source(make_faces(PEOPLE)), seed=0)
    assert [name.replace(" ", "") for name in faces.identities] == ["ann", "bob", "cat", "dan2", "dan10"]
    assert faces.counts().tolist() == [3, 1, 2, 4, 2]
    assert all(path.is_file() for path in faces.paths)
    assert [path.parent.name.replace(" ", "") for path in faces.paths] == [
        faces.identities[label].replace(" ", "") for label in faces.labels
    ]
    assert (held, notes) == (None, [])


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
