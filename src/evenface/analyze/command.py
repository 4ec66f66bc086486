"""`evenface analyze`."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from evenface.analyze.figures import COLUMNS, Geometry, equal_count, geometry, summary
from evenface.analyze.page import page
from evenface.analyze.run import Trained, read_run
from evenface.backbones.saved import CARD
from evenface.errors import UserError, make_folder
from evenface.progress import bars

HELP = """How evenly the people of a training set lie: scopes, angles between centres, margins.

examples
  evenface analyze runs/mine
  evenface analyze runs/mine --root my-faces/ -o geometry/       the pictures have moved

Writes geometry.html with the plots, geometry.json, and classes.csv with a line for each person, by the
centres that the loss learned and by the people's mean embeddings. docs/geometry.md says what they mean."""


@dataclass(frozen=True)
class AnalyzeOptions:
    """Which run, and where its analysis goes."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a run, as `evenface train -o` writes it."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder of the analysis; by default `geometry` in the run's folder."""
    root: Path | None = None
    """Where the training pictures are now, in place of the recipe's data.root."""
    equal: int = 0
    """Images at which scopes are judged alike, 2 or more; 0 takes as many as nine people of ten have."""


def run(words: list[str]) -> int:
    """Analyse, write, print."""
    options = tyro.cli(AnalyzeOptions, args=words, prog="evenface analyze", description=HELP)
    if options.equal and options.equal < 2:
        raise UserError(f"--equal: {options.equal} is too small; use 2 or more, or 0")
    folder = options.output or options.run / "geometry"
    if (options.run / CARD).is_file():
        make_folder("-o", folder)
    with bars() as bar:
        trained = read_run(options.run, options.root, bar("embedding"))
    counts = torch.bincount(trained.labels)
    equal = options.equal or equal_count(counts)
    if options.equal > counts.max():
        raise UserError(
            f"--equal: {options.equal} is more images than anybody has; the most are {counts.max()}"
        )
    kinds = ["means"] if trained.centres is None else ["learned", "means"]
    found = []
    for kind in kinds:
        one = geometry(trained, kind, equal)
        found.append((one, summary(trained, one, equal)))
    (folder / "geometry.html").write_text(page(str(options.run), trained, found), encoding="utf-8")
    numbers = {"run": str(options.run), "loss": trained.loss, "step": trained.step}
    text = json.dumps({**numbers, "geometry": [_finite(plain) for _, plain in found]}, indent=2)
    (folder / "geometry.json").write_text(text + "\n")
    _write_classes(folder / "classes.csv", trained, [one for one, _ in found])
    console = Console()
    for _, plain in found:
        console.print(_table(plain))
    if trained.centres is None:
        console.print(f"{trained.loss} has no class centres: the people's mean embeddings stand for them")
    console.print(f"{folder / 'geometry.html'}", highlight=False)
    return 0


def _table(numbers: dict[str, Any]) -> Table:
    title = {"learned": "by the learned centres", "means": "by the mean embeddings"}[numbers["centres"]]
    table = Table(title=f"{title}, degrees", title_justify="left", box=box.SIMPLE)
    for name in ("", "mean", "sd", "sd / mean", "Gini", "head", "tail"):
        table.add_column(name, justify="right" if name else "left", no_wrap=not name)
    for name, row in numbers["columns"].items():
        ratios = [f"{row[key]:.4f}" if row["mean"] > 0 else "-" for key in ("cv", "gini")]
        ends = [f"{row[key]:.2f}" if key in row else "-" for key in ("head", "tail")]
        plain = [f"{row[key]:.2f}" for key in ("mean", "sd")]
        table.add_row(name, *plain, *ratios, *ends)
    table.caption = (
        f"evenest possible nearest {numbers['evenest_nearest']:.2f}; energy {numbers['energy']:.4f}, "
        f"of random directions {numbers['energy_of_random']:.4f}; "
        f"scope_equal: largest of {numbers['images_equal']} images"
    )
    return table


def _finite(value: Any) -> Any:
    """NaN and infinity as null: JSON has neither."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_classes(file: Path, trained: Trained, found: list[Geometry]) -> None:
    with open(file, "w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["centres", "identity", "images", *COLUMNS, "nearest_identity"])
        for one in found:
            for k, identity in enumerate(trained.identities):
                values = [round(float(one.columns[name][k]), 4) for name in COLUMNS]
                rival = trained.identities[int(one.rival[k])]
                writer.writerow([one.centres, identity, int(one.own.counts[k]), *values, rival])
