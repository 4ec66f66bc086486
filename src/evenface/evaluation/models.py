"""A model by the words that name it: a run, an ONNX file, a Python function, or stored embeddings."""

import importlib
import inspect
import sys
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

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
    """A digest of a run's weights, of an ONNX file and its weights, or of a function's name and file."""
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
        return Model(words, session, _contents([path, *_weights_beside(path)]))
    if ":" in words and not path.exists():
        return _function(words, options.format())
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


def _weights_beside(path: Path) -> list[Path]:
    """The files that an ONNX file says its weights are in, where they are not its own part."""
    try:
        import onnx
    except ImportError:
        raise UserError(f"{path}: needs onnx; run: pip install 'evenface[onnx]'") from None
    weights = onnx.load(str(path), load_external_data=False).graph.initializer
    said = {one.value for tensor in weights for one in tensor.external_data if one.key == "location"}
    return [path.parent / name for name in sorted(said)]


def _contents(files: list[Path]) -> str:
    """Hexadecimal SHA-256 of the files' contents, whatever they are called."""
    found = sha256()
    for path in files:
        with open(path, "rb") as file:
            found.update(file_digest(file, "sha256").digest())
    return found.hexdigest()


def _function(words: str, format: InputFormat) -> Model:
    module, _, name = words.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found = importlib.import_module(module)
        function, source = getattr(found, name), Path(inspect.getfile(found)).read_bytes()
    except Exception as error:  # whatever the module's own code raises
        raise UserError(f"{words}: not module:function ({type(error).__name__}: {error})") from None
    finally:
        sys.path.remove(here)  # not by its place: the module may have put others before it
    if not callable(function):
        raise UserError(f"{words}: not a function")
    fingerprint = sha256(name.encode() + b"\0" + source).hexdigest()
    return Model(words, FunctionEmbedder(function, format, words), fingerprint)
