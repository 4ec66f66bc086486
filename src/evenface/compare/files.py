"""The table as files for other programs: every value, and every number of the table."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evenface.compare.table import Found, Table


def write_values(path: Path, found: Found) -> None:
    """One line for each figure of each finished run, every figure that the run has."""
    rows = ((*key, figure, value) for key, run in found.items() for figure, value in run.items())
    _write(path, ("setting", "loss", "seed", "figure", "value"), rows)


def write_summary(path: Path, table: Table) -> None:
    """One line for each figure of each loss in each setting; what does not exist is empty."""
    head = ("setting", "loss", "figure", "n", "mean", "sd")
    rows = []
    for block in table.shown:
        for row in block.rows:
            for figure in table.figures:
                summary, difference = row.numbers[figure].summary, row.numbers[figure].difference
                of_mean = (summary.n, summary.mean, summary.sd) if summary else (0, None, None)
                of_difference: tuple[Any, ...] = (None,) * 4
                if difference:
                    of_difference = (difference.n, difference.mean, difference.low, difference.high)
                rows.append((block.setting, row.label, figure, *of_mean, *of_difference))
    _write(path, (*head, "pairs", "difference", "low", "high"), rows)


def _write(path: Path, head: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
