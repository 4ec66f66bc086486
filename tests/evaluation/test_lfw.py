"""What is LFW's own: the list's form, its errors, and the crops."""

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from evenface.errors import UserError
from evenface.evaluation.protocols import lfw
from evenface.faces import TEMPLATE_112

from .conftest import make_lfw


def edit(root, number, line):
    lines = (root / "pairs.txt").read_text().split("\n")
    lines[number - 1] = line
    (root / "pairs.txt").write_text("\n".join(lines))


def test_spaces_and_windows_line_ends_read_the_same(lfw_root):
    before = lfw(lfw_root)
    text = (lfw_root / "pairs.txt").read_text()
    (lfw_root / "pairs.txt").write_bytes(
        b"\xef\xbb\xbf" + text.replace("\t", "  ").replace("\n", "\r\n").encode() + b"\r\n"
    )
    after = lfw(lfw_root)
    assert after.images.names == before.images.names
    for field in ("first", "second", "same", "fold"):
        assert getattr(after, field).tolist() == getattr(before, field).tolist()


def test_known_pairs(lfw_root):
    pairs = lfw(lfw_root)
    names = [
        (pairs.images.path(a).name, pairs.images.path(b).name)
        for a, b in zip(pairs.first, pairs.second, strict=True)
    ]
    assert names[:4] == [
        ("Person_A_0001.jpg", "Person_A_0002.jpg"),
        ("Person_B_0001.jpg", "Person_B_0003.jpg"),
        ("Person_A_0001.jpg", "Person_B_0001.jpg"),
        ("Person_A_0003.jpg", "Person_B_0002.jpg"),
    ]


def test_pictures_may_lie_beside_the_list_and_the_list_elsewhere(lfw_root, tmp_path):
    before = lfw(lfw_root).sha256
    for folder in (lfw_root / "images").iterdir():
        folder.rename(lfw_root / folder.name)
    (lfw_root / "images").rmdir()
    moved = (lfw_root / "pairs.txt").rename(tmp_path / "pairs.txt")
    assert lfw(lfw_root, pairs=moved).sha256 == before


@pytest.mark.parametrize(
    ("number", "line", "says"),
    [
        (1, "10", "pairs.txt:1: expected two numbers"),
        (1, "ten 300", "pairs.txt:1: expected two numbers"),
        (1, "1" * 5000 + " 3", "pairs.txt:1: expected two numbers"),
        (2, "Person_A 1 " + "2" * 5000, "pairs.txt:2: expected a picture's number"),
        (1, "3 3", "announces 3 x .3 . 3. = 18 pairs, but 12 lines"),
        (2, "Person_A 1", "pairs.txt:2: expected a genuine pair"),
        (2, "Person_A 1 one", "pairs.txt:2: expected a picture's number in place of 'one'"),
        (2, "Person_A 1 1", "pairs.txt:2: expected a genuine pair"),
        (3, "Person_A 1 Person_B 2", "pairs.txt:3: expected a genuine pair"),
        (4, "Person_A 1 2", "pairs.txt:4: expected an impostor pair"),
        (4, "Person_A 1 Person_A 2", "pairs.txt:4: expected an impostor pair"),
        (5, "", "pairs.txt:5: expected an impostor pair"),
    ],
)
def test_a_broken_line_is_named(lfw_root, number, line, says):
    edit(lfw_root, number, line)
    with pytest.raises(UserError, match=says):
        lfw(lfw_root)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00"])
def test_a_list_that_is_no_text_is_refused(lfw_root, content):
    (lfw_root / "pairs.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"pairs.txt: (empty|not a text)"):
        lfw(lfw_root)


def test_unknown_crop_is_refused(lfw_root):
    with pytest.raises(UserError, match=r"lfw.crop: 'middle'"):
        lfw(lfw_root, crop="middle")


def test_pictures_of_another_size_are_refused_with_the_other_crop_named(lfw_root, tmp_path):
    with pytest.raises(UserError, match=r"160x160 pixels, but crop 'template' takes 112x112"):
        lfw(lfw_root, crop="template").images[0]
    small = lfw(make_lfw(tmp_path / "small", size=112))
    with pytest.raises(UserError, match=r"112x112 pixels, but crop 'lfw-a' takes 160x160"):
        small.images[0]


def test_template_crop_leaves_pictures_as_they_are(tmp_path):
    pairs = lfw(make_lfw(tmp_path / "small", size=112), crop="template")
    assert (pairs.images[0] == cv2.imread(str(pairs.images.path(0)))[:, :, ::-1]).all()


def test_lfw_a_crop_carries_the_median_points_to_the_template(tmp_path):
    """The five medians, drawn as dots in a 160x160 picture, appear within 2.5 pixels of the template."""
    root = make_lfw(tmp_path / "lfw")
    pairs = lfw(root)
    medians = [(54.7, 65.3), (101.0, 64.6), (79.3, 89.6), (60.3, 110.6), (98.7, 109.4)]
    for x, y in medians:
        image = np.zeros((160, 160), np.uint8)
        cv2.circle(image, (round(x * 16), round(y * 16)), 4 * 16, 255, -1, shift=4)
        cv2.imwrite(str(pairs.images.path(0)), image)
        crop = pairs.images[0][:, :, 0].astype(float)
        rows, columns = np.indices(crop.shape)
        found = [(columns * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum()]
        nearest = TEMPLATE_112[np.argmin(np.hypot(*(TEMPLATE_112 - found).T))]
        assert_allclose(found, nearest, atol=2.5)
