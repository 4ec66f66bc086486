"""`evenface calibrate`."""

import json
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Annotated

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from evenface.backbones.saved import CARD
from evenface.errors import UserError, require_writable
from evenface.evaluation.embed import Flip
from evenface.evaluation.metrics.calibration import Interval, l2, squared_l2
from evenface.evaluation.models import FormatOptions, open_model
from evenface.evaluation.protocols.cfp import Crop as CfpCrop
from evenface.evaluation.protocols.lfw import Crop as LfwCrop
from evenface.evaluation.results import power
from evenface.gallery.calibrate import FMRS, calibrate
from evenface.gallery.calibration import Calibration, write_calibration
from evenface.gallery.sets import LabelledSet, Pairs, cfp_set, lfw_set, people_set
from evenface.progress import bars

HELP = """Which threshold to use: for each false match rate (FMR) the cosine that a model reaches it at.

examples
  evenface calibrate runs/mine --people strangers/                 strangers/<person>/<image>, all pairs
  evenface calibrate runs/mine --lfw LFW                           all pairs of LFW's pictures
  evenface calibrate runs/mine --lfw LFW --pairs official          the 6,000 of View 2 alone
  evenface calibrate runs/mine --cfp CFP --fmr 1e-3 1e-6
  evenface calibrate model.onnx --lfw LFW --flip none --json thresholds.json
  evenface verify runs/mine a.jpg b.jpg                            uses what was found

The pictures of --people and --list must be aligned, as for training, and show people whom the model has
not seen. A run keeps the thresholds in its card.json, in place of older ones. docs/calibrating.md says what
they rest on."""


@dataclass(frozen=True)
class CalibrateOptions:
    """Which model, on whom, for which false match rates."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The folder of a run, an .onnx file, or module:function."""
    people: Path | None = None
    """Folder of people, DIR/<person>/<image>; beside --list, the folder that its paths start from."""
    list: Path | None = None
    """Text file with a line `path label` for each picture; paths start from its own folder, or --people."""
    lfw: Path | None = None
    """Folder of LFW: pairs.txt and images/ (the aligned LFW-a, 160x160)."""
    lfw_crop: LfwCrop = "lfw-a"
    """lfw-a: one fixed transform of the 160x160 LFW-a pictures; template: already 112x112 on the template."""
    cfp: Path | None = None
    """Folder of CFP: Data/ and Protocol/."""
    cfp_crop: CfpCrop = "fiducials"
    """fiducials: aligned by CFP's own points; template: already 112x112 on the template."""
    pairs: Pairs = "all"
    """Of LFW and CFP all pairs of all pictures, or those of the protocol (CFP: FF and FP together)."""
    fmr: tuple[float, ...] = FMRS
    """False match rates wanted."""
    flip: Flip = "sum"
    """The mirror image's embedding: left out (none), added (sum) or appended (concat)."""
    format: Annotated[FormatOptions, tyro.conf.arg(name="")] = field(default_factory=FormatOptions)
    batch_size: int = 128
    """Pictures at once."""
    workers: int = 2
    """Threads that read pictures."""
    json: Path | None = None
    """Write what was found here too."""


def run(words: list[str]) -> int:
    """Calibrate, print, and write the card or the JSON."""
    options = tyro.cli(CalibrateOptions, args=words, prog="evenface calibrate", description=HELP)
    card = Path(options.model) / CARD
    for name, file in (("--json", options.json), ("MODEL", card if card.is_file() else None)):
        if file is not None:
            require_writable(name, file)
    of = _set(options)
    model = open_model(options.model, options.format)
    if model.embedder is None:
        raise UserError(f"{options.model}: stored embeddings are not calibrated; give the model itself")
    with bars() as bar:
        embedding = bar(f"{of.name}: embedding")

        def shown(done: int, total: int) -> None:
            embedding(done, total)
            if done == total:  # with many pictures what follows takes seconds too
                bar("thresholds and intervals")

        found = calibrate(
            model.embedder,
            model.fingerprint,
            of,
            options.fmr,
            options.flip,
            batch_size=options.batch_size,
            workers=options.workers,
            progress=shown,
        )
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    _print(console, model.name, found)
    if card.is_file():
        write_calibration(card.parent, found)
        console.print(f"kept in {card}", markup=False)
    if options.json:
        plain = json.dumps({"model": model.name, **found.to_json()}, indent=2)
        options.json.write_text(plain + "\n", encoding="utf-8")
        console.print(f"written to {options.json}", markup=False)
    return 0


