"""`evenface sizes`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from evenface.data import DataConfig, FaceSet, load
from evenface.data.samplers import shares
from evenface.errors import UserError, require_writable
from evenface.geometry import spread
from evenface.sizes.plot import write_plot

HELP = """How many images the people of a set have, and how often each sampler of training draws them.

examples
  evenface sizes my-faces/                            any form that training reads
  evenface sizes faces/train.rec --plot sizes.png     and as a picture
  evenface sizes my-faces/ --imbalance 50             what a cut for an experiment would leave
  evenface train my-faces/ --data.sampler square-root -o runs/mine"""


@dataclass(frozen=True)
class SizesOptions:
    """Which set, what is left out of it, and where the picture goes. The settings are training's `--data`."""

    root: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of people, or a set in another form."""
    list: Path | None = None
    """Text file with a line `path label` for each image."""
    exclude: tuple[Path, ...] = ()
    """Files of people or images to leave out."""
    min_images: int = 1
    """People with fewer images are left out."""
    imbalance: float = 0.0
    """Cut the set to this imbalance; 0 leaves it as it is."""
    images: int = 0
    """Of such a cut, the images in all."""
    effective_images: float = DataConfig.effective_images
    """Of the effective sampler."""
    seed: int = 0
    """Of such a cut."""
    plot: Path | None = None
    """Write the picture, a .png, .pdf or .svg."""


def run(words: list[str]) -> int:
    """Read, print, draw."""
    options = tyro.cli(SizesOptions, args=words, prog="evenface sizes [DIR]", description=HELP)
    if options.plot:
        require_writable("--plot", options.plot)
        if options.plot.suffix not in (".png", ".pdf", ".svg"):
            raise UserError(f"--plot: {options.plot} ends in none of .png, .pdf, .svg")
    config = DataConfig(
        root=options.root,
        list=options.list,
        exclude=options.exclude,
        min_images=options.min_images,
        imbalance=options.imbalance,
        images=options.images,
        effective_images=options.effective_images,
    )
    faces, _, notes = load(config, options.seed)
    counts = np.sort(faces.counts())[::-1]
    console = Console()
    for note in notes:
        console.print(note, highlight=False, markup=False)
    console.print(f"{faces}\n{summary(counts)}", highlight=False, markup=False)
    console.print(_bins(counts), _draws(counts, options.effective_images))
    console.print(_names(faces), highlight=False, markup=False)
    if options.plot:
        write_plot(options.plot, counts, options.effective_images)
        console.print(f"picture: {options.plot}", highlight=False, markup=False)
    return 0


def summary(counts: np.ndarray) -> str:
    """The long tail in a sentence; `counts` are the images of each person, falling."""
    head = -(-len(counts) // 10)
    held = counts[:head].sum() / counts.sum()
    return (
        f"imbalance {counts[0] / counts[-1]:.4g} (most to fewest); Gini "
        f"{spread(torch.from_numpy(counts.copy())).gini:.3f}; mean {counts.mean():.1f}, median "
        f"{np.median(counts):g}; the tenth of the people with the most images have {held:.0%} of them"
    )


def _bins(counts: np.ndarray) -> Table:
    table = Table("images a person", "people", "images", "", box=box.SIMPLE)
    table.columns[1].justify = table.columns[2].justify = "right"
    place = np.floor(np.log2(counts)).astype(int)
    people = np.bincount(place)
    for power in range(place.min(), len(people)):
        low, high = 2**power, 2 ** (power + 1) - 1
        images = counts[place == power].sum()
        bar = "█" * round(40 * people[power] / people.max())
        table.add_row(
            str(low) if low == high else f"{low} to {high}", f"{people[power]:,}", f"{images:,}", bar
        )
    return table


def _draws(counts: np.ndarray, effective_images: float) -> Table:
    """Of the people with the most, a middling number and the fewest images, how often each is drawn."""
    table = Table(title="draws in an epoch of a person, and of each of their images", box=box.SIMPLE)
    table.add_column("sampler")
    places = {"the most": 0, "the median": len(counts) // 2, "the fewest": len(counts) - 1}
    for words in places:
        table.add_column(f"{words} images", justify="right")
    for sampler, share in shares(counts, effective_images).items():
        draws = share * counts.sum()
        cells = [f"{draws[k]:,.1f} = {counts[k]:,} x {draws[k] / counts[k]:.2f}" for k in places.values()]
        table.add_row(sampler, *cells)
    return table


def _names(faces: FaceSet) -> str:
    counts = faces.counts()
    order = np.argsort(-counts, kind="stable")
    most = ", ".join(f"{faces.identities[k]} ({counts[k]:,})" for k in order[:5])
    return f"the most images: {most}"
