"""A model by the words that name it: a run, an ONNX file, a Python function, or stored embeddings."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from evenface.backbones.saved import CARD, WEIGHTS, load_model
from evenface.errors import UserError
from evenface.evaluation.embed import Embedder, FunctionEmbedder
from evenface.evaluation.images import digest
from evenface.evaluation.onnx_embedder import OnnxEmbedder
from evenface.evaluation.protocols.megaface.files import feature_ending
from evenface.evaluation.store import stored_sets
from evenface.evaluation.torch_embedder import TorchEmbedder
from evenface.faces import InputFormat
from evenface.faces.format import Colour, Pixels


@dataclass(frozen=True)
class FormatOptions:
    """What an ONNX file or a function expects of its pictures.

    A run, and an ONNX file that `evenface export` wrote, say it themselves.
    """

    size: str | None = None
    """HEIGHTxWIDTH, by default 112x112."""
    colour: Colour | None = None
    """Order of the channels, by default rgb."""
    pixels: Pixels | None = None
    """The pixels are (x - 127.5) divided by this, by default 127.5."""

    def format(self) -> InputFormat:
        """With the defaults for what is not set; UserError for a size that is none."""
        default = InputFormat()
        height, width = InputFormat.size(self.size) if self.size else (default.height, default.width)
        return InputFormat(height, width, self.colour or default.colour, self.pixels or default.pixels)


@dataclass(frozen=True)
class Model:
    """What is measured. One of `embedder`, `stored` and `features` is set."""

    name: str
    embedder: Embedder | None = None
    fingerprint: str = ""
    """A digest of the weights; a function has its name alone."""
    stored: Path | None = None
    """A folder of stored embeddings (`evenface.evaluation.store`)."""
    features: Path | None = None
    """A folder of MegaFace's feature files (`evenface.evaluation.feature_files`)."""


def open_model(words: str, options: FormatOptions | None = None) -> Model:
    """The model that is named by

    - a folder that `evenface train -o` wrote;
    - an ONNX file, `*.onnx`;
    - `module:function`, the module being looked for in the current folder first, the function from float32
      (N, C, H, W) to float32 (N, D), both numpy;
    - a folder of stored embeddings;
    - a folder of MegaFace's feature files, `facescrub/Name/Name_1.png_r100.bin` and so on.

    Raises:
        UserError: it is none of these, or `options` say what the model itself knows.
    """
    options = options or FormatOptions()
    path = Path(words)
    if path.suffix == ".onnx":
        format = options.format() if options != FormatOptions() else None
        session = OnnxEmbedder(path, format, threads=torch.get_num_threads())
        session.name = words  # two files of one name in two folders are two models
        # Weights may lie in a file beside it; the name is torch's, and the one that is usual elsewhere.
        beside = [path.with_name(path.name + end) for end in (".data", "_data")]
        return Model(words, session, digest([path, *(file for file in beside if file.is_file())]))
    if ":" in words and not path.exists():
        return Model(words, FunctionEmbedder(_function(words), options.format(), words), words)
    given = [f"--{name}" for name, value in vars(options).items() if value is not None]
    if given:
        raise UserError(f"{', '.join(given)}: {words} says itself what it expects; leave this out")
    if (path / CARD).is_file():
        net, card = load_model(path)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return Model(
            words, TorchEmbedder(net, card.format, device=device, name=words), digest([path / WEIGHTS])
        )
    if stored_sets(path):
        return Model(words, stored=path)
    if feature_ending(path) is not None:
        return Model(words, features=path)
    raise UserError(
        f"{words}: not a model; give the folder of a run (it has {CARD}), an .onnx file, module:function, "
        "or a folder of stored embeddings (set.npy with set.txt) or of MegaFace's feature files"
    )


def _function(words: str) -> Callable[..., Any]:
    module, _, name = words.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the module's own code raises
        raise UserError(f"{words}: not module:function ({type(error).__name__}: {error})") from None
    finally:
        sys.path.pop(0)
    if not callable(function):
        raise UserError(f"{words}: not a function")
    return function  # type: ignore[no-any-return]
