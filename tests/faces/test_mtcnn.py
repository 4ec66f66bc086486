"""MTCNN: networks against loops in numpy, geometry against brute force, faces against real marks."""

import hashlib
import pickle
import sys
from importlib.metadata import PackageNotFoundError, distribution
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from evenface.errors import UserError
from evenface.faces import five_points_from_30, read_image
from evenface.faces.detect import mtcnn, mtcnn_nets
from evenface.faces.detect.mtcnn import MTCNN, AreaSums, Candidates, nms, pyramid
from evenface.faces.detect.mtcnn_nets import SHA256, load_published, normalise, read_weights

# In the 160-pixel pictures of LFW-a, the median of the five points.
LFW_A = np.array([[54.7, 65.3], [101.0, 64.6], [79.3, 89.6], [60.3, 110.6], [98.7, 109.4]])


@pytest.fixture(scope="module")
def detector():
    return MTCNN()


@pytest.fixture(scope="module")
def frontals(data_root):
    """(picture, five points) of 60 people."""
    found = []
    for path in sorted((data_root / "cfp" / "Data" / "Images").glob("*/frontal/01.jpg"))[::8][:60]:
        marks = data_root / "cfp" / "Data" / "Fiducials" / path.parts[-3] / "frontal" / f"{path.stem}.txt"
        found.append((read_image(path), five_points_from_30(np.loadtxt(marks, delimiter=","))))
    return found


def error(points, true):
    """Mean distance over the distance of the eyes."""
    return np.linalg.norm(points - true, axis=1).mean() / np.linalg.norm(true[0] - true[1])


# The networks


def keras_convolve(x, kernel, bias):
    size = kernel.shape[0]
    out = np.empty((x.shape[0] - size + 1, x.shape[1] - size + 1, kernel.shape[3]))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = np.tensordot(x[i : i + size, j : j + size], kernel, axes=3) + bias
    return out


def prelu(x, slope):
    return np.where(x > 0, x, np.asarray(slope).reshape(-1) * x)


def pool(x, size):
    """Stride 2; the last window may be cut short by the border, but none begins beyond it."""
    height, width = (-(-(n - size) // 2) + 1 for n in x.shape[:2])
    windows = [[x[2 * i : 2 * i + size, 2 * j : 2 * j + size] for j in range(width)] for i in range(height)]
    return np.array([[window.max(axis=(0, 1)) for window in line] for line in windows])


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def oracle(name, arrays, x):
    """Outputs of a network for one picture (h, w, 3), from the file's arrays, in their order."""
    left = [a.astype(np.float64) for a in arrays]
    take = lambda n: [left.pop(0) for _ in range(n)]  # noqa: E731
    for after in {"pnet": (2, 0, 0), "rnet": (3, 3, 0), "onet": (3, 3, 2, 0)}[name]:
        kernel, bias, slope = take(3)
        x = prelu(keras_convolve(x, kernel, bias), slope)
        x = pool(x, after) if after else x
    if name == "pnet":
        box, face = (x @ kernel[0, 0] + bias for kernel, bias in (take(2), take(2)))
        return [softmax(face)[..., 1], box]
    x = np.array([value for column in x.transpose(1, 0, 2) for cell in column for value in cell])
    matrix, bias, slope = take(3)
    x = prelu(x @ matrix + bias, slope)
    *others, face = (x @ left[i] + left[i + 1] for i in range(0, len(left), 2))
    return [softmax(face)[1], *others]


@pytest.mark.parametrize(
    ("name", "shape"), [("pnet", (15, 20)), ("pnet", (12, 12)), ("rnet", (24, 24)), ("onet", (48, 48))]
)
def test_networks_compute_what_loops_over_the_files_arrays_do(name, shape):
    net = load_published()[list(SHA256).index(name)]
    arrays = read_weights(weight_file(name), SHA256[name])
    pictures = np.random.default_rng(1).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    outputs = net(torch.from_numpy(normalise(pictures)).permute(0, 3, 1, 2))
    for i, picture in enumerate(pictures):
        expected = oracle(name, arrays, (picture.astype(float) - 127.5) / 128)
        assert len(outputs) == len(expected)
        for output, values in zip(outputs, expected, strict=True):
            channels_last = output[i].permute(1, 2, 0) if output[i].dim() == 3 else output[i]
            assert_allclose(channels_last.numpy(), values, atol=2e-5)


def weight_file(name):
    return Path(str(distribution("mtcnn").locate_file(f"mtcnn/assets/weights/{name}.lz4")))


def test_the_package_that_carries_the_weights_is_not_run():
    load_published()
    assert "mtcnn" not in sys.modules


def test_a_changed_weight_file_is_refused_unopened(tmp_path):
    content = bytearray(weight_file("rnet").read_bytes())
    content[1000] ^= 1
    path = tmp_path / "rnet.lz4"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"rnet\.lz4.*not the file of mtcnn 1\.0\.0"):
        read_weights(path, SHA256["rnet"])

    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").write_text, ("",)

    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="not opened"):
        read_weights(path, SHA256["rnet"])
    assert not (tmp_path / "sprung").exists()
    read_weights(path, hashlib.sha256(path.read_bytes()).hexdigest())  # the digest alone holds it back
    assert (tmp_path / "sprung").exists()


