import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenface.align.walk import Source, count, walk
from evenface.errors import UserError


def names(root: Path) -> dict[str, str]:
    return {one.name: one.stem for one in walk(root) if isinstance(one, Source)}


def touch(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def test_any_depth_in_order(tmp_path: Path):
    touch(
        tmp_path, "b/z/2.JPG", "b/1.png", "a/x.y/3.webp", "0.gif", "a/note.txt", ".hidden/1.jpg", "a/._1.jpg"
    )
    touch(tmp_path, "b.jpg/1.jpg")
    assert list(names(tmp_path).items()) == [
        ("0.gif", "0"),
        ("a/x.y/3.webp", "a/x.y/3"),
        ("b.jpg/1.jpg", "b.jpg/1"),
        ("b/1.png", "b/1"),
        ("b/z/2.JPG", "b/z/2"),
    ]
    assert count(tmp_path) == 5


def test_names_that_differ_in_the_suffix_only(tmp_path: Path):
    touch(
        tmp_path,
        "p/a.jpg",
        "p/a.png",
        "p/b.png",
        "q/a.png",
        "p/c.png.jpg",
        "sheet.png",
        "p/sheet.png",
        "p/D.bmp",
    )
    touch(tmp_path, "p/d.webp", "p/e..jpg")
    assert names(tmp_path) == {
        "sheet.png": "sheet.png",
        "p/a.jpg": "p/a.jpg",
        "p/a.png": "p/a.png",
        "p/b.png": "p/b",
        "p/c.png.jpg": "p/c.png.jpg",
        "p/D.bmp": "p/D.bmp",
        "p/d.webp": "p/d.webp",
        "p/e..jpg": "p/e.",
        "p/sheet.png": "p/sheet",
        "q/a.png": "q/a",
    }


@given(
    st.sets(st.text("aA.", min_size=1, max_size=3).map("x".__add__), max_size=5),
    st.sets(st.sampled_from([".jpg", ".png", ".JPG", ".gif"]), min_size=1),
    st.sampled_from([".jpg", ".png"]),
)
def test_no_two_crops_share_a_name(
    tmp_path_factory: pytest.TempPathFactory, stems: set[str], ends: set[str], to: str
):
    root = tmp_path_factory.mktemp("photos")
    touch(
        root, *(stem + end for stem, end in itertools.product(stems, ends)), *(s + ".png.jpg" for s in stems)
    )
    crops = [stem + to for stem in names(root).values()]
    assert len(set(crops)) == len(crops) == count(root)


def test_links_are_counted_and_not_followed(tmp_path: Path):
    touch(tmp_path, "out/1.jpg", "photos/a/1.jpg")
    (tmp_path / "photos/b").symlink_to(tmp_path / "out")
    (tmp_path / "photos/a/2.jpg").symlink_to(tmp_path / "out/1.jpg")
    (tmp_path / "photos/a/loop").symlink_to(tmp_path / "photos")
    found = list(walk(tmp_path / "photos"))
    assert [one.name for one in found if isinstance(one, Source)] == ["a/1.jpg"]
    assert sum(one for one in found if isinstance(one, int)) == 3


def test_a_folder_that_is_gone_is_told(tmp_path: Path):
    with pytest.raises(UserError, match="cannot be opened"):
        list(walk(tmp_path / "none"))
