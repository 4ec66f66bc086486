import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from evenface.data import read_folder
from evenface.errors import UserError


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_reads_people_and_images_in_order(make_faces: Callable[[dict[str, int]], Path]) -> None:
    root = make_faces({"b10": 1, "b9": 2, "a": 1})
    faces = read_folder(root)
    assert faces.identities == ["a", "b9", "b10"]
    names = [path.relative_to(root).as_posix() for path in faces.paths]
    labels = dict(zip(names, faces.labels.tolist(), strict=True))
    assert labels == {"a/0.png": 0, "b9/0.png": 1, "b9/1.png": 1, "b10/0.png": 2}


def test_takes_every_suffix_and_nothing_else(tmp_path: Path) -> None:
    images = ["a.jpg", "b.JPEG", "c.png", "d.bmp", "e.webp", "f.pgm", "g.tif", "h.TIFF"]
    for name in [*images, ".hidden.jpg", "Thumbs.db", "jpg", "deeper/i.jpg"]:
        touch(tmp_path / "p" / name)
    touch(tmp_path / ".cache" / "a.jpg")
    touch(tmp_path / "empty" / "notes.txt")
    faces = read_folder(tmp_path)
    assert [path.name for path in faces.paths] == images
    assert faces.identities == ["p"]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.root: .*/nowhere is not a folder; give the folder"):
        read_folder(tmp_path / "nowhere")


def test_images_directly_under_root(tmp_path: Path) -> None:
    for i in range(12):
        touch(tmp_path / f"{i}.jpg")
    expected = (
        f"expected {tmp_path}/<person>/<image>; found 12 images directly in {tmp_path}. Use --data.list"
    )
    with pytest.raises(UserError, match=rf"^data\.root: .*{re.escape(expected)}"):
        read_folder(tmp_path)


def test_root_given_one_folder_too_high(make_faces: Callable[[dict[str, int]], Path]) -> None:
    root = make_faces({"a": 1, "b": 1})
    with pytest.raises(UserError, match=rf"one folder deeper, in {root}/a. Use --data.root {root},"):
        read_folder(root.parent)


def test_no_image_at_all(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "notes.txt")
    with pytest.raises(UserError, match=r"found 1 folders and no image \(\.jpg .*\)\. Give another folder"):
        read_folder(tmp_path)


def test_another_option_is_told_in_its_own_words(make_faces: Callable[[dict[str, int]], Path]) -> None:
    root = make_faces({"a": 1, "b": 1})
    for wrong, says in (
        (root / "none", "none is not a folder"),
        (root / "a", rf"found 1 images directly in {root}/a\. Give the folder above$"),
        (root.parent, rf"one folder deeper, in {root}/a\. Give {root}$"),
    ):
        with pytest.raises(UserError, match=rf"^--people: .*{says}") as caught:
            read_folder(wrong, field="--people")
        assert "data." not in str(caught.value)


@pytest.mark.parametrize("closed", ["", "b"])
def test_a_folder_that_cannot_be_opened(
    closed: str, make_faces: Callable[[dict[str, int]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_faces({"a": 1, "b": 1})
    own = os.scandir

    def scandir(path: Path) -> object:
        if path == root / closed:
            raise PermissionError(13, "Permission denied", str(path))
        return own(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(
        UserError, match=rf"^data\.root: {root / closed} cannot be opened .Permission denied."
    ):
        read_folder(root)
