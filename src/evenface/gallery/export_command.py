"""`evenface export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from evenface.backbones.saved import load_card
from evenface.errors import UserError, require_writable
from evenface.gallery.export import export

HELP = """A trained model as an ONNX file, for runtimes without PyTorch; needs the extra onnx.

examples
  evenface export runs/mine model.onnx
  evenface evaluate model.onnx --lfw LFW        the same numbers

One input, images: float32 (N, C, H, W), N free. One output, embeddings: float32 (N, D), not normalised. What
the pixels must be like stands in the file's metadata, which `evenface evaluate` reads, and is printed.
The file is run once beside the model, and is refused if their embeddings differ."""


@dataclass(frozen=True)
class ExportOptions:
    """Which model, which file."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of a run."""
    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.onnx")]
    """The file to write; one that is there is replaced."""


def run(words: list[str]) -> int:
    """Write, and say what was written."""
    options = tyro.cli(ExportOptions, args=words, prog="evenface export", description=HELP)
    card = load_card(options.run)
    if options.file.suffix != ".onnx":
        raise UserError(f"FILE: {options.file} does not end in .onnx, by which it is known as a model")
    require_writable("FILE", options.file)
    with Console(stderr=True).status("exporting"):
        apart = export(options.run, options.file)
    size, form, width = options.file.stat().st_size / 2**20, card.format, card.options["embedding_size"]
    print(
        f"{options.file}: {card.backbone}, {size:.1f} MiB; float32 (N, {form.channels}, {form.height}, "
        f"{form.width}) to embeddings float32 (N, {width})\n"
        f"  images: {form}; embeddings are not normalised\n"
        f"  run by onnxruntime, embeddings differ from PyTorch's by {apart:.1e} of their length"
    )
    return 0
