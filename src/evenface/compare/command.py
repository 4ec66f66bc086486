"""`evenface compare`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evenface.compare.cells import RECIPE, Cell, plan, require_pictures
from evenface.compare.config import Comparison, from_names, parse, to_toml
from evenface.compare.files import write_summary, write_values
from evenface.compare.page import write_page
from evenface.compare.plot import write_plot
from evenface.compare.runner import cores, run_all
from evenface.compare.table import Table, finished, tabulate
from evenface.compare.text import markdown, show
from evenface.errors import UserError, require_range
from evenface.recipes import find_recipe
from evenface.training.alone import alone
from evenface.training.precision import slow_here
from evenface.training.recipe import read_recipe

HELP = """Run a grid of losses x seeds x settings over one recipe, and compare.

examples
  evenface compare recipes/lab/scale.toml --lab.cfp CFP --lab.lfw LFW -o runs/scale
  evenface compare --recipe my.toml --losses eqm,cosface,arcface --seeds 3 --reference eqm -o runs/mine
  evenface compare runs/mine/comparison.toml -o runs/mine                 goes on, or repeats the table
  evenface compare runs/mine/comparison.toml -o runs/mine --table-only    the table so far; runs nothing

Words that are not below are given to each run (`evenface train` or `evenface lab`), such as --data.root DIR.
A finished run is not run again, unless its settings have changed. docs/comparing.md has the file's keys
and how to read the table."""

COMPARISON = "comparison.toml"
_WRITTEN = "# Written by evenface compare, with every word that its runs were given.\n\n"


@dataclass(frozen=True)
class CompareOptions:
    """Where to write, and how many runs at once."""

    output: Annotated[Path | None, tyro.conf.arg(aliases=("-o",))] = None
    """Folder of the comparison: its runs and its tables."""
    jobs: int | None = None
    """Runs at once, 1 or more. By default one a core, or 1 where runs train on a GPU."""
    table_only: bool = False
    """Run nothing: the table of what is finished."""
    recipe: Path | None = None
    """In the place of a comparison file: the recipe, with --losses."""
    losses: str | None = None
    """With --recipe: names with commas between."""
    seeds: int | None = None
    """With --recipe: how many, from 0 up; 3 if not said."""
    reference: str | None = None
    """With --recipe: the loss that the others are compared with; the first if not said."""


def run(words: list[str], program: str = "evenface") -> int:
    """Run what is not finished, write the tables and print one; 1 if a run failed, otherwise 0.

    `program` is the module that runs are given to, as `python -m` would.

    Raises:
        UserError: the comparison is wrong, the folder has other files, or another compare is at work in it.
    """
    file = Path(words.pop(0)) if words and not words[0].startswith("-") else None
    options, flags = tyro.cli(
        CompareOptions,
        args=words,
        prog="evenface compare [COMPARISON.toml]",
        description=HELP,
        return_unknown_args=True,
    )
    folder = options.output
    if folder is None:
        raise UserError("-o: name the folder that the comparison is written to, for example -o runs/losses")
    comparison = _comparison(file, options)
    comparison = replace(comparison, flags=(*comparison.flags, *flags))
    cells = plan(comparison, folder)
    _require_own(folder)
    failed = [] if options.table_only else _run(comparison, cells, folder, options.jobs, program)
    found = finished(cells)
    if any(found.values()):
        table = tabulate(comparison, found)
        write_tables(folder, table, cells)
        show(table, Console())
        print(
            f"{len(found)} of {len(cells)} runs; "
            f"table.html, plot.png, table.md, table.csv, summary.csv in {folder}"
        )
    else:
        print(f"{folder}: no run is finished yet, so there is no table")
    for cell in failed:
        print(f"\nfailed: {cell.title}; all that it said is in {cell.log}\n{cell.error()}")
    return 1 if failed else 0


def write_tables(folder: Path, table: Table, cells: Sequence[Cell]) -> None:
    """Write table.md, table.csv, summary.csv, table.html and plot.png into the comparison's folder."""
    found = finished(cells)
    write_values(folder / "table.csv", found)
    write_plot(folder / "plot.png", table, found)
    write_summary(folder / "summary.csv", table)
    (folder / "table.md").write_text(markdown(table), encoding="utf-8")
    write_page(folder / "table.html", table, cells)


