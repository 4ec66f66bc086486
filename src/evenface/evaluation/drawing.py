"""One look for every plot of measurements: colours, axes, curves of any length, and SVG for a page."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, TypeVar

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray
from scipy.stats import norm

from evenface.evaluation.results import power

# Okabe and Ito's colours, which people who see few colours tell apart too; the first is ours.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#000000", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ((), (5, 1.6), (1.2, 1.2), (6, 1.6, 1.2, 1.6), (2.5, 2.5), (9, 2), (3, 1.2, 1.2, 1.2, 1.2, 1.2))
"""Lengths drawn and left out in turn, in widths of the line; none is a solid line."""
POINTS = 1000
"""A drawn curve has at most one more."""
WIDTH = 1.8
"""Of a curve, in points."""

_DEVIATE_TICKS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99, 0.999, 0.9999)
T = TypeVar("T")


def colour_of(place: int) -> str:
    """The colour of the model at a place in a page's list."""
    return COLOURS[place % len(COLOURS)]


def dashes_of(place: int) -> tuple[float, ...]:
    """Its dashes; colour and dashes together repeat after 49 models."""
    return DASHES[(place + place // len(COLOURS)) % len(DASHES)]


def styled(curves: Mapping[str, T | None]) -> Iterator[tuple[str, T, dict[str, Any]]]:
    """(name, curve, style) of those that are there; one that is not keeps its place, and so its style."""
    for place, (name, curve) in enumerate(curves.items()):
        if curve is not None:
            dashes = dashes_of(place)
            style = {"color": colour_of(place), "ls": (0, dashes) if dashes else "-", "lw": WIDTH}
            yield name, curve, style


def panels(
    rows: int = 1, columns: int = 1, size: tuple[float, float] = (4.6, 3.3)
) -> tuple[Figure, list[Axes]]:
    """A figure of some inches, by default such that at half a printed page's width words have 7 points."""
    with rc_context({"text.parse_math": False}):  # a model may be called $x
        figure = Figure(figsize=size, layout="constrained")
        axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(alpha=0.25)
        one.set_axisbelow(True)
    return figure, axes


def rate_axis(axes: Axes, name: str, trials: Sequence[int]) -> float:
    """A logarithmic axis of a rate of `trials` (one number for each curve), from 1 of them on (0.1 at most).

    Returns the rate at its left end. Grey: where fewer than ten pass, so that single ones move the curve.
    """
    least = min(1 / max(trials), 0.1)
    axes.set(xscale="log", xlim=(least, 1), xlabel=name)
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "1" if value == 1 else power(value)))
    _few(axes, trials)
    return least


def deviate_axes(
    axes: Axes, trials: Sequence[int], lowest: float, highest: float
) -> tuple[float, float, float]:
    """Both axes normal deviates of a rate: across from where `rate_axis` begins to 0.6, up to a tick.

    It goes up from `lowest` (0.1 at most), beyond `highest`.
    Returns the rates at the left, lower and upper end.
    """
    left, lower = min(1 / max(trials), 0.1), min(lowest, 0.1)
    upper = next(tick for tick in _DEVIATE_TICKS if tick >= min(highest, 0.9999))
    for axis, limits, most in (("x", (left, 0.6), 9), ("y", (lower, upper), 16)):
        low, high = norm.ppf(limits)
        ticks: list[float] = []
        for tick in _DEVIATE_TICKS[::-1]:  # from the high end down, as far as labels have room
            room = not ticks or norm.ppf(ticks[-1]) - norm.ppf(tick) > (high - low) / most
            if room and low <= norm.ppf(tick) <= high:
                ticks.append(tick)
        axes.set(**{f"{axis}lim": (0.1, 0.2)})  # within what the scale knows, before it is set
        getattr(axes, f"set_{axis}scale")("function", functions=(norm.ppf, norm.cdf))
        axes.set(**{f"{axis}lim": limits})
        one = getattr(axes, f"{axis}axis")
        one.set_major_locator(FixedLocator(ticks))
        one.set_minor_locator(NullLocator())
        one.set_major_formatter(FuncFormatter(lambda v, _: np.format_float_positional(100 * v, 6, trim="-")))
    _few(axes, trials)
    return left, lower, upper


def percent_axis(axes: Axes, name: str, lowest: float) -> None:
    """The vertical axis up to 100 %, from a round value at or below `lowest` (0 to 1)."""
    floor = max(100 * floor for floor in (0, 0.5, 0.8, 0.9, 0.95, 0.98) if floor <= lowest)
    axes.set(ylim=(floor, 100 + (100 - floor) / 100), ylabel=name)


def draw(axes: Axes, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]], **look: Any) -> None:
    """A curve of rising (K,) `x`; scales and limits are set before. Of any K, at most POINTS + 1 are drawn.

    A point is left out where the eye would not miss it: the curve is cut into stretches of a thousandth of
    its greatest possible length, and of each the first point is drawn.
    """
    first = max(int(np.searchsorted(x, axes.get_xlim()[0], side="right")) - 1, 0)
    x, y = np.maximum(x[first:], axes.get_xlim()[0]), y[first:]  # what lies further left ends at the axis
    length = np.zeros(len(x))
    for axis, values, limits in ((axes.xaxis, x, axes.get_xlim()), (axes.yaxis, y, axes.get_ylim())):
        scaled = axis.get_transform().transform
        places, (low, high) = scaled(np.clip(values, *limits)), scaled(np.asarray(limits))
        length += np.abs(places - places[0]) / (high - low)
    stretch = (length * (POINTS / 2 - 1)).astype(np.int64)
    keep = np.concatenate([[0], np.flatnonzero(np.diff(stretch)) + 1, [len(x) - 1]])
    keep = np.unique(keep)
    axes.plot(x[keep], y[keep], **look)


def legend(axes: Axes) -> None:
    """The models' names below the plot, so that it can be taken out of the page; the figure grows by them."""
    lines = [line for line in axes.lines if line.get_gid() == "model"]
    # Behind a space without width, as matplotlib before 3.10 hides names that begin with _.
    names = ["\u200b" + shortened(str(line.get_label())) for line in lines]
    columns = 1 if max(map(len, names)) > 20 else 2
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.set_figheight(figure.get_figheight() + 0.19 * -(-len(lines) // columns))
    look: dict[str, Any] = {"fontsize": 9, "handlelength": 3.5, "frameon": False, "ncols": columns}
    for text in figure.legend(lines, names, loc="outside lower left", **look).get_texts():
        text.set_parse_math(False)


def shortened(name: str) -> str:
    """A name that fits a plot: a longer one loses its middle."""
    return name if len(name) <= 40 else f"{name[:18]}…{name[-20:]}"


def svg(figure: Figure, words: str = "") -> str:
    """The figure as an `<svg>` element with selectable text; `words` are read out in its place."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": words}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the reader's fonts draw the text, not ours
        figure.savefig(file, format="svg", metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))

    def shorter(tag: re.Match[str]) -> str:
        # Ids that nothing points to would stand in a page twice; hundredths of a point are enough.
        kept = re.sub(r' id="([^"]*)"', lambda one: one[0] if one[1] in used else "", tag[0])
        return re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), kept)

    text = re.sub(r"<[^>]+>", shorter, text)
    label = f'role="img" aria-label="{escape(words)}"' if words else 'aria-hidden="true"'
    return text.replace("<svg ", f"<svg {label} ", 1)


def _few(axes: Axes, trials: Sequence[int]) -> None:
    axes.axvspan(1 / max(trials), min(10 / min(trials), 1), color="#f0f0f0", lw=0, zorder=0)
