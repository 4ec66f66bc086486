"""An ONNX file as an embedder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.benchmark import Embeddings
from evenface.faces import InputFormat

FORMAT = "evenface.format"
"""In the metadata of an ONNX file: an `InputFormat` as JSON."""


class OnnxEmbedder:
    """Runs an ONNX model on the CPU.

    Args:
        path: the model, with one float32 input (N, C, H, W), N free or 1, and one output (N, D).
        format: the pictures it was trained on; None takes what the file says, if `evenface export` wrote it,
            and otherwise the default.
        threads: CPU threads for one batch, 1 or more.
        output: which output is the embedding, where there are several.

    Raises:
        UserError: onnxruntime is not installed, the file is no model, its input is not `format`'s, or it
            says itself another format.
    """

    def __init__(
        self, path: Path, format: InputFormat | None = None, threads: int = 1, output: str | None = None
    ):
        self.name = path.name
        self._session = _session(path, threads)
        said = _format(self._session, path)
        if said and format and said != format:
            raise UserError(
                f"{path}: says itself that it expects {said}; leave --size, --colour and --pixels out"
            )
        self.format = said or format or InputFormat()
        self._input, self._one_by_one = _input(self._session, path, self.format)
        names = [value.name for value in self._session.get_outputs()]
        if output is None and len(names) > 1:
            raise UserError(f"{path}: has the outputs {', '.join(names)}; say which with output=")
        if output is not None and output not in names:
            raise UserError(f"{path}: has no output {output!r}, only {', '.join(names)}")
        self._output = output or names[0]

    def __call__(self, images: NDArray[np.float32]) -> Embeddings:
        """Raw embeddings (N, D) float32 of float32 images (N, C, H, W).

        Raises:
            UserError: the model cannot run them, such as several at once.
        """
        pieces = np.split(images, len(images)) if self._one_by_one else [images]
        try:
            return np.concatenate(
                [self._session.run([self._output], {self._input: piece})[0] for piece in pieces]
            )
        except Exception as error:  # onnxruntime has no common base class for its errors
            count, why = len(pieces[0]), " ".join(str(error).split())
            if count == 1:
                raise UserError(f"{self.name}: cannot run an image ({why}); export it again") from None
            raise UserError(
                f"{self.name}: cannot run {count} images at once ({why}); "
                "export it with a free batch axis, or use --batch-size 1"
            ) from None


def _session(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise UserError(f"{path}: needs onnxruntime; run: pip install 'evenface[onnx]'") from None
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected an ONNX model")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what it logs as an error it raises too
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base class for its load errors
        raise UserError(f"{path}: not an ONNX model that onnxruntime loads ({error})") from None


def _format(session: Any, path: Path) -> InputFormat | None:
    """What `evenface export` wrote into the file; None where another program made it."""
    words = session.get_modelmeta().custom_metadata_map.get(FORMAT)
    try:
        return InputFormat(**json.loads(words)) if words else None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: its metadata {FORMAT} is broken ({error}); export it again") from None


def _input(session: Any, path: Path, format: InputFormat) -> tuple[str, bool]:
    """The input's name, and whether it takes one image at a time."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{value.name} {value.type}" for value in inputs)
        raise UserError(f"{path}: expected one float32 input of images, found {found}")
    shape = inputs[0].shape  # integers where fixed, names or None where free
    wanted = (format.channels, format.height, format.width)
    matches = len(shape) == 4 and all(
        not isinstance(size, int) or size == want for size, want in zip(shape[1:], wanted, strict=True)
    )
    if not matches:
        raise UserError(
            f"{path}: its input has shape {shape}, but the format {format} gives {['N', *wanted]}; "
            "say with --size and --colour what the model was trained with, or export it for (N, C, H, W)"
        )
    if isinstance(shape[0], int) and shape[0] != 1:
        raise UserError(
            f"{path}: takes exactly {shape[0]} images at a time; export it with a free batch size"
        )
    return inputs[0].name, shape[0] == 1
