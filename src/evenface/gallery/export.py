"""A trained model as an ONNX file, which any runtime reads and this library measures."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from evenface.backbones.saved import load_model
from evenface.errors import UserError
from evenface.evaluation.onnx_embedder import FORMAT, OnnxEmbedder

_MOST = 1e-4  # relative difference of two embeddings that rounding may make


def export(run: Path, file: Path) -> float:
    """Write the model of a run's folder as ONNX: float32 images (N, C, H, W) to embeddings (N, D), N free.

    What it expects of a picture stands in the file's metadata. It is run once, by onnxruntime, beside
    the model itself, before the file has its name.

    Returns:
        The largest difference of the embeddings of the two, over the length of the model's own.

    Raises:
        UserError: the folder has no model, the extra `onnx` is not installed, or the two differ.
    """
    net, card = load_model(run)
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
        from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    except ImportError:
        raise UserError(f"{file}: needs the extra onnx; run: pip install 'evenface[onnx]'") from None
    shape = (card.format.channels, card.format.height, card.format.width)
    images = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    with _quiet():
        program = torch.onnx.export(
            net,
            (images,),
            input_names=["images"],
            output_names=["embeddings"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    ClearMetadataAndDocStringPass()(program.model)  # the exporter's notes: lines of code by their paths here
    program.model.metadata_props[FORMAT] = json.dumps(asdict(card.format))
    with torch.inference_mode():
        own = net(images[:2]).numpy()
    with TemporaryDirectory(prefix="unfinished-", dir=file.parent) as folder:
        unfinished = Path(folder) / file.name
        program.save(str(unfinished))
        there = OnnxEmbedder(unfinished)(images[:2].numpy())
        apart = float((np.linalg.norm(there - own, axis=1) / np.linalg.norm(own, axis=1)).max())
        if not apart < _MOST:
            raise UserError(
                f"{file}: onnxruntime's embeddings differ from the model's by {apart:.1e} of their length; "
                "try another version of onnxscript or onnxruntime"
            )
        # Weights beyond ONNX's 2 GB are a file of their own, named after this one.
        for part in sorted(unfinished.parent.iterdir(), reverse=True):
            part.replace(file.parent / part.name)
    return apart


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on its own inner works and on what else could be installed."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
