"""`evenface picture`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from evenface.errors import UserError, make_folder, require_range
from evenface.picture import rule
from evenface.picture.digits import cut, digits, sizes
from evenface.picture.figure import Row, animate, draw
from evenface.picture.measure import Figures, figures
from evenface.picture.trainer import Moment, fit
from evenface.progress import bars

HELP = """Train each loss on ten handwritten digits, balanced and long-tailed, with embeddings of two and of
three dimensions, and draw them side by side on the circle and on the sphere.

examples
  evenface picture                        a minute or two on two cores; picture/picture-2d.png and -3d.png
  evenface picture --animate              and the way there, picture-2d.gif and -3d.gif
  evenface picture --losses eqm,arcface --dimensions 2 --imbalance 100 -o elsewhere

picture.json has every figure. The same seed gives the same files on the same machine."""

LOSSES = "softmax,normalized-softmax,sphereface,cosface,arcface,eqm"
_MOMENTS = 24  # of an animation, beside the start


@dataclass(frozen=True)
class PictureOptions:
    """What to draw, and where to."""

    output: Annotated[Path, tyro.conf.arg(aliases=("-o",))] = Path("picture")
    """Folder to write; pictures of an earlier run in it are replaced."""
    dimensions: Literal["2", "3", "both"] = "both"
    """Of the embeddings: 2 is the circle, 3 the sphere."""
    losses: str = LOSSES
    """Names with commas between, a column each; docs/picture.md has the rule that sets them."""
    steps: int = 600
    """Of each training, 128 images a step; 1 or more."""
    seed: int = 0
    """Of the weights and the order of the images, the same for every loss; 0 or more."""
    imbalance: float = 30.0
    """Images of the largest class over those of the smallest in the long tail, 1 to 144."""
    animate: bool = False
    """Write a GIF of the training too."""


def run(words: list[str]) -> int:
    """Train, draw, print and write the figures."""
    options = tyro.cli(PictureOptions, args=words, prog="evenface picture", description=HELP)
    losses = _losses(options)
    spaces = [2, 3] if options.dimensions == "both" else [int(options.dimensions)]
    counts = sizes(options.imbalance)
    if options.output.exists() and not options.output.is_dir():
        raise UserError(f"--output: {options.output} is a file; name a folder")
    make_folder("--output", options.output)
    train, unseen = digits()
    sets = {"balanced": train, "long-tailed": cut(train, counts)}
    steps = options.steps
    shown = sorted({round(i * steps / _MOMENTS) for i in range(_MOMENTS + 1)}) if options.animate else [steps]
    results: list[dict[str, Any]] = []
    console = Console()
    with bars() as bar:
        for dimensions in spaces:
            training = bar(f"{dimensions}-D: training")
            rows: list[Row] = []
            for name, data in sets.items():
                moments: dict[str, list[Moment]] = {}
                for loss in losses:
                    moments[loss] = fit(loss, dimensions, data, unseen, steps, options.seed, shown)
                    training(len(rows) * len(losses) + len(moments), len(sets) * len(losses))
                rows.append(Row(name, data, moments))
            draw(options.output / f"picture-{dimensions}d.png", rows, unseen, dimensions)
            if options.animate:
                path = options.output / f"picture-{dimensions}d.gif"
                animate(path, rows, unseen, dimensions, bar(f"{dimensions}-D: animation"))
            measured = {
                (row.name, loss): figures(moments[-1], row.train, unseen)
                for row in rows
                for loss, moments in row.moments.items()
            }
            console.print(_table(dimensions, losses, measured))
            results += [
                {
                    "dimensions": dimensions,
                    "set": name,
                    "loss": loss,
                    "options": rule.options(loss, dimensions, options.steps),
                    **asdict(one),
                }
                for (name, loss), one in measured.items()
            ]
    written = {
        "steps": options.steps,
        "seed": options.seed,
        "images": {name: data.labels.bincount().tolist() for name, data in sets.items()},
        "results": results,
    }
    (options.output / "picture.json").write_text(json.dumps(written, indent=2) + "\n")
    console.print(f"wrote {options.output}", highlight=False)
    return 0


def _losses(options: PictureOptions) -> list[str]:
    losses = [name.strip() for name in options.losses.split(",")]
    for name in losses:
        rule.options(name, 2, 1)  # refuses a name that it does not know
    if len(set(losses)) < len(losses):
        raise UserError(f"--losses: {options.losses} names a loss twice; name each once")
    require_range("--steps", options.steps, 1, 10**6)
    require_range("--seed", options.seed, 0, 2**31)
    return losses


def _table(dimensions: int, losses: list[str], measured: dict[tuple[str, str], Figures]) -> Table:
    """Balanced / long-tailed in each cell."""
    table = Table(title=f"{dimensions}-D: balanced / long-tailed", box=box.SIMPLE, pad_edge=False)
    table.add_column("loss", no_wrap=True)
    for column in ("spread of centres", "scope", "unseen right"):
        table.add_column(column, justify="right", no_wrap=True)
    for loss in losses:
        pair = [measured[name, loss] for name in ("balanced", "long-tailed")]
        table.add_row(
            loss,
            " / ".join(f"{f.spread:.3f}" for f in pair),
            " / ".join(f"{f.scope:.1f}°" for f in pair),
            " / ".join(f"{100 * f.unseen:.0f} %" for f in pair),
        )
    return table
