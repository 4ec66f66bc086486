"""What a model is known by: what computes its embeddings, not where it lies."""

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evenface.errors import UserError
from evenface.evaluation.models import FormatOptions, open_model

SMALL = FormatOptions("16x16", "gray")


def write_onnx(path: Path, weights: str | None, seed: int = 0) -> Path:
    """A model of one matrix, which lies in a file of that name, or in the model's own."""
    path.parent.mkdir(exist_ok=True)
    matrix = np.random.default_rng(seed).normal(size=(256, 8)).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["images"], ["x"]), helper.make_node("MatMul", ["x", "w"], ["e"])]
    ends = (("images", ["N", 1, 16, 16]), ("e", ["N", 8]))
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends)
    graph = helper.make_graph(nodes, "g", [given], [made], [numpy_helper.from_array(matrix, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=weights is not None, location=weights, size_threshold=0)
    return path


@pytest.mark.parametrize("weights", [None, "m.onnx.data", "weights.bin"])
def test_an_onnx_file_is_known_by_its_weights_wherever_they_are(tmp_path, weights):
    paths = [write_onnx(tmp_path / "m.onnx", weights), write_onnx(tmp_path / "b/other.onnx", weights)]
    (tmp_path / "b/other.onnx.data").write_bytes(b"of nothing that is used")
    first, same = (open_model(str(path), SMALL) for path in paths)
    assert first.fingerprint == same.fingerprint
    images = np.random.default_rng(1).normal(size=(3, 1, 16, 16)).astype(np.float32)
    assert (first.embedder(images) == same.embedder(images)).all() and same.name == str(paths[1])
    again = open_model(str(write_onnx(tmp_path / "m.onnx", weights, seed=1)), SMALL)
    assert again.fingerprint != first.fingerprint and (again.embedder(images) != first.embedder(images)).any()


def test_weights_that_are_missing_are_told(tmp_path):
    path = write_onnx(tmp_path / "m.onnx", "weights.bin")
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(
        UserError, match=r"m\.onnx: not an ONNX model that onnxruntime loads \(.*weights\.bin"
    ):
        open_model(str(path), SMALL)


def write_module(path: Path, factor: int, before: str = "") -> Path:
    path.write_text(
        f"{before}\ndef embed(x):\n    return {factor} * x.reshape(len(x), -1)\n\nother = embed\n"
    )
    sys.modules.pop(path.stem, None)
    return path


def test_a_function_is_known_by_its_name_and_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_module(tmp_path / "known_by.py", 1)
    first = open_model("known_by:embed").fingerprint
    assert open_model("known_by:other").fingerprint != first
    shutil.copy("known_by.py", "known_also_by.py")
    assert open_model("known_also_by:embed").fingerprint == first
    write_module(tmp_path / "known_by.py", 22)
    model = open_model("known_by:embed")
    assert model.fingerprint != first and model.embedder(np.ones((1, 1, 1, 1), np.float32)) == 22


def test_the_search_path_is_as_it_was_but_for_what_a_module_adds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = sys.path.copy()
    write_module(tmp_path / "adds.py", 1, "import sys; sys.path.insert(0, '/their/own')")
    open_model("adds:embed")
    assert sys.path == ["/their/own", *before]
    with pytest.raises(UserError, match="not module:function"):
        open_model("adds:nothing")
    assert sys.path == ["/their/own", *before]
    with pytest.raises(UserError, match=r"sys:exit: not module:function .*built-in"):
        open_model("sys:exit")
