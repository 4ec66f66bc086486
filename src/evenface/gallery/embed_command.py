"""`evenface embed`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from evenface.errors import UserError, make_folder
from evenface.evaluation.embed import Flip
from evenface.evaluation.models import FormatOptions, open_model
from evenface.evaluation.store import embed_into, slug
from evenface.gallery.pictures import pictures_below
from evenface.progress import bars

HELP = """The embeddings of all pictures below a folder, as numpy arrays.

examples
  evenface embed runs/mine faces/ -o emb          emb/faces.npy, emb/faces.txt, emb/faces.json
  evenface embed model.onnx faces/ -o emb --flip none

faces.npy is float32 (N, D), raw: divide by the length, and the dot product of two is their cosine. faces.txt
has the N names, faces.json the model and how it was used. Nothing is detected or aligned here. A call that
was stopped goes on, and one that has nothing new to do ends at once; if a picture changed, all are embedded
anew. What is there by another model or flip is not replaced."""


@dataclass(frozen=True)
class EmbedOptions:
    """Which model, which pictures, where to."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The folder of a run, an .onnx file, or module:function."""
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Aligned pictures, at any depth."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder to write to."""
    flip: Flip = "sum"
    """The mirror image's embedding: left out (none), added (sum) or appended (concat)."""
    format: Annotated[FormatOptions, tyro.conf.arg(name="")] = field(default_factory=FormatOptions)
    batch_size: int = 128
    """Pictures at once."""
    workers: int = 2
    """Threads that read pictures."""


def run(words: list[str]) -> int:
    """Embed, write, and say where."""
    options = tyro.cli(EmbedOptions, args=words, prog="evenface embed", description=HELP)
    images = pictures_below(options.folder, "FOLDER")
    name = slug(options.folder.resolve().name) or "pictures"
    model = open_model(options.model, options.format)
    if model.embedder is None:
        raise UserError(f"{options.model}: has embeddings already; give the model itself")
    make_folder("-o", options.output)
    with bars() as bar:
        rows, _ = embed_into(
            options.output,
            name,
            model.embedder,
            images,
            "pictures as they are",
            options.flip,
            model.fingerprint,
            replace=False,
            batch_size=options.batch_size,
            workers=options.workers,
            progress=bar("embedding"),
        )
    file = options.output / f"{name}.npy"
    print(f"{file}: {len(rows):,} embeddings of {rows.shape[1]} values, of the pictures in {name}.txt")
    return 0