def _set(options: CalibrateOptions) -> LabelledSet:
    kinds = [options.people or options.list, options.lfw, options.cfp]
    if sum(kind is not None for kind in kinds) != 1:
        raise UserError("--people, --list, --lfw, --cfp: name one set, for example --people DIR")
    for name, crop, default, root in (
        ("lfw", options.lfw_crop, "lfw-a", options.lfw),
        ("cfp", options.cfp_crop, "fiducials", options.cfp),
    ):
        if crop != default and not root:
            raise UserError(f"--{name}-crop: goes with --{name}; leave it out")
    if options.lfw:
        return lfw_set(options.lfw, options.lfw_crop, options.pairs)
    if options.cfp:
        return cfp_set(options.cfp, options.cfp_crop, options.pairs)
    if options.pairs == "official":
        raise UserError("--pairs official: LFW and CFP have a protocol; a folder of people has all its pairs")
    if options.people and _trained_on(Path(options.model)) == options.people.resolve():
        print(
            f"evenface: --people {options.people} is what the model was trained on. It knows these people; "
            "among strangers other rates hold. Take people whom it has not seen",
            file=sys.stderr,
        )
    return people_set(options.people, options.list)


def _trained_on(run: Path) -> Path | None:
    """The folder of people that a run's recipe names; None where there is no recipe that says it."""
    try:
        recipe = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
        root = recipe["data"]["root"]
        return Path(root).resolve() if root else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _print(console: Console, model: str, found: Calibration) -> None:
    console.print(f"{model} on {found.set}", markup=False)
    said = [found.conventions[name] for name in ("format", "flip", "crop")]
    console.print(f"  {'; '.join([*said, f'pictures {found.pictures_sha256[:12]}…'])}", markup=False)
    use = _table("the same person if", ("cosine >=", "squared L2 <=", "L2 <=", "FNMR %", "impostors pass"))
    rest = _table(
        "95 % intervals: other people; other pairs, if they were independent", ("", "cosine", "FMR", "FNMR %")
    )
    for at, people in found.thresholds:
        if not at.measurable:
            continue
        t, fmr = at.threshold, power(at.fmr_target) + (" *" if at.note else "")
        passing = f"{at.impostors_passing:,} of {at.impostors:,}"
        use.add_row(fmr, f"{t:.4f}", f"{squared_l2(t):.4f}", f"{l2(t):.4f}", f"{100 * at.fnmr:.2f}", passing)
        if people:
            rest.add_row(fmr, "people", *_intervals(people.threshold, people.fmr, people.fnmr))
        pairs = _intervals(at.threshold_interval, at.fmr_interval, at.fnmr_interval)
        rest.add_row("" if people else fmr, "pairs", *pairs)
    for table in (use, rest):  # whole, however narrow the terminal: a figure that is cut is none
        width = console.measure(table, options=console.options.update(max_width=1000)).maximum
        Console(width=max(width, console.width)).print(table)
    for at, _ in found.thresholds:
        if at.note:
            console.print(f"* FMR {power(at.fmr_target)}: {at.note}", markup=False)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for name in ("FMR", *columns):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _intervals(cosine: Interval, fmr: Interval, fnmr: Interval) -> list[str]:
    percent = (100 * fnmr[0], 100 * fnmr[1])
    forms = ((cosine, ".4f"), (fmr, ".3g"), (percent, ".2f"))
    return [f"{low:{form}} to {high:{form}}" if isfinite(low) else "unknown" for (low, high), form in forms]
