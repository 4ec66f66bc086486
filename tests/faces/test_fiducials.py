"""Five points from CFP's half-face fiducials: a head in three dimensions turned and drawn, and real ones."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from evenface.errors import UserError
from evenface.faces import TEMPLATE_112, five_points_from_30, read_image, similarity, warp

# A head in millimetres: x to the right of the picture, y down, z towards the camera.
# The nose root lies 12.5 mm before the eyes and the tip 20 mm before the root: 2 x 12.5 / 20 = 1.25.
EYE, ROOT, TIP, LIP, MOUTH, CORNER = (
    (-31, 0, 0),
    (0, 0, 12.5),
    (0, 35, 32.5),
    (0, 60, 12.5),
    (0, 70, 12.5),
    (-25, 70, 0),
)


def head(yaw: float, roll: float = 0.0, mirror: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(30 fiducials, true five points) of the head turned by `yaw` degrees, 2 pixels a millimetre."""

    def draw(point):
        x, y, z = point
        a, b = np.radians(yaw), np.radians(roll)
        x = x * np.cos(a) + z * np.sin(a)
        if mirror:
            x = -x
        return 200 + 2 * np.array([x * np.cos(b) - y * np.sin(b), x * np.sin(b) + y * np.cos(b)])

    def other(point):
        return (-point[0], *point[1:])

    fiducials = np.zeros((30, 2))
    ring = 2 * np.stack([np.cos(np.arange(6) * np.pi / 3), np.sin(np.arange(6) * np.pi / 3)], axis=1)
    fiducials[12:18] = draw(EYE) + ring
    for index, point in ((18, ROOT), (21, TIP), (25, CORNER), (26, LIP), (27, MOUTH), (29, MOUTH)):
        fiducials[index] = draw(point)
    true = [EYE, other(EYE), TIP, CORNER, other(CORNER)]
    if mirror:
        true = [other(EYE), EYE, TIP, other(CORNER), CORNER]
    return fiducials, np.array([draw(point) for point in true])


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("roll", [0, 25, -40])
@pytest.mark.parametrize("yaw", [0, 15, 45, 70])
def test_the_hidden_side_of_a_turned_head_is_found(yaw, roll, mirror):
    fiducials, true = head(yaw, roll, mirror)
    assert_allclose(five_points_from_30(fiducials), true, atol=1e-9)


@pytest.mark.parametrize("points", [np.zeros((29, 2)), np.full((30, 2), np.nan), np.zeros((30, 2))])
def test_broken_fiducials_are_refused(points):
    with pytest.raises(UserError, match="fiducials"):
        five_points_from_30(points)


@pytest.mark.parametrize(("pose", "eye_within", "nose_height_within"), [("frontal", 2, 2), ("profile", 5, 3)])
def test_real_eyes_and_noses_land_on_the_template(data_root, pose, eye_within, nose_height_within):
    """Visible eye and height of the nose tip on the crop, medians of 200 pictures in pixels."""
    data = data_root / "cfp" / "Data" / "Fiducials"
    eyes, noses = [], []
    for person in range(1, 201):
        fiducials = np.loadtxt(data / f"{person:03d}" / pose / "01.txt", delimiter=",")
        five = five_points_from_30(fiducials)
        matrix = similarity(five, TEMPLATE_112)
        off = five @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE_112
        faces_right = fiducials[12:18, 0].mean() < fiducials[18, 0]
        eyes.append(off[0] if faces_right else off[1] * [-1, 1])
        noses.append(off[2, 1])
    assert np.abs(np.median(eyes, axis=0)).max() < eye_within
    assert abs(np.median(noses)) < nose_height_within


def test_average_frontal_crop_matches_the_average_aligned_training_face(data_root):
    """Mean CFP crop and mean detector-aligned crop of other people: dark at the same places."""

    def mean(crops):
        face = np.mean([crop.mean(axis=2) for crop in crops], axis=0)[40:104, 24:88]
        return (face - face.mean()) / face.std()

    cfp = data_root / "cfp" / "Data"
    crops = []
    for person in range(1, 121):
        fiducials = np.loadtxt(cfp / "Fiducials" / f"{person:03d}" / "frontal" / "01.txt", delimiter=",")
        image = read_image(cfp / "Images" / f"{person:03d}" / "frontal" / "01.jpg")
        crops.append(warp(image, similarity(five_points_from_30(fiducials), TEMPLATE_112)))
    celeb = [
        read_image(sorted(d.glob("*.jpg"))[0])
        for d in sorted((data_root / "celeb" / "images").iterdir())[:120]
    ]
    ours, theirs = mean(crops), mean(celeb)
    correlation = {
        (dx, dy): np.corrcoef(
            np.roll(ours, (dy, dx), axis=(0, 1))[8:-8, 8:-8].ravel(), theirs[8:-8, 8:-8].ravel()
        )[0, 1]
        for dx in range(-4, 5)
        for dy in range(-4, 5)
    }
    best = max(correlation, key=correlation.__getitem__)
    assert correlation[best] > 0.9
    assert max(map(abs, best)) <= 2, f"the crops are off by {best} pixels"
