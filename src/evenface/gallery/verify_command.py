"""`evenface verify`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from evenface.errors import UserError
from evenface.evaluation.embed import Flip
from evenface.evaluation.metrics.calibration import l2, squared_l2
from evenface.evaluation.models import open_model
from evenface.faces import read_image
from evenface.gallery.rule import read_rule
from evenface.gallery.verify import cosines

HELP = """Whether pictures show one person: the first is compared with each of the others.

examples
  evenface verify runs/mine a.jpg b.jpg                    at the threshold for FMR 1e-3
  evenface verify runs/mine a.jpg b.jpg --fmr 1e-4
  evenface verify runs/mine probe.jpg one.jpg two.jpg      one answer for each
  evenface verify runs/mine a.jpg b.jpg --threshold 0.35   a cosine of your own

The threshold is that of `evenface calibrate`. Nothing is detected or aligned here: the pictures must be
aligned crops, 112x112 on the five-point template, or prepared just as those of the calibration.

The exit code is 0 if all are the same person as the first, 1 if one is not, 2 if there is no answer."""


@dataclass(frozen=True)
class VerifyOptions:
    """Which model, which pictures, which threshold."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of a run, calibrated by `evenface calibrate`."""
    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PICTURE PICTURE ...")]
    """Two aligned pictures or more."""
    fmr: float | None = None
    """The false match rate, one of those calibrated; by default 1e-3."""
    threshold: float | None = None
    """A cosine, -1 to 1, in place of a calibrated one: as much or more is the same person."""
    flip: Flip | None = None
    """With --threshold, the mirror image's part in an embedding, by default sum; else as calibrated."""


def run(words: list[str]) -> int:
    """Compare and print; 0 if all are the same person as the first, 1 otherwise."""
    options = tyro.cli(VerifyOptions, args=words, prog="evenface verify", description=HELP)
    if len(options.pictures) < 2:
        raise UserError("name two pictures or more: the first is compared with each of the others")
    rule = read_rule(options.run, options.fmr, options.threshold, options.flip)
    model = open_model(str(options.run))
    if model.embedder is None:
        raise UserError(f"{options.run}: stored embeddings compare no pictures; give the folder of a run")
    pictures = [read_image(path) for path in options.pictures]
    for path, image in zip(options.pictures, pictures, strict=True):
        if warning := rule.warning(path, *image.shape[:2]):
            print(f"evenface: {warning}", file=sys.stderr)
    found = cosines(model.embedder, pictures, rule.flip, options.pictures)
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    for path, cosine in zip(options.pictures[1:], found, strict=True):
        console.print(f"{options.pictures[0]}, {path}: {rule.decision(float(cosine))}", markup=False)
        console.print(f"  cosine {cosine:.4f}, squared L2 {squared_l2(cosine):.4f}, L2 {l2(cosine):.4f}")
    t = rule.threshold
    console.print(
        f"threshold: cosine >= {t:.4f}, the same as squared L2 <= {squared_l2(t):.4f} or L2 <= {l2(t):.4f}"
    )
    console.print(rule.words, markup=False)
    return 0 if (found >= t).all() else 1