def _comparison(file: Path | None, options: CompareOptions) -> Comparison:
    short = [
        name for name in ("recipe", "losses", "seeds", "reference") if getattr(options, name) is not None
    ]
    if file is not None:
        file = find_recipe(file)
        if short:
            raise UserError(f"--{short[0]}: stands in {file}; change it there, or leave the file out")
        try:
            return parse(read_recipe(file), file.parent)
        except UserError as error:
            text = str(error)
            raise UserError(text if text.startswith(str(file)) else f"{file}: {text}") from None
    if options.recipe is None or options.losses is None:
        raise UserError("give a comparison file, or --recipe RECIPE --losses NAME,NAME,...")
    seeds = 3 if options.seeds is None else options.seeds
    return from_names(find_recipe(options.recipe), options.losses, seeds, options.reference)


def _require_own(folder: Path) -> None:
    """What is not of our making is neither written over nor removed."""
    if folder.is_file():
        raise UserError(f"-o: {folder} is a file; name a folder")
    if folder.exists() and any(folder.iterdir()):
        mine = folder / COMPARISON
        if not mine.is_file() or not mine.read_text(encoding="utf-8").startswith(_WRITTEN.strip()):
            raise UserError(f"-o: {folder} has files that are not of a comparison; name another folder")


def _run(
    comparison: Comparison, cells: list[Cell], folder: Path, jobs: int | None, program: str
) -> list[Cell]:
    """Run what is not finished; returns the runs that failed."""
    if jobs is not None:
        require_range("jobs", jobs, 1, 1024)
    recipe = comparison.recipe.read_bytes()
    require_pictures([cell for cell in cells if cell.figures() is None])
    with alone(folder, "evenface compare"):
        (folder / RECIPE).write_bytes(recipe)
        own = to_toml(replace(comparison, recipe=Path(RECIPE)))
        (folder / COMPARISON).write_text(_WRITTEN + own, encoding="utf-8")
        todo = [cell for cell in cells if cell.figures() is None]
        failed: list[Cell] = []
        absent = set[str]()
        console = Console(stderr=True)
        for warning in _warnings(todo):
            console.print(warning, highlight=False, markup=False, soft_wrap=True)
        columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("", total=len(cells), completed=len(cells) - len(todo))

            def done(cell: Cell, seconds: float, error: str | None) -> None:
                progress.advance(task)
                if error is not None:
                    failed.append(cell)
                found = cell.figures() or {}
                words = "failed" if error is not None else _words(comparison, found)
                console.print(
                    f"{cell.title}: {words} ({seconds:.0f} s)", highlight=False, markup=False, soft_wrap=True
                )
                for name in comparison.figures:
                    if found and name not in found and name not in absent:
                        absent.add(name)  # said now, not after the last run, when the table is refused
                        warning = f"figures: {name!r} is none of {cell.title}'s: {', '.join(found)}"
                        console.print(warning, highlight=False, markup=False, soft_wrap=True)

            try:
                run_all(todo, min(jobs or _jobs(cells[0]), max(1, len(todo))), done, program)
            except KeyboardInterrupt:
                left = sum(cell.figures() is None for cell in cells)
                again = f"evenface compare {folder / COMPARISON} -o {folder}"
                console.print(f"{left} of {len(cells)} runs are left; go on with: {again}", soft_wrap=True)
                raise
    return failed


def _jobs(cell: Cell) -> int:
    """One run a core; one at all on a GPU, whose memory they would share."""
    return 1 if _on_gpu(cell) else cores()


def _on_gpu(cell: Cell) -> bool:
    may = cell.command == "train" and cell.settings["train"]["device"] != "cpu"
    return may and torch.cuda.is_available()


def _warnings(cells: Sequence[Cell]) -> list[str]:
    """What runs say in their own logs, where nobody looks until they have ended."""
    found = set[str]()
    for cell in cells:
        device = torch.device("cuda" if _on_gpu(cell) else "cpu")
        found.update(slow_here(cell.settings["train"].get("precision", "float32"), device))
    return sorted(found)


def _words(comparison: Comparison, figures: dict[str, float], most: int = 3) -> str:
    names = [name for name in comparison.figures or figures if name in figures][:most]
    return ", ".join(f"{name} {figures[name]:.4f}" for name in names)
