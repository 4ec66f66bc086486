"""`evenface align`."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import perf_counter

import numpy as np
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evenface.align.find import finder
from evenface.align.options import AlignOptions, plan_of
from evenface.align.plan import Plan
from evenface.align.run import align
from evenface.align.sheet import Summary, summarise, write_sheet
from evenface.align.table import TABLE, Row, Table
from evenface.align.walk import count, walk
from evenface.errors import UserError
from evenface.faces.landmarks import PointsList

HELP = """From photographs to crops on the five-point template, for folders of any size.

examples
  evenface align photos/ faces/                              MTCNN, 112x112, on all cores
  evenface align photos/ faces/ --size 112x96 --face largest
  evenface align photos/ faces/ --method yunet --weights face_detection_yunet_2023mar.onnx
  evenface align img_celeba/ faces/ --method points --points list_landmarks_celeba.txt
  evenface align CFP/Data/Images faces/ --method points --points CFP/Data/Fiducials
  evenface align LFW/images faces/ --method fixed --fixed lfw-a
  evenface align photos/ large/ --method points --points faces/faces.csv --size 224x224
                                                             other crops of the same faces, at once

faces/ gets the folders of photos/, a crop for each picture; faces.csv, which says what became of every
picture; and sheet.jpg: look at it. A call that was stopped, killed too, goes on when it is made again; it
also takes up pictures that are new. docs/aligning.md has more.

Exit code: 0 done, even if some pictures have no face, 2 the call is wrong, 130 stopped by Ctrl-C."""


def run(words: list[str]) -> int:
    """Align, print, draw the sheet."""
    options = tyro.cli(AlignOptions, args=words, prog="evenface align", description=HELP)
    plan = plan_of(options)
    _require_pictures(plan.source)
    points = PointsList(plan.points, plan.order) if plan.points and plan.points.is_file() else None
    finder(plan)  # what is wrong with a detector is said before anything is written
    began = perf_counter()
    done: Counter[str] = Counter()
    try:
        with Table(plan) as table, _bar(plan.source, table.before, done) as tell:
            links = align(plan, table, points, options.workers, tell)
    except KeyboardInterrupt:
        print(
            f"evenface: stopped; what is done is in {plan.output}. The same call goes on with the rest.",
            file=sys.stderr,
        )
        return 130
    found = summarise(plan.output)
    _print(found, plan, table.before, done.total() / (perf_counter() - began))
    if links:
        print(f"{links:,} symbolic links were not followed")
    print(f"look at it: {write_sheet(plan, found)}")
    return 0


def _require_pictures(source: Path) -> None:
    links = 0
    for one in walk(source):
        if not isinstance(one, int):
            return
        links += one
    found = f"; {links:,} symbolic links are not followed" if links else ""
    raise UserError(f"SRC: no pictures below {source}{found}; name the folder that holds them")


@contextmanager
def _bar(source: Path, before: int, done: Counter[str]) -> Iterator[Callable[[Sequence[Row]], None]]:
    """A progress bar, and what adds rows to it and to `done`. The total comes once a thread has counted."""
    columns = (
        TextColumn("aligning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} a second"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, completed=before, rate="-", counts="")

        def tell(rows: Sequence[Row]) -> None:
            done.update(row.status for row in rows)
            speed = progress.tasks[task].speed
            counts = ", ".join(f"{number:,} {status}" for status, number in done.most_common())
            rate = f"{speed:,.0f}" if speed else "-"
            progress.update(task, advance=len(rows), rate=rate, counts=counts)

        def count_all() -> None:
            with suppress(UserError):  # the walk itself will meet it, and say so
                progress.update(task, total=count(source))

        Thread(target=count_all, daemon=True).start()
        yield tell


def _print(found: Summary, plan: Plan, before: int, rate: float) -> None:
    total = found.statuses.total()
    went_on = f", {before:,} of them before" if before else ""
    print(f"{plan.output}: {total:,} pictures{went_on}; {rate:,.0f} a second")
    for status, number in found.statuses.most_common():
        print(f"  {number:>{len(f'{total:,}')},} {status}")
    if found.several:
        print(f"several faces in {found.several:,} of the aligned: the {plan.face} one is cut out")
    if len(found.misfits):
        median, high = np.percentile(found.misfits, [50, 95])
        print(f"misfit to the template, pixels of 112: median {median:.1f}, 95 % up to {high:.1f}")
    if found.statuses["aligned"] < total:
        print(f"why the others have no crop: {plan.output / TABLE}")
