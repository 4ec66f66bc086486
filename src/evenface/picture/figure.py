"""The whole figure: a column for each loss, a row for each set; as a picture and over the training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.animation import PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from evenface.picture.digits import Digits
from evenface.picture.measure import figures
from evenface.picture.panels import COLOURS, circle, sphere, turn
from evenface.picture.trainer import Moment

SPACE = {2: "the circle", 3: "the sphere"}
_PANEL, _UNDER, _SIDE, _TOP, _FOOT = 2.1, 0.34, 1.15, 0.72, 0.98  # inches
_LEAST_WIDTH = 9.4  # what the words at the foot need
_HOLD = 9  # frames for which an animation stays at its end
_MARKS = {
    2: (
        "line: class centre   ·   dots on the circle: images trained on; the arc: their mean scope"
        "   ·   dots on the outer ring: unseen images"
    ),
    3: (
        "number: class centre   ·   large dots: images trained on; the ring: their mean scope"
        "   ·   small dots: unseen images   ·   pale: far side"
    ),
}
_WORDS = (
    "spread: sd / mean of the angles between neighbouring centres, 0 is even   ·   scope: mean angle of the "
    "images trained on to their centre\nunseen: share of the unseen images nearest to their own centre"
)


@dataclass(frozen=True, eq=False)
class Row:
    """One set, and what each loss made of it, moment after moment."""

    name: str
    train: Digits
    moments: Mapping[str, Sequence[Moment]]


def draw(path: Path, rows: Sequence[Row], unseen: Digits, dimensions: int) -> None:
    """The last moment of every loss, as a PNG."""
    figure = _empty(rows, dimensions)
    _fill(figure, rows, unseen, dimensions, -1, 0.0)
    figure.savefig(path, dpi=80, pil_kwargs={"optimize": True})


def animate(
    path: Path, rows: Sequence[Row], unseen: Digits, dimensions: int, progress: Callable[[int, int], None]
) -> None:
    """All moments, as a GIF; a sphere turns once on the way."""
    figure = _empty(rows, dimensions)
    moments = len(next(iter(rows[0].moments.values())))
    writer = PillowWriter(fps=6)
    with writer.saving(figure, str(path), dpi=64):
        for moment in range(moments):
            _fill(figure, rows, unseen, dimensions, moment, 360.0 * (moment + 1) / moments)
            writer.grab_frame()
            progress(moment + 1, moments)
        for _ in range(_HOLD):
            writer.grab_frame()


def _empty(rows: Sequence[Row], dimensions: int) -> Figure:
    """The page with its words, the panels still blank: `figure.axes`, row after row."""
    columns = len(rows[0].moments)
    width = max(_LEAST_WIDTH, _SIDE + columns * _PANEL + 0.1)
    height = _TOP + len(rows) * (_PANEL + _UNDER) + _FOOT
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    left = (width - _SIDE - columns * _PANEL) / 2 + _SIDE
    for i, row in enumerate(rows):
        bottom = _FOOT + (len(rows) - 1 - i) * (_PANEL + _UNDER) + _UNDER
        for j, loss in enumerate(row.moments):
            place = (left + j * _PANEL, bottom, _PANEL, _PANEL)
            figure.add_axes((place[0] / width, place[1] / height, _PANEL / width, _PANEL / height))
            if i == 0:
                x, y = (place[0] + _PANEL / 2) / width, (height - _TOP + 0.06) / height
                figure.text(x, y, loss, ha="center", fontsize=11, weight="bold")
        counts = row.train.labels.bincount()
        most, least = int(counts.max()), int(counts.min())
        amount = f"{most} images\nof each digit" if most == least else f"{most} to {least}\nimages"
        x, y = (left - 0.12) / width, (bottom + _PANEL / 2) / height
        figure.text(x, y, row.name, ha="right", va="bottom", fontsize=11, weight="bold")
        figure.text(x, y - 0.05 / height, amount, ha="right", va="top", fontsize=8.5, color="#555555")
    images = rows[-1].train.labels.bincount().tolist()
    handles = [
        Line2D([], [], ls="", marker="o", ms=6, color=colour, label=f"{digit} ({n})")
        for digit, (colour, n) in enumerate(zip(COLOURS, images, strict=True))
    ]
    figure.legend(
        handles=handles,
        title=f"digit (images, {rows[-1].name})",
        loc="lower center",
        bbox_to_anchor=(0.5, 0.53 / height),
        ncols=len(handles),
        frameon=False,
        fontsize=8.5,
        title_fontsize=8.5,
        columnspacing=1.2,
        handletextpad=0.1,
        borderpad=0,
    )
    words = f"{_MARKS[dimensions]}\n{_WORDS}"
    figure.text(0.5, 0.06 / height, words, ha="center", fontsize=7.5, color="#555555", linespacing=1.35)
    return figure


def _fill(
    figure: Figure, rows: Sequence[Row], unseen: Digits, dimensions: int, moment: int, longitude: float
) -> None:
    height = figure.get_figheight()
    panels = iter(figure.axes)
    for row in rows:
        for moments in row.moments.values():
            axes, now = next(panels), moments[moment]
            axes.clear()
            rotation = turn(moments[-1].centres.numpy())
            if dimensions == 2:
                circle(axes, now, row.train, unseen, rotation)
            else:
                sphere(axes, now, row.train, unseen, rotation, longitude)
            f = figures(now, row.train, unseen)
            words = f"spread {f.spread:.3f}   scope {f.scope:.1f}°\nunseen {100 * f.unseen:.0f} %"
            axes.text(
                0.5,
                -0.01,
                words,
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=8.5,
                linespacing=1.15,
            )
    title = f"Ten handwritten digits on {SPACE[dimensions]}, after {now.step} steps"
    figure.suptitle(title, y=1 - 0.12 / height, va="top", fontsize=14)
