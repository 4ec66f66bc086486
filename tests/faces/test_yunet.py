import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evenface.errors import UserError
from evenface.faces import five_points_from_30, read_image
from evenface.faces.detect import DETECTORS
from evenface.faces.detect.yunet import YuNet


@pytest.fixture(scope="module")
def weights(data_root: Path) -> Path:
    found = sorted(data_root.parent.glob("*/face_detection_yunet*.onnx"))
    if not found:
        pytest.skip("no YuNet beside the data")
    return found[-1]


@pytest.fixture(scope="module")
def faces(data_root: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    data = data_root / "cfp" / "Data"
    pictures = sorted((data / "Images").glob("0[0-9]0/frontal/0[1-2].jpg"))
    texts = [data / "Fiducials" / path.relative_to(data / "Images").with_suffix(".txt") for path in pictures]
    return [
        (read_image(picture), five_points_from_30(np.loadtxt(text, delimiter=",")))
        for picture, text in zip(pictures, texts, strict=True)
    ]


def off(points: np.ndarray, true: np.ndarray) -> float:
    """Mean distance as a fraction of the distance between the eyes."""
    return float(np.hypot(*(points - true).T).mean() / np.hypot(*(true[1] - true[0])))


def test_finds_faces_and_their_points(weights: Path, faces: list[tuple[np.ndarray, np.ndarray]]):
    detector = DETECTORS["yunet"](weights=weights)
    assert detector.name == "yunet"
    found = detector([image for image, _ in faces])
    assert len(found) == len(faces) > 10
    errors = []
    for (image, true), detections in zip(faces, found, strict=True):
        assert detections
        best = detections[0]
        errors.append(off(best.points, true))
        assert 0.7 <= best.score <= 1
        left, top, right, bottom = best.box
        assert left < best.points[:, 0].min() < best.points[:, 0].max() < right
        assert top < best.points[:, 1].min() < best.points[:, 1].max() < bottom
        assert right - left < 1.5 * max(image.shape)
        assert [one.score for one in detections] == sorted((one.score for one in detections), reverse=True)
    assert np.median(errors) < 0.1


class Brightest:
    """In place of the network: all points where the picture is bright."""

    def setInputSize(self, size: tuple[int, int]) -> None:
        self.size = size

    def detect(self, picture: np.ndarray) -> tuple[int, np.ndarray]:
        assert picture.shape[1::-1] == self.size
        assert 320 <= max(self.size) <= 640
        weight = picture.mean(axis=2)
        y, x = np.indices(weight.shape)
        centre = [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]
        return 1, np.array([[centre[0] - 10, centre[1] - 5, 20, 10, *centre * 5, 0.9]], np.float32)


@pytest.mark.parametrize("height, width", [(64, 100), (100, 64), (500, 400), (1500, 2000), (37, 1111)])
def test_points_are_the_pictures_own_pixels(height: int, width: int):
    detector = YuNet.__new__(YuNet)
    detector._net = Brightest()
    image = np.zeros((height, width, 3), np.uint8)
    image[10:21, 30:51] = 200  # its middle is pixel 15, 40
    ((face,),) = detector([image])
    np.testing.assert_allclose(face.points, np.tile([40, 15], (5, 1)), atol=0.05)
    longest = max(height, width)
    scale = min(max(longest, 320), 640) / longest
    np.testing.assert_allclose((face.box[2:] - face.box[:2]) * scale, [20, 10], rtol=0.03)
    np.testing.assert_allclose((face.box[2:] + face.box[:2]) / 2, [40, 15], atol=0.05)


def test_colour_order_is_rgb(weights: Path, faces: list[tuple[np.ndarray, np.ndarray]]):
    detector = YuNet(weights, threshold=0.05)
    right = [one[0].score for one in detector([image for image, _ in faces])]
    wrong = [
        one[0].score for one in detector([np.ascontiguousarray(image[:, :, ::-1]) for image, _ in faces])
    ]
    assert np.mean(right) > np.mean(wrong)


def test_the_threshold_is_heeded_and_nothing_is_no_face(
    weights: Path, faces: list[tuple[np.ndarray, np.ndarray]]
):
    blank = np.full((50, 3000, 3), 120, np.uint8)
    assert YuNet(weights)([blank, np.zeros((1, 1, 3), np.uint8)]) == [[], []]
    images = [image for image, _ in faces]
    assert YuNet(weights)([]) == []
    sure, all_of_them = (YuNet(weights, threshold=t)(images) for t in (0.9, 0.1))
    assert sum(map(len, sure)) < sum(map(len, all_of_them))
    assert min(one.score for found in sure for one in found) >= 0.9


def test_wrong_arguments(tmp_path: Path):
    with pytest.raises(UserError, match="there is no such file; fetch"):
        YuNet(tmp_path / "none.onnx")
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"junk" * 100)
    with pytest.raises(UserError, match="not a YuNet network"):
        YuNet(junk)
    with pytest.raises(UserError, match=r"yunet\.threshold"):
        YuNet(junk, threshold=0)


def test_another_network_is_refused(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", kind, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("y", kind, [1, 3, 32, 32])],
    )
    file = tmp_path / "relu.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), file)
    with pytest.raises(UserError, match="not a YuNet network"):
        YuNet(file)


def test_detectors_are_imported_when_they_are_made():
    words = (
        "import sys, evenface.faces.detect as d; "
        "print([m for m in sys.modules if m.endswith(tuple(d.DETECTORS))])"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
