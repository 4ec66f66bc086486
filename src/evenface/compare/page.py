"""The table as a page: one file, nothing loaded from elsewhere."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment
from matplotlib.ticker import MaxNLocator

import evenface
from evenface.compare.cells import Cell
from evenface.compare.table import Number, Table
from evenface.compare.text import difference_words, direction, mean_words, notes, runs_words

_WIDTH = 340.0  # pixels of an interval's drawing
_MARGIN = 26.0  # pixels at each side of it, room for half a label


@dataclass(frozen=True)
class Axis:
    """Of the differences of one figure, the same for all settings."""

    ticks: tuple[float, ...]
    """Round values, rising; 0 among them."""

    def __call__(self, value: float) -> float:
        """Where a value lies, pixels from the left."""
        first, last = self.ticks[0], self.ticks[-1]
        return round(_MARGIN + (_WIDTH - 2 * _MARGIN) * (value - first) / (last - first), 1)

    @property
    def labels(self) -> list[str]:
        """The ticks in words, with as many decimals as they need."""
        step = self.ticks[1] - self.ticks[0]
        decimals = max(0, -math.floor(math.log10(step) + 1e-9)) + (not _is_round(step))
        return [f"{tick:+.{decimals}f}" if tick else "0" for tick in self.ticks]


def write_page(path: Path, table: Table, cells: Sequence[Cell]) -> None:
    """Write the page of the table of these cells."""
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (files(__package__) / "page.html.j2").read_text(encoding="utf-8")
    )
    done = sum(row.runs for block in table.blocks for row in block.rows)
    page = template.render(
        table=table,
        comparison=table.comparison,
        axes={figure: axis(table, figure) for figure in table.figures},
        width=_WIDTH,
        mean=mean_words,
        difference=difference_words,
        runs=runs_words,
        direction=direction,
        colour=lambda number, figure: _colour(number, table.comparison.lower(figure)),
        notes=notes(table),
        done=done,
        total=len(cells),
        failures=[(cell.title, cell.error()) for cell in cells if cell.error()],
        version=evenface.__version__,
        today=date.today().isoformat(),
    )
    path.write_text(page, encoding="utf-8")


def axis(table: Table, figure: str) -> Axis | None:
    """The axis that holds every interval of a figure, and 0; None where there is no difference to draw."""
    found = [row.numbers[figure].difference for block in table.shown for row in block.rows]
    values = [v for d in found if d for v in (d.mean, d.low, d.high) if v is not None]
    if not any(values):
        return None
    ticks = MaxNLocator(nbins=4).tick_values(min(0.0, *values), max(0.0, *values))
    return Axis(tuple(0.0 if abs(tick) < 1e-12 else float(tick) for tick in ticks))


def _is_round(step: float) -> bool:
    """Whether one digit says the step: 2 does, 2.5 does not."""
    digit = step / 10 ** math.floor(math.log10(step) + 1e-9)
    return bool(abs(digit - round(digit)) < 1e-6)


def _colour(number: Number, lower: bool) -> str:
    """Green for surely better than the reference, red for surely worse, grey for neither."""
    found = number.difference
    if found is None or not found.excludes_zero:
        return "#8a8a8a"
    return "#00805e" if (found.mean < 0) == lower else "#d55e00"
