"""`evenface info`: what there is to choose from, and what it costs."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.table import Table

from evenface import backbones, losses
from evenface.backbones.count import count
from evenface.faces import InputFormat
from evenface.losses.regularisers import REGULARISERS

HELP = """The backbones with their parameters and multiply-adds, the losses, and the regularisers.

examples
  evenface info
  evenface info --size 112x96 --colour gray --embedding-size 128"""


@dataclass(frozen=True)
class InfoOptions:
    """What the backbones are counted for."""

    size: Annotated[str, tyro.conf.arg(metavar="HEIGHTxWIDTH")] = "112x112"
    """Of the input, pixels."""
    colour: str = "rgb"
    """rgb, bgr or gray."""
    embedding_size: int = 512
    """D."""


def run(words: list[str]) -> int:
    """Print the tables."""
    options = tyro.cli(InfoOptions, args=words, prog="evenface info", description=HELP)
    height, width = InputFormat.size(options.size)
    form = InputFormat(height, width, options.colour)  # type: ignore[arg-type]  # checked there
    console = Console()

    title = f"backbones at {options.size} {options.colour}, {options.embedding_size} dimensions"
    table = Table("backbone", title=title)
    for column in ("parameters, M", "multiply-adds, M"):
        table.add_column(column, justify="right")
    for name in backbones.names():
        with torch.device("meta"):
            net = backbones.create(
                name,
                embedding_size=options.embedding_size,
                input_size=(height, width),
                channels=form.channels,
            )
        cost = count(net, (height, width), form.channels)
        table.add_row(name, f"{cost.parameters / 1e6:.2f}", f"{cost.multiply_adds / 1e6:,.0f}")
    console.print(table)

    kinds: dict[str, tuple[Mapping[str, type], str]] = {
        "loss": (losses.LOSSES, "losses: their settings by `evenface train --loss NAME --help`"),
        "regulariser": (REGULARISERS, "add to a loss: `evenface train --regularisers.center.weight 0.01`"),
    }
    for kind, (entries, title) in kinds.items():
        table = Table(kind, "what it is", title=title)
        for name, entry in entries.items():
            table.add_row(name, (inspect.getdoc(entry) or "").split("\n")[0])
        console.print(table)
    return 0
