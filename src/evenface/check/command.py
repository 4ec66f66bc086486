"""`evenface check`."""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evenface.check.cleaning.command import CleaningOptions, clean, refuse
from evenface.check.duplicates import duplicates
from evenface.check.findings import Finding, findings, overlap
from evenface.check.kinds import KINDS
from evenface.check.quiet import Quiet
from evenface.check.report import print_report
from evenface.check.scan import scan
from evenface.check.sets import PictureSet, benchmark_sets, open_set
from evenface.check.sheet import write_sheet
from evenface.data import read_names
from evenface.errors import UserError, require_writable
from evenface.evaluation.sets import SetOptions

HELP = """Check picture sets before a long run: broken and duplicated pictures, people in training and test.
With a trained model, also wrong labels, for you to decide on.

examples
  evenface check my-faces/                                     my-faces/<person>/<image>, or any folder
  evenface check --train my-faces/ --lfw LFW --cfp CFP         and whom it shares with the test sets
  evenface check --train my-faces/ --lfw LFW --overlap overlap.csv
  evenface train my-faces/ --data.exclude overlap.csv ...      leaves them out
  evenface check --train my-faces/ --lfw LFW --model runs/mine --page labels.html --store emb
                                                               wrong labels, and whom it shares, by a model

Exit code: 0 nothing would spoil a run, 1 pictures are missing or unreadable or training and test overlap,
2 the call is wrong. docs/checking.md says how each finding is made, and what is not found."""


@dataclass(frozen=True)
class CheckOptions:
    """Which sets, and what to write."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Folders of people, DIR/<person>/<image>, or of pictures anyhow, or any set that training reads; test
    sets if there is --train."""
    train: Path | None = None
    """The set of people that is trained on: no other set should share people or pictures with it."""
    benchmarks: Annotated[SetOptions, tyro.conf.arg(name="")] = field(default_factory=SetOptions)
    exclude: tuple[Path, ...] = ()
    """Files of people or pictures of --train to leave out, as training's --data.exclude."""
    overlap: Path | None = None
    """Write the people of --train that are in another set to a .csv file, for --data.exclude."""
    csv: Path | None = None
    """Write a line for each finding: kind, file, detail, other."""
    sheet: Path | None = None
    """Draw the worst of the pictures that are there twice, side by side, on a .png or .jpg file."""
    workers: int = os.cpu_count() or 1
    """Threads that read and decode."""
    cleaning: Annotated[CleaningOptions, tyro.conf.arg(name="")] = field(default_factory=CleaningOptions)


def run(words: list[str]) -> int:
    """Check, print, write; returns 1 where a run would be spoilt."""
    options = tyro.cli(CheckOptions, args=words, prog="evenface check [DIR ...]", description=HELP)
    _refuse(options)
    sets = _sets(options)
    began = perf_counter()
    with Quiet() as quiet:
        screen = Console(file=quiet.screen)
        text = TextColumn("{task.description}", markup=False)
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=screen, transient=True) as progress:
            task = progress.add_task("reading", total=sum(map(len, sets)))
            seen = scan(sets, quiet, options.workers, lambda done, _: progress.update(task, completed=done))
        took = perf_counter() - began
        with screen.status("comparing pictures"):
            again = duplicates(seen)
    found = findings(seen, again)
    print_report(Console(), seen, found)
    print(f"\n{len(seen.rows):,} pictures, {len(seen.rows) / took:,.0f} a second")
    if options.csv:
        _write(options.csv, Finding._fields, found)
        print(f"findings: {options.csv}")
    if options.overlap:
        people = overlap(seen, again)
        _write(options.overlap, ("identity", "how", "other"), people)
        count = len({who for who, _, _ in people})
        print(f"people to leave out: {options.overlap} ({count:,})")
    if options.cleaning.model:
        clean(options.cleaning, seen, again, options.workers)
    if options.sheet:
        shown = write_sheet(options.sheet, seen, again)
        print(f"pairs shown: {options.sheet} ({shown})" if shown else "no picture is there twice")
    return int(any(KINDS[one.kind].spoils for one in found))


def _refuse(options: CheckOptions) -> None:
    """Say what is wrong with the call before hours of reading."""
    if options.workers < 1:
        raise UserError(f"--workers: {options.workers} is too few; use 1 or more")
    named: dict[Path, str] = {}
    own = ("--csv", options.csv), ("--overlap", options.overlap), ("--sheet", options.sheet)
    for flag, file in (*own, *options.cleaning.files()):
        if file is not None:
            require_writable(flag, file)
            if file.resolve() in named:
                raise UserError(f"{named[file.resolve()]}, {flag}: both are {file}; name two files")
            named[file.resolve()] = flag
    if options.sheet and options.sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"--sheet: {options.sheet} ends in neither .png nor .jpg")
    if options.overlap and options.overlap.suffix.lower() != ".csv":
        raise UserError(
            f"--overlap: {options.overlap} does not end in .csv, by which --data.exclude reads it"
        )
    for flag in ("overlap", "exclude"):
        if getattr(options, flag) and options.train is None:
            raise UserError(f"--{flag}: is about the people of --train; give --train DIR")
    refuse(options.cleaning)


def _sets(options: CheckOptions) -> list[PictureSet]:
    sets = []
    if options.train is not None:
        without = set[str]().union(*map(_names, options.exclude))
        sets.append(open_set(options.train, training=True, without=without, field="--train"))
    sets += [open_set(folder) for folder in options.folders]
    if options.benchmarks != SetOptions():
        sets += benchmark_sets(options.benchmarks.open())
    if not sets:
        raise UserError("name a set to check: a folder, --train DIR, or a benchmark such as --lfw DIR")
    return sets


def _names(file: Path) -> set[str]:
    """Those of a file, or its error in the words of this command's options."""
    try:
        return read_names(file)
    except UserError as error:
        raise UserError(str(error).replace("data.exclude: ", "--exclude: ", 1)) from None


def _write(file: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    # File names that are no UTF-8 are written with the bytes that they have.
    with open(file, "w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
