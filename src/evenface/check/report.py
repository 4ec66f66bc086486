"""The short text for the terminal."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evenface.check.findings import Finding
from evenface.check.kinds import KINDS
from evenface.check.names import is_name
from evenface.check.scan import Seen
from evenface.check.sets import PictureSet

_GRAY = 3
"""Largest tint of a gray picture's thumbnail."""
_EXAMPLES = 3


def print_report(console: Console, seen: Seen, found: Sequence[Finding]) -> None:
    """A table of the sets; then for each kind of finding how many, some of them, and what to do."""
    console.print(_table(seen))
    for pictures in seen.sets:
        for note in _notes(pictures):
            _say(console, f"{pictures.label}: {note}")
    by_kind: dict[str, list[Finding]] = {}
    for one in found:
        by_kind.setdefault(one.kind, []).append(one)
    for spoils, title in ((True, "would spoil a run"), (False, "worth a look")):
        kinds = [kind for kind in by_kind if KINDS[kind].spoils == spoils]
        if kinds:
            _say(console, f"\n{title}", "bold red" if spoils else "bold yellow")
        for kind in kinds:
            _say_kind(console, kind, by_kind[kind])
    if not found:
        _say(console, "nothing is wrong with them", "bold green")


def _say_kind(console: Console, kind: str, found: list[Finding]) -> None:
    count = len({one.file for one in found})
    _say(console, f"  {count:,} {KINDS[kind].words[count > 1]}", "bold")
    _say(console, f"    {KINDS[kind].cure}", "cyan")
    for one in found[:_EXAMPLES]:
        _say(
            console, f"    {one.file}" + (f"\n      = {one.other}" if one.other else "") + f"  ({one.detail})"
        )
    if len(found) > _EXAMPLES:
        _say(console, f"    and {len(found) - _EXAMPLES:,} more", "dim")


def _say(console: Console, text: str, style: str = "") -> None:
    # File names are printed as they are: no mark-up, no breaks.
    console.print(_plain(text), style=style, markup=False, highlight=False, soft_wrap=True)


def _plain(text: str) -> str:
    """With the bytes of file names that are no text as \\x..."""
    return text.encode("utf-8", "backslashreplace").decode()


def _table(seen: Seen) -> Table:
    table = Table(box=box.SIMPLE, title="")
    table.add_column("")
    columns = []
    for pictures, start in zip(seen.sets, seen.starts.tolist(), strict=False):
        label = f"{pictures.label}, training" if pictures.training else pictures.label
        table.add_column(Text(_plain(label)), overflow="fold")
        columns.append(_column(pictures, seen.rows[start : start + len(pictures)]))
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    return table


def _column(pictures: PictureSet, rows: NDArray[Any]) -> dict[str, str]:
    counts = np.sort(pictures.counts())
    each = thirds = "-"
    if len(counts):
        each = f"{counts[0]:,} / {np.median(counts):,.0f} / {counts[-1]:,}"
        third = -(-len(counts) // 3)
        ends = (100 * part.sum() / counts.sum() for part in (counts[-third:], counts[:third]))
        thirds = "{:.0f} % / {:.0f} %".format(*ends)
    rows = rows[rows["whole"]]
    return {
        "people": f"{len(counts):,}" if len(counts) else "-",
        "pictures": f"{len(pictures):,}",
        "of a person: least / median / most": each,
        "of the third with most / fewest": thirds,
        "gray": f"{100 * float(np.mean(rows['tint'] <= _GRAY)):.1f} %" if len(rows) else "-",
        "width x height": _sizes(Counter(zip(rows["width"].tolist(), rows["height"].tolist(), strict=True))),
    }


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    if not sizes:
        return "-"
    if len(sizes) == 1:
        return "{}x{}".format(*next(iter(sizes)))
    by_area = sorted(sizes, key=lambda size: size[0] * size[1])
    return "{}x{} to {}x{}".format(*by_area[0], *by_area[-1])


def _notes(pictures: PictureSet) -> Iterator[str]:
    if pictures.passed_over:
        endings = ", ".join(ending for ending, _ in pictures.passed_over.most_common(5))
        yield f"{pictures.passed_over.total():,} files are no pictures by their names ({endings})"
    numbered = sum(not is_name(name) for name in pictures.people)
    if pictures.training and numbered:
        yield f"{numbered:,} people are numbers: only pictures can tell whether a test set has them too"