def test_a_missing_weight_file_or_package_says_what_to_install(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"onet\.lz4.*pip install"):
        read_weights(tmp_path / "onet.lz4", SHA256["onet"])
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "joblib", None)
        with pytest.raises(UserError, match=r"joblib.*pip install 'evenface\[align\]'"):
            load_published()

    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(mtcnn_nets, "distribution", absent)
    with pytest.raises(UserError, match=r"package mtcnn .*pip install 'evenface\[align\]'"):
        load_published()


# The geometry


def share(a, b, of_smaller):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    one, other = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return both / (min(one, other) if of_smaller else one + other - both)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.booleans(), st.sampled_from([0.2, 0.5, 0.7]))
def test_nms_keeps_what_one_box_after_the_other_does(seed, count, of_smaller, most):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 12, (count, 2))
    box = np.hstack([corner, corner + rng.integers(4, 12, (count, 2))]).astype(float)
    score = rng.integers(0, 6, count) / 5  # with ties
    picture = rng.integers(0, 3, count)
    kept: list[int] = []
    for i in sorted(range(count), key=lambda i: -score[i]):
        if all(picture[i] != picture[j] or share(box[i], box[j], of_smaller) <= most for j in kept):
            kept.append(i)
    number = np.arange(count, dtype=float)  # rides along as the points, to know the boxes again
    found = nms(Candidates(picture, box, score, number.reshape(count, 1, 1)), most, of_smaller)
    assert sorted(found.points.ravel().astype(int)) == sorted(kept)
    for i, box_kept in zip(found.points.ravel().astype(int), found.box, strict=True):
        assert_allclose(box_kept, box[i])


def covered(low, high, count, size):
    """(count, size): how much of each pixel, [j, j + 1], lies in each of `count` parts of [low, high]."""
    edges = np.linspace(low, high, count + 1)
    shares = [[max(0.0, min(b, j + 1) - max(a, j)) for j in range(size)] for a, b in pairwise(edges)]
    return np.array(shares)


def test_crops_are_means_over_areas_and_zero_beyond_the_border():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((30, 21), (1, 1), (17, 64))]
    boxes = [(2, 3, 14, 15), (-4.3, 8.6, 25.9, 38.8), (0, 0, 1, 1), (-3, -3, 5, 5), (20.2, 4.1, 22.5, 6.4)]
    boxes += [(70, 70, 80, 80), (-40, -9, -20, 11)]
    picture = np.array([0, 0, 1, 1, 2, 2, 0])
    crops = AreaSums(images, torch.device("cpu")).crops(picture, np.array(boxes, float), 8)
    assert crops.shape == (7, 3, 8, 8) and crops.dtype == torch.float32
    for crop, i, (left, top, right, bottom) in zip(crops, picture, boxes, strict=True):
        image = (images[i].astype(float) - 127.5) / 128
        rows = covered(top, bottom, 8, image.shape[0]) * 8 / (bottom - top)
        columns = covered(left, right, 8, image.shape[1]) * 8 / (right - left)
        assert_allclose(crop.numpy(), np.einsum("yi,ijc,xj->cyx", rows, image, columns), atol=1e-6)


def test_pyramid_goes_from_the_smallest_face_to_the_whole_picture():
    assert list(pyramid(100, 160, 40, 0.5)) == [(30, 48), (15, 24)]
    assert list(pyramid(40, 4000, 40, 0.5)) == [(12, 1200)]
    assert list(pyramid(39, 4000, 40, 0.5)) == []


# The detector


@pytest.mark.parametrize("size", [(1, 1), (11, 500), (39, 300), (40, 40), (57, 43)])
def test_pictures_without_a_face_have_none(detector, size):
    rng = np.random.default_rng(0)
    pictures = [np.full((*size, 3), value, np.uint8) for value in (0, 127, 255)]
    assert detector([*pictures, rng.integers(0, 256, (*size, 3), dtype=np.uint8)]) == [[], [], [], []]


