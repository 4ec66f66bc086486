"""`evenface evaluate`."""

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import torch
import tyro
from rich.console import Console
from rich.progress import Progress, TaskID

from evenface.backbones.saved import load_model
from evenface.errors import UserError
from evenface.evaluation.embed import Embedder, Flip, FunctionEmbedder
from evenface.evaluation.metrics import Reading
from evenface.evaluation.onnx_embedder import OnnxEmbedder
from evenface.evaluation.protocols import cfp, lfw
from evenface.evaluation.protocols.cfp import Crop as CfpCrop
from evenface.evaluation.protocols.cfp import Kind as CfpKind
from evenface.evaluation.protocols.lfw import Crop as LfwCrop
from evenface.evaluation.torch_embedder import TorchEmbedder
from evenface.evaluation.verify import evaluate_pairs
from evenface.faces import InputFormat
from evenface.faces.format import Colour, Pixels

HELP = """Measure a model on LFW View 2 and on CFP-FF and CFP-FP.

examples
  evenface evaluate runs/mine --lfw LFW --cfp CFP
  evenface evaluate --onnx model.onnx --size 112x96 --flip concat --pixels 128 --lfw LFW
  evenface evaluate --python mymodel:embed --size 112x112 --colour bgr --cfp CFP --json result.json

LFW is a folder with pairs.txt and images/ (LFW-a, 160x160); CFP one with Data/ and Protocol/.
A Python function takes float32 (N, channels, height, width) and returns float32 (N, D), both numpy arrays."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Which model, on which sets, read how."""

    run: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of a trained model, as `evenface train -o` writes it."""
    onnx: Path | None = None
    """An ONNX file with one image input, in place of a run."""
    python: str | None = None
    """module:function, in place of a run; the module is looked for in the current folder first."""
    lfw: Path | None = None
    """Folder of LFW."""
    cfp: Path | None = None
    """Folder of CFP."""
    size: Annotated[str, tyro.conf.arg(metavar="HEIGHTxWIDTH")] = "112x112"
    """Input of the ONNX file or function; a run's own card says it."""
    colour: Colour = "rgb"
    """Order of its channels; a run's own card says it."""
    pixels: Pixels = "127.5"
    """Its pixels are (x - 127.5) divided by this; a run's own card says it."""
    flip: Flip = "sum"
    """The mirror image's embedding: left out (none), added (sum) or appended (concat)."""
    lfw_crop: LfwCrop = "lfw-a"
    """lfw-a: one fixed transform of the 160x160 LFW-a pictures; template: already 112x112 on the template."""
    cfp_crop: CfpCrop = "fiducials"
    """fiducials: aligned by CFP's own points; template: already 112x112 on the template."""
    reading: Reading = "conservative"
    """TAR at FAR: largest TAR whose FAR does not exceed the target, at the nearest FAR, or interpolated."""
    batch_size: int = 128
    """Images at once."""
    json: Path | None = None
    """Write everything measured here too."""


def run(words: list[str]) -> int:
    """Measure, print, and write the JSON if asked for."""
    options = tyro.cli(EvaluateOptions, args=words, prog="evenface evaluate", description=HELP)
    embedder = _embedder(options)
    if not (options.lfw or options.cfp):
        raise UserError("--lfw, --cfp: name at least one set to measure on, for example --lfw DIR")
    sets = [lfw(options.lfw, options.lfw_crop)] if options.lfw else []
    if options.cfp:
        sets += [cfp(options.cfp, kind, options.cfp_crop) for kind in get_args(CfpKind)]
    results = []
    for pairs in sets:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(f"{pairs.name}: embedding")
            show = partial(_show, progress, task)
            result = evaluate_pairs(
                embedder,
                pairs,
                options.flip,
                options.reading,
                batch_size=options.batch_size,
                progress=show,
            )
        print(result, flush=True)
        results.append(result.to_json())
    if options.json:
        options.json.write_text(json.dumps({"model": embedder.name, "results": results}, indent=2) + "\n")
    return 0


def _show(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


def _embedder(options: EvaluateOptions) -> Embedder:
    given = [x for x in (options.run, options.onnx, options.python) if x is not None]
    if len(given) != 1:
        raise UserError("name one model: the folder of a run, --onnx FILE, or --python module:function")
    form = InputFormat(*InputFormat.size(options.size), options.colour, options.pixels)
    if options.onnx:
        return OnnxEmbedder(options.onnx, form, threads=torch.get_num_threads())
    if options.python:
        return FunctionEmbedder(_function(options.python), form, options.python)
    assert options.run is not None
    default = EvaluateOptions()
    for name in ("size", "colour", "pixels"):
        if getattr(options, name) != getattr(default, name):
            raise UserError(f"--{name}: {options.run} says in its card what it expects; leave this out")
    net, card = load_model(options.run)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return TorchEmbedder(net, card.format, device=device, name=str(options.run))


def _function(words: str) -> Callable[..., Any]:
    module, colon, name = words.partition(":")
    if not colon:
        raise UserError(f"--python: {words!r} is not module:function, for example mymodel:embed")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"--python: {error}") from None
    finally:
        sys.path.pop(0)
    if not callable(function):
        raise UserError(f"--python: {words} is not a function")
    return function  # type: ignore[no-any-return]
