"""The table as a picture: a panel for each figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evenface.compare.table import Found, Number, Table
from evenface.compare.text import direction

# Okabe and Ito's colours, told apart by readers who are colour-blind; the reference has the first.
_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKS = "osD^vPX"
_PANEL, _ROW = 3.1, 0.21  # inches: the width of a panel, the height of a loss
_FAR = (
    3.0  # interquartile ranges beyond the quartiles; what lies further is drawn at the edge, with its value
)


def write_plot(path: Path, table: Table, found: Found) -> None:
    """Write `plot`'s picture as a PNG."""
    plot(table, found).savefig(path, dpi=110, pil_kwargs={"optimize": True})


def plot(table: Table, found: Found) -> Figure:
    """Lines over the settings, or, where there are none, a row for each loss; a panel for each figure."""
    over = len(table.blocks) > 1
    columns = min(len(table.figures), 3 if over else 5)
    rows = -(-len(table.figures) // columns)
    losses = len(table.comparison.losses)
    height = 2.7 if over else 0.8 + _ROW * max(losses, 4)
    labels = 0.0 if over else 0.075 * max(len(entry.label) for entry in table.comparison.losses)
    width = columns * _PANEL * (1.2 if over else 0.75) + labels
    foot = 0.3 * (-(-losses // 4)) if over else 0.0
    figure = Figure(figsize=(width, rows * height + foot), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=not over).ravel()
    for panel, name in zip(panels, table.figures, strict=False):
        (_lines if over else _dots)(panel, table, name, found)
        panel.set_title(f"{name}\n{direction(table, name)}", fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.25)
    for panel in panels[len(table.figures) :]:
        panel.set_axis_off()
    if over:
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=min(losses, 4), frameon=False, fontsize=8)
    return figure


def _lines(panel: Axes, table: Table, name: str, found: Found) -> None:
    """A line for each loss over the settings, in their order, bars of one standard deviation."""
    settings = [block.setting for block in table.blocks]
    for place, label in enumerate(_labels(table)):
        numbers = [row.numbers[name] for block in table.blocks for row in block.rows if row.label == label]
        means, spreads = _means(numbers)
        panel.errorbar(
            range(len(settings)),
            means,
            spreads,
            color=_COLOURS[place % len(_COLOURS)],
            marker=_MARKS[place // len(_COLOURS) % len(_MARKS)],
            ms=4,
            lw=1.3,
            elinewidth=0.8,
            label=label,
        )
    panel.set_xticks(range(len(settings)), settings)
    if max(map(len, settings)) * len(settings) > 42:
        panel.tick_params("x", rotation=25)


def _dots(panel: Axes, table: Table, name: str, found: Found) -> None:
    """A row for each loss, best of the first figure on top: the mean, and a faint dot for each seed."""
    (block,) = table.blocks
    rows = {row.label: row for row in block.rows}
    firsts = dict(zip(rows, _means([row.numbers[table.figures[0]] for row in rows.values()])[0], strict=True))
    sign = 1 if table.comparison.lower(table.figures[0]) else -1
    order = sorted(rows, key=lambda label: (np.isnan(firsts[label]), sign * firsts[label]))
    means, spreads = _means([rows[label].numbers[name] for label in order])
    if not np.isfinite(means).any():
        return
    low, high = _limits(means, spreads)
    for y, label in enumerate(order):
        colour = _COLOURS[0] if label == table.comparison.reference else _COLOURS[1]
        if not low <= means[y] <= high and np.isfinite(means[y]):
            left = means[y] < low
            edge, side = (low, "left") if left else (high, "right")
            words = f"◂ {means[y]:.3g}" if left else f"{means[y]:.3g} ▸"
            panel.text(edge, y, words, color=colour, fontsize=7, va="center", ha=side)
            continue
        seeds = [run[name] for key, run in found.items() if key[:2] == (block.setting, label) and name in run]
        panel.plot(seeds, [y] * len(seeds), "o", color=colour, ms=3, alpha=0.3, mew=0)
        panel.errorbar(means[y], y, xerr=spreads[y], fmt="o", color=colour, ms=4.5, elinewidth=1.2)
    reference = order.index(table.comparison.reference)
    if low <= means[reference] <= high:
        panel.axvline(means[reference], color=_COLOURS[0], lw=0.8, alpha=0.5)
    panel.set(xlim=(low, high), ylim=(len(order) - 0.4, -0.6))
    panel.set_yticks(range(len(order)), order)
    panel.locator_params(axis="x", nbins=4)


def _labels(table: Table) -> list[str]:
    """The reference, then the others in their order."""
    reference = table.comparison.reference
    others = [entry.label for entry in table.comparison.losses if entry.label != reference]
    return [reference, *others]


def _means(numbers: Sequence[Number]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) means, NaN where there is none, and (n,) standard deviations, 0 where there is none."""
    found = [number.summary for number in numbers]
    return (
        np.array([one.mean if one else np.nan for one in found]),
        np.array([one.sd if one and one.sd is not None else 0.0 for one in found]),
    )


def _limits(means: np.ndarray, spreads: np.ndarray) -> tuple[float, float]:
    """From the lowest to the highest bar, leaving out what lies far from the others."""
    finite = means[np.isfinite(means)]
    first, third = np.quantile(finite, (0.25, 0.75))
    far = _FAR * (third - first)
    near = (means >= first - far) & (means <= third + far)
    low, high = (means - spreads)[near].min(), (means + spreads)[near].max()
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return float(low - room), float(high + room)