def test_no_pictures_is_no_mistake(detector):
    assert detector([]) == []


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((50, 50), np.uint8),
        np.zeros((50, 50, 4), np.uint8),
        np.zeros((50, 50, 3), np.float32),
        np.zeros((0, 50, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused_by_its_number(detector, picture):
    with pytest.raises(UserError, match=r"picture 1 is .*uint8 RGB"):
        detector([np.zeros((50, 50, 3), np.uint8), picture])


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ({"smallest": 11}, "smallest"),
        ({"smallest": float("nan")}, "smallest"),
        ({"factor": 1.0}, "factor"),
        ({"thresholds": (0.6, 0.7)}, "thresholds"),
        ({"thresholds": (0.6, 0.7, 1.5)}, "thresholds"),
    ],
)
def test_options_out_of_range_are_refused_by_name(option, name):
    with pytest.raises(UserError, match=f"mtcnn.{name}"):
        MTCNN(**option)


def test_frontal_faces_are_found_where_they_are_marked(detector, frontals):
    faces = detector([picture for picture, _ in frontals])
    errors = [error(found[0].points, true) for found, (_, true) in zip(faces, frontals, strict=True) if found]
    assert len(errors) >= 59
    assert np.mean(errors) < 0.07 and np.max(errors) < 0.2
    for found in faces:
        for face in found:
            assert face.box.shape == (4,) and face.points.shape == (5, 2) and 0.7 < face.score <= 1
            assert (face.box[:2] < face.points).all() and (face.points < face.box[2:]).all()
            assert face.points[0, 0] < face.points[1, 0] and face.points[3, 0] < face.points[4, 0]


def test_gray_aligned_faces_are_found_where_they_are_aligned_to(detector, data_root):
    paths = sorted((data_root / "lfw" / "images").glob("*/*_0001.jpg"))[::57][:100]
    faces = detector([read_image(path) for path in paths])
    points = np.array([found[0].points for found in faces if found])
    assert len(points) >= 99
    assert error(np.median(points, axis=0), LFW_A) < 0.04
    assert np.mean([error(five, LFW_A) for five in points]) < 0.12


def test_a_picture_gets_what_it_gets_alone(detector, frontals, monkeypatch):
    pictures = [picture for picture, _ in frontals[:12]]
    pictures += [cv2.resize(picture, (160, 160)) for picture in pictures[:6]]  # of one size: scaled together
    pictures.insert(3, np.zeros((5, 5, 3), np.uint8))
    monkeypatch.setattr(mtcnn, "_PASS", 2**16)  # so that a batch takes several passes
    together = detector(pictures)
    for picture, faces in zip(pictures, together, strict=True):
        (alone,) = detector([picture])
        assert len(faces) == len(alone)
        for one, other in zip(faces, alone, strict=True):
            assert_allclose(one.points, other.points, atol=1e-4)
            assert_allclose(one.box, other.box, atol=1e-4)
            assert abs(one.score - other.score) < 1e-5


def test_a_mirrored_face_has_mirrored_points_with_left_and_right_in_place(detector, frontals):
    pictures = [picture for picture, _ in frontals[:20]]
    differences = []
    for picture, faces, mirrored in zip(
        pictures, detector(pictures), detector([p[:, ::-1] for p in pictures]), strict=True
    ):
        expected = faces[0].points[[1, 0, 2, 4, 3]].copy()
        expected[:, 0] = picture.shape[1] - 1 - expected[:, 0]
        differences.append((mirrored[0].points - expected) / (faces[0].box[2] - faces[0].box[0]))
    assert np.abs(np.median(differences, axis=0)).max() < 0.01
    assert np.abs(differences).max() < 0.1


@pytest.mark.parametrize("times", [2.0, 4.0])
def test_points_scale_with_the_picture(frontals, times):
    pictures = [picture for picture, _ in frontals[:8]]
    scaled = [
        cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC) for picture in pictures
    ]
    differences = []
    for one, other, a, b in zip(
        MTCNN()(pictures), MTCNN(smallest=40 * times)(scaled), pictures, scaled, strict=True
    ):
        ratio = np.divide(b.shape[1::-1], a.shape[1::-1])
        differences.append((other[0].points + 0.5) / ratio - 0.5 - one[0].points)
    assert np.abs(np.median(differences, axis=(0, 1))).max() < 0.15  # a slip of the pixels' centres shows
    assert np.abs(differences).max() < 8


def test_several_faces_of_several_sizes_are_all_found(detector, frontals):
    sheet = np.full((400, 700, 3), 90, np.uint8)
    expected = []
    for k, (picture, true) in enumerate(frontals[:4]):
        size = (100, 200, 140, 170)[k]
        left, top = 20 + 165 * k, 30 + 40 * k
        face = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        sheet[top : top + size, left : left + size] = face
        ratio = size / np.array(picture.shape[1::-1])
        expected.append((true + 0.5) * ratio - 0.5 + [left, top])
    (faces,) = detector([sheet])
    assert len(faces) == 4
    scores = [face.score for face in faces]
    assert scores == sorted(scores, reverse=True)
    for true in expected:
        assert min(error(face.points, true) for face in faces) < 0.15
    assert MTCNN(smallest=401)([sheet]) == [[]]
