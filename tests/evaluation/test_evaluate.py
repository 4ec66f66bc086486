"""The evaluation as a whole: known scores, what is printed, and an ONNX model against a plain script."""

import json
import re
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from evenface.errors import UserError
from evenface.evaluation.embed import FunctionEmbedder
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.onnx_embedder import OnnxEmbedder
from evenface.evaluation.protocols import lfw
from evenface.evaluation.torch_embedder import TorchEmbedder
from evenface.faces import InputFormat

from .conftest import GRAY_16, raw_pixels

GRAY_32 = InputFormat(height=32, width=32, colour="gray", pixels="128")


class Net(nn.Module):
    """A fixed random convolution net: no good at faces, but any change of a pixel changes its output."""

    def __init__(self, channels=1):
        super().__init__()
        torch.manual_seed(7)
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 5, stride=2),
            nn.PReLU(8),
            nn.Conv2d(8, 12, 3, stride=2),
            nn.PReLU(12),
            nn.Flatten(),
        )

    def forward(self, x):
        return self.body(x)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    batch = torch.export.Dim("batch", min=1)
    torch.onnx.export(
        Net().eval(),
        (torch.zeros(2, 1, 32, 32),),
        path,
        dynamo=True,
        dynamic_shapes={"x": {0: batch}},
        verbose=False,
    )
    return path


def test_scores_are_the_cosines_of_the_pairs(lfw_root, raw):
    pairs = lfw(lfw_root)
    (result,) = evaluate(raw, pairs)
    for k in range(len(pairs)):
        a, b = (
            raw_pixels(GRAY_16.normalise(GRAY_16.fit(pairs.images[index])[None]))[0].astype(float)
            for index in (pairs.first[k], pairs.second[k])
        )
        assert result.pairs.scores[k] == pytest.approx(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b), abs=1e-5)
    assert (result.pairs.same == pairs.same).all()


def test_summary_says_what_the_number_rests_on(lfw_root, raw):
    (result,) = evaluate(raw, lfw(lfw_root), "concat")
    first, rests, second, *rest = str(result).split("\n")
    assert first == "LFW accuracy: 100.00 ± 0.00 %"
    assert re.fullmatch(
        r"  3 folds, population sd; 16x16 gray, \(x-127\.5\)/127\.5; concat flip; LFW-a fixed crop; "
        r"set sha256 [0-9a-f]{12}…; pictures [0-9a-f]{12}…",
        rests,
    )
    assert result.headline == f"{first} ({rests.strip()})"
    assert second == "  6 genuine pairs, 6 impostor pairs, 18 pictures"
    assert rest[:2] == ["  AUC: 100.00 %", "  EER: 0.00 %"]
    assert len(rest) == 5
    assert all("not measurable" in line for line in rest[2:])


def test_json_is_plain_and_complete(lfw_root, raw):
    pairs = lfw(lfw_root)
    (result,) = evaluate(raw, pairs)
    report = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert report["counts"] == {"genuine pairs": 6, "impostor pairs": 6, "pictures": 18}
    assert (report["rates"]["accuracy"]["value"], report["folds"]["accuracies"]) == (1.0, [1.0] * 3)
    assert (report["sha256"], report["pictures_sha256"]) == (pairs.sha256, pairs.images.sha256)
    assert [report["rates"][f"tar@far={far}"]["value"] for far in ("1e-1", "1e-2", "1e-3")] == [None] * 3
    assert report["conventions"] == {
        "format": "16x16 gray, (x-127.5)/127.5",
        "flip": "no flip",
        "crop": "LFW-a fixed crop",
        "score": "cosine",
        "folds": "3 folds, population sd",
        "threshold": "best on the other folds, the middle one of equally good cuts",
        "tar_reading": "conservative",
    }
    assert report["model"] == "raw pixels"


def test_the_hardest_pairs_are_named(lfw_root, raw):
    (result,) = evaluate(raw, lfw(lfw_root))
    genuine, impostor = ([pair for pair in result.hardest if pair.same is kind] for kind in (True, False))
    scores, same = result.pairs.scores, result.pairs.same
    assert [pair.score for pair in genuine] == sorted(scores[same])
    assert [pair.score for pair in impostor] == sorted(scores[~same], reverse=True)
    people = {name.split("/")[0] for name in genuine[0].names}
    assert len(people) == 1 and len({name.split("/")[0] for name in impostor[0].names}) == 2
    assert result.histogram.genuine.sum() == result.histogram.impostor.sum() == 6


