"""`evenface demo`."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch.nn.functional as F
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from evenface.backbones.saved import load_model
from evenface.data import AugmentConfig, DataConfig, FaceSet
from evenface.demo import orl
from evenface.demo.report import Outcome, write_report
from evenface.errors import UserError, make_folder
from evenface.evaluation.embed import embed
from evenface.evaluation.people import all_pairs, rank1
from evenface.evaluation.templates import unit_rows
from evenface.evaluation.torch_embedder import TorchEmbedder
from evenface.faces import InputFormat
from evenface.geometry import nearest
from evenface.training import checkpoint
from evenface.training.config import Config, EvaluateConfig, Named, TrainConfig
from evenface.training.loop import train

HELP = """Train EqM, CosFace, ArcFace and normalized softmax on 30 people of the ORL faces, long-tailed
(10 pictures falling to 2), compare them on 10 people whom none of them saw, and write one HTML page.

examples
  evenface demo                     one to four minutes on two cores; writes demo/report.html
  evenface demo -o elsewhere --epochs 40"""

LOSSES = ("eqm", "cosface", "arcface", "normalized-softmax")
_LIST = "orl-train.txt"


@dataclass(frozen=True)
class DemoOptions:
    """Where to, and how long."""

    output: Annotated[Path, tyro.conf.arg(aliases=("-o",))] = Path("demo")
    """Folder to write; an earlier demo in it is replaced."""
    epochs: float = 160.0
    """How often each picture is seen by each loss."""
    seed: int = 0
    """Of the weights, the order and the augmentation, the same for every loss."""


def run(words: list[str]) -> int:
    """Train, compare, write the page."""
    options = tyro.cli(DemoOptions, args=words, prog="evenface demo", description=HELP)
    console = Console()
    began = time.perf_counter()
    everyone = orl.faces()
    known, unseen = orl.split(everyone)
    folder = options.output
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output: {folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _LIST).exists():
        raise UserError(f"--output: {folder} has other files in it; name another folder")
    shutil.rmtree(folder / "runs", ignore_errors=True)
    make_folder("--output", folder)
    lines = [f"{p} {known.identities[k]}" for p, k in zip(known.paths, known.labels, strict=True)]
    (folder / _LIST).write_text("\n".join(lines) + "\n")
    console.print(f"training on {known}, testing on {unseen} whom no loss has seen", highlight=False)

    outcomes = []
    for number, name in enumerate(LOSSES, 1):
        console.rule(f"{number} of {len(LOSSES)}: {name}")
        config = settings(name, folder / _LIST, options.epochs, options.seed)
        run_folder = train(config, folder / "runs" / name, console=console)
        outcomes.append(measure(name, run_folder, unseen))
    seconds = time.perf_counter() - began
    page = write_report(
        folder / "report.html", outcomes, known, unseen, options.epochs, options.seed, seconds
    )
    console.print(_table(outcomes))
    console.print(f"{seconds:.0f} s in all. Open {page}", highlight=False)
    return 0


def settings(loss: str, listing: Path, epochs: float, seed: int) -> Config:
    """The same for every loss, each with its own defaults."""
    return Config(
        data=DataConfig(
            list=listing,
            workers=0,
            in_memory=True,
            augment=AugmentConfig(rotate=8, scale=0.08, shift=0.05, brightness=0.2, contrast=0.2, erase=0.2),
        ),
        input=InputFormat(56, 48, "gray"),
        backbone=Named("tiny", {"embedding_size": 128}),
        loss=Named(loss),
        train=TrainConfig(
            epochs=epochs, batch_size=32, optimizer="adamw", learning_rate=2e-3, weight_decay=0.1, seed=seed
        ),
        evaluate=EvaluateConfig(),
    )


def measure(name: str, folder: Path, unseen: FaceSet) -> Outcome:
    """What a run's model does with the people whom it has not seen, and where its centres lie."""
    net, card = load_model(folder)
    embeddings = embed(TorchEmbedder(net, card.format), unseen.pictures, "sum", names=unseen.paths)
    scores, same = all_pairs(embeddings, unseen.labels)
    tensors, _ = checkpoint.read(checkpoint.of_step(folder, card.notes["step"]))
    apart, _ = nearest(F.normalize(tensors["head.centres"]))
    unit = unit_rows(embeddings)
    return Outcome(
        name=name,
        scores=scores,
        same=same,
        rank1=rank1(embeddings, unseen.labels),
        nearest=apart.numpy(),
        similarity=unit @ unit.T,
        turned=card.notes["centres_turned"],
    )


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(
        title="ten unseen people, 4,950 pairs", box=box.SIMPLE, pad_edge=False, collapse_padding=True
    )
    table.add_column("loss", no_wrap=True)
    columns = (
        "TAR % at\nFAR 1e-2",
        "EER\n%",
        "AUC\n%",
        "rank-1\n%",
        "nearest\ncentre",
        "its\nspread",
        "centres\nturned",
    )
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for o in outcomes:
        table.add_row(
            o.name,
            f"{100 * o.tar.tar:.1f}",
            f"{100 * o.eer:.1f}",
            f"{100 * o.auc:.1f}",
            f"{100 * o.rank1:.1f}",
            f"{o.nearest.mean():.1f}°",
            f"{o.spread:.3f}",
            f"{o.turned:.0f}°",
        )
    return table
