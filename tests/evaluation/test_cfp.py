"""What is CFP's own: its folder of lists, landmarks, and their errors."""

import numpy as np
import pytest

from evenface.errors import UserError
from evenface.evaluation.protocols import cfp

SAME = "Protocol/Split/FP/02/same.txt"


def test_second_number_is_a_profile_in_fp_and_a_frontal_in_ff(cfp_root):
    for kind, pose in (("ff", "frontal"), ("fp", "profile")):
        pairs = cfp(cfp_root, kind=kind)
        a, b = (pairs.images.names[items[5]] for items in (pairs.first, pairs.second))
        assert a == "Data/Images/004/frontal/01.jpg"
        assert b == f"Data/Images/004/{pose}/02.jpg"


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        (SAME, "1,2\n5;6\n", r"02/same.txt:2: expected two picture numbers such as 12,345, found '5;6'"),
        (SAME, "1,2\n1,2,3\n", r"02/same.txt:2: expected two"),
        (SAME, "5,6\n", r"02/same.txt: has 1 pairs where the other files have 2"),
        (SAME, "5,6\n7,13\n", r"02/same.txt:2: picture 13 is not in .*Pair_list_P.txt"),
        (SAME, "0,6\n7,8\n", r"02/same.txt:1: picture 0 is not in .*Pair_list_F.txt"),
        (SAME, "", r"02/same.txt: empty"),
        (SAME, "5,6\n7,5\n", r"02/same.txt:2: pictures of people 004 and 003; fetch the lists again"),
        (
            "Protocol/Pair_list_P.txt",
            "1 ../Data/Images/001/profile/01.jpg\nx\n",
            r"Pair_list_P.txt:2: expected",
        ),
        ("Protocol/Pair_list_P.txt", "1 /etc/passwd\n", r"Pair_list_P.txt:1: expected"),
    ],
)
def test_a_broken_list_is_named(cfp_root, file, text, says):
    (cfp_root / file).write_text(text)
    with pytest.raises(UserError, match=says):
        cfp(cfp_root, kind="fp")


def test_missing_folds_and_landmarks_are_named(cfp_root):
    landmarks = cfp_root / "Data/Fiducials/001/frontal/01.txt"
    landmarks.unlink()
    with pytest.raises(UserError, match=r"Fiducials/001/frontal/01.txt: missing"):
        cfp(cfp_root)
    assert len(cfp(cfp_root, crop="template")) == 12
    (cfp_root / "Protocol/Split/FF").rename(cfp_root / "Protocol/Split/GG")
    with pytest.raises(UserError, match=r"Split/FF: expected the folds"):
        cfp(cfp_root)


@pytest.mark.parametrize("text", ["1,2\n" * 29, "1,2\n" * 29 + "1,x\n", "5,5\n" * 30, "1\n" * 30])
def test_broken_landmarks_are_named(cfp_root, text):
    pairs = cfp(cfp_root)
    (cfp_root / "Data/Fiducials/001/frontal/01.txt").write_text(text)
    with pytest.raises(UserError, match=r"frontal/01.txt: not 30 lines"):
        pairs.images[0]


def test_landmarks_decide_the_crop_and_the_hash(cfp_root):
    pairs = cfp(cfp_root)
    before, digest = pairs.images[0], pairs.sha256
    file = cfp_root / "Data/Fiducials/001/frontal/01.txt"
    np.savetxt(file, np.loadtxt(file, delimiter=",") + 10, delimiter=",")
    after = cfp(cfp_root)
    assert (after.images[0] != before).any()
    assert after.sha256 != digest


def test_template_crop_refuses_the_original_pictures(cfp_root):
    with pytest.raises(UserError, match=r"160x160 pixels, but crop 'template' takes 112x112"):
        cfp(cfp_root, crop="template").images[0]


@pytest.mark.parametrize(
    ("options", "says"), [({"kind": "pp"}, "cfp.kind: 'pp'"), ({"crop": "x"}, "cfp.crop: 'x'")]
)
def test_unknown_options_are_refused(cfp_root, options, says):
    with pytest.raises(UserError, match=says):
        cfp(cfp_root, **options)