def test_a_useless_embedding_names_the_picture(lfw_root):
    zero = FunctionEmbedder(lambda images: np.zeros((len(images), 4), np.float32), GRAY_16)
    with pytest.raises(UserError, match=r"Person_A_0001.jpg: .*all zero"):
        evaluate(zero, lfw(lfw_root))


@pytest.mark.parametrize("times, said", [(4.9, False), (5.1, True)])
def test_embeddings_far_longer_than_others_are_counted(lfw_root, times, said):
    """Every third picture's embedding is `times` as long as the others' 1; cosines do not see it."""
    seen = 0

    def embed(images):
        nonlocal seen
        rows = images.reshape(len(images), -1)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        rows[(np.arange(len(rows)) + seen) % 3 == 0] *= times
        seen += len(rows)
        return rows

    plain, long = (
        evaluate(FunctionEmbedder(function, GRAY_16), lfw(lfw_root))[0] for function in (raw_pixels, embed)
    )
    name = "pictures with an embedding 5 times as long as others"
    assert name not in plain.counts
    assert long.counts.get(name) == (-(-plain.counts["pictures"] // 3) if said else None)
    assert (name in str(long)) is said
    np.testing.assert_allclose(long.pairs.scores, plain.pairs.scores, atol=1e-5)


def plain_script(root, path) -> tuple[np.ndarray, np.ndarray]:
    """LFW's scores and accuracies by fold with nothing of evenface: own parsing, crop, threshold search."""
    source = np.float32([(54.7, 65.3), (101.0, 64.6), (79.3, 89.6), (60.3, 110.6), (98.7, 109.4)])
    target = np.float32(
        [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
    )
    unknowns = np.vstack(
        [np.c_[source * [1, -1], np.ones(5), np.zeros(5)], np.c_[source[:, ::-1], np.zeros(5), np.ones(5)]]
    )
    a, b, tx, ty = np.linalg.lstsq(unknowns, np.r_[target[:, 0], target[:, 1]], rcond=None)[0]
    matrix = np.array([[a, -b, tx], [b, a, ty]])

    wanted = []
    with open(root / "pairs.txt") as file:
        next(file)
        for line in file:
            f = line.split()
            other = f[2] if len(f) == 4 else f[0]
            wanted.append((f"{f[0]}/{f[0]}_{int(f[1]):04}", f"{other}/{other}_{int(f[-1]):04}", len(f) == 3))
    names = sorted({name for pair in wanted for name in pair[:2]})
    images = np.empty((len(names), 1, 32, 32), np.float32)
    for i, name in enumerate(names):
        gray = cv2.imread(str(root / "images" / f"{name}.jpg"), cv2.IMREAD_GRAYSCALE)
        crop = cv2.warpAffine(gray, matrix, (112, 112))
        images[i, 0] = (cv2.resize(crop, (32, 32), interpolation=cv2.INTER_AREA) - 127.5) / 128
    session = onnxruntime.InferenceSession(str(path))
    rows = np.concatenate(
        [
            session.run(None, {session.get_inputs()[0].name: part})[0]
            for part in np.split(images, range(500, len(images), 500))
        ]
    )
    vector = dict(zip(names, rows / np.linalg.norm(rows, axis=1, keepdims=True), strict=True))
    score = np.array([float(vector[x] @ vector[y]) for x, y, _ in wanted])
    same = np.array([s for *_, s in wanted])
    accuracies = []
    for k in range(10):
        held = np.zeros(6000, bool)
        held[600 * k : 600 * (k + 1)] = True
        choices = np.append(np.unique(score[~held]), np.inf)
        # Right calls when everything from choices[i] up passes: genuine at or above, impostors below.
        genuine, impostor = np.sort(score[~held & same]), np.sort(score[~held & ~same])
        right = len(genuine) - np.searchsorted(genuine, choices) + np.searchsorted(impostor, choices)
        # The stated rule: the middle one of equals. Here the lowest of them would add 0.1 point.
        best = np.flatnonzero(right == right.max())
        cut = best[len(best) // 2]
        threshold = (choices[cut - 1] + choices[cut]) / 2
        accuracies.append(np.mean((score[held] >= threshold) == same[held]))
    return score, np.array(accuracies)


def test_onnx_on_real_lfw_agrees_with_a_plain_script(data_root, onnx_file):
    (result,) = evaluate(OnnxEmbedder(onnx_file, GRAY_32), lfw(data_root / "lfw"))
    scores, expected = plain_script(data_root / "lfw", onnx_file)
    assert 0.55 < expected.mean() < 0.8
    assert abs(result["accuracy"].value - expected.mean()) <= 0.001
    np.testing.assert_allclose(result.more["folds"]["accuracies"], expected, atol=0.005)
    np.testing.assert_allclose(result.pairs.scores, scores, atol=1e-3)
    notes = [result[f"tar@far={far}"].note for far in ("1e-1", "1e-2", "1e-3")]
    assert notes[:2] == ["", ""] and notes[2].startswith("rests on too few")
    assert re.search(r"TAR at FAR 1e-3: .*\* rests on too few: 3 impostor pairs", result.summary())


def test_onnx_and_torch_give_the_same_scores(lfw_root, onnx_file):
    pairs = lfw(lfw_root)
    (by_onnx,) = evaluate(OnnxEmbedder(onnx_file, GRAY_32, threads=2), pairs, "sum", batch_size=5)
    (by_torch,) = evaluate(TorchEmbedder(Net(), GRAY_32, name="net"), pairs, "sum", batch_size=4)
    np.testing.assert_allclose(by_onnx.pairs.scores, by_torch.pairs.scores, atol=1e-5)
    assert (by_onnx.model, by_torch.model) == ("net.onnx", "net")


def tiny_onnx(path, shape, outputs=("y",), kind=TensorProto.FLOAT):
    """A model that only passes its input on."""
    nodes = [helper.make_node("Flatten", ["x"], [name]) for name in outputs]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        (["n", 3, 112, 112], r"\['n', 3, 112, 112\], but the format 16x16 gray.* gives \['N', 1, 16, 16\]"),
        (["n", 16, 16, 1], r"but the format"),
        (["n", 256], r"but the format .* say with --size and --colour"),
        ([4, 1, 16, 16], r"exactly 4 images at a time"),
    ],
)
def test_an_onnx_input_that_does_not_fit_is_refused(tmp_path, shape, says):
    with pytest.raises(UserError, match=says):
        OnnxEmbedder(tiny_onnx(tmp_path / "m.onnx", shape), GRAY_16)


@pytest.mark.parametrize("shape", [[1, 1, 16, 16], ["n", 1, "h", "w"], [None, 1, 16, 16]])
def test_onnx_models_of_one_image_or_free_size_run(tmp_path, shape):
    images = np.random.default_rng(0).normal(size=(3, 1, 16, 16)).astype(np.float32)
    rows = OnnxEmbedder(tiny_onnx(tmp_path / "m.onnx", shape), GRAY_16)(images)
    assert (rows == images.reshape(3, -1)).all()


def fixed_inside(path, count):
    """A model with a free batch axis whose Reshape takes `count` images only."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [count, 256])
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "fixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [shape],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_an_onnx_model_that_runs_one_image_only_says_how_to_go_on(tmp_path, capfd):
    embedder = OnnxEmbedder(fixed_inside(tmp_path / "m.onnx", 1), GRAY_16)
    images = np.ones((3, 1, 16, 16), np.float32)
    assert embedder(images[:1]).shape == (1, 256)
    with pytest.raises(UserError, match=r"^m.onnx: cannot run 3 images at once \(.*--batch-size 1$"):
        embedder(images)
    with pytest.raises(UserError, match=r"^m.onnx: cannot run an image \(.*\); export it again$"):
        OnnxEmbedder(fixed_inside(tmp_path / "m.onnx", 2), GRAY_16)(images[:1])
    assert capfd.readouterr().err == ""


def test_one_of_several_onnx_outputs_must_be_chosen(tmp_path):
    path = tiny_onnx(tmp_path / "m.onnx", ["n", 1, 16, 16], ("y", "z"))
    with pytest.raises(UserError, match="outputs y, z; say which"):
        OnnxEmbedder(path, GRAY_16)
    with pytest.raises(UserError, match="no output 'w'"):
        OnnxEmbedder(path, GRAY_16, output="w")
    assert OnnxEmbedder(path, GRAY_16, output="z")(np.zeros((2, 1, 16, 16), np.float32)).shape == (2, 256)


def test_what_is_no_float_onnx_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        OnnxEmbedder(tmp_path / "none.onnx", GRAY_16)
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(UserError, match="not an ONNX model"):
        OnnxEmbedder(tmp_path / "bad.onnx", GRAY_16)
    with pytest.raises(UserError, match="one float32 input"):
        OnnxEmbedder(tiny_onnx(tmp_path / "d.onnx", ["n", 1, 16, 16], kind=TensorProto.DOUBLE), GRAY_16)


def test_a_missing_onnxruntime_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'evenface\[onnx\]'"):
        OnnxEmbedder(tmp_path / "m.onnx", GRAY_16)
