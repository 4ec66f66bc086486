"""The plots of the field. A figure takes a curve of each model; None keeps the model's place and colour."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from evenface.evaluation.drawing import (
    COLOURS,
    deviate_axes,
    draw,
    legend,
    panels,
    percent_axis,
    rate_axis,
    shortened,
    styled,
    svg,
)
from evenface.evaluation.metrics import Cmc, OpenSet, Roc, roc
from evenface.evaluation.protocols.pairs import histogram
from evenface.evaluation.results import Histogram, Rate

Scores = tuple[ArrayLike, ArrayLike]
"""Scores (P,), higher = more alike, and whether the pair is one person (P,)."""
_CURVE = {"drawstyle": "steps-post", "gid": "model"}  # a rate holds until the next point, and no longer


def roc_figure(curves: Mapping[str, Roc | None]) -> Figure:
    """TAR in % against FAR, the FAR on a logarithmic axis from one impostor pair up.

    Grey: where fewer than ten impostor pairs pass.
    """
    figure, (axes,) = panels()
    found = [curve for curve in curves.values() if curve]
    least = rate_axis(axes, "FAR", [curve.impostors for curve in found])
    percent_axis(axes, "TAR, %", min(_tar(curve, least) for curve in found))
    for name, curve, style in styled(curves):
        draw(axes, curve.far, 100 * curve.tar, label=name, **_CURVE, **style)
    legend(axes)
    return figure


def det_figure(curves: Mapping[str, Roc | None]) -> Figure:
    """FNMR against FAR, both on normal-deviate axes (Martin et al., Eurospeech 1997), as rates.

    Where a curve touches the lower edge no genuine pair is missed. On the dotted line both rates are equal.
    """
    figure, (axes,) = panels()
    found = [curve for curve in curves.values() if curve]
    trials = [curve.impostors for curve in found]
    most = max(1 - _tar(curve, 1 / max(trials)) for curve in found)
    least = 0.5 / max(curve.genuine for curve in found)
    left, lower, upper = deviate_axes(axes, trials, least, max(most, 0.2))
    axes.set(xlabel="FAR, %", ylabel="FNMR, %")
    equal = np.geomspace(max(left, lower), min(0.6, upper), 50)
    axes.plot(equal, equal, color="#555555", lw=0.8, ls=":")
    for name, curve, style in styled(curves):
        draw(axes, curve.far, np.maximum(curve.fnmr, lower), label=name, **_CURVE, **style)
    legend(axes)
    return figure


def cmc_figure(curves: Mapping[str, Cmc | None]) -> Figure:
    """Identification rate in % up to each rank; the ranks on a logarithmic axis where there are many."""
    figure, (axes,) = panels()
    found = [curve for curve in curves.values() if curve]
    ranks = max(len(curve.hits) for curve in found)
    axes.set_xlabel("rank")
    if ranks > 20:
        axes.set(xscale="log", xlim=(1, ranks))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if ranks <= 1000 else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    else:
        axes.set(xlim=(1, max(ranks, 2)), xticks=range(1, ranks + 1))
    percent_axis(axes, "mate among the first, %", min(float(curve.rates[0]) for curve in found))
    for name, curve, style in styled(curves):
        places = np.arange(1.0, len(curve.hits) + 1)
        draw(axes, places, 100 * curve.rates, label=name, gid="model", **style)
    legend(axes)
    return figure


def dir_figure(curves: Mapping[str, OpenSet | None]) -> Figure:
    """TPIR at rank 1 in % against FPIR, the FPIR on a logarithmic axis from one non-mated probe up.

    Grey: where fewer than ten non-mated probes pass.
    """
    figure, (axes,) = panels()
    found = [curve for curve in curves.values() if curve]
    least = rate_axis(axes, "FPIR", [curve.nonmated for curve in found])
    lowest = min(float(c.tpir[np.searchsorted(c.fpir, least, "right") - 1]) for c in found)
    percent_axis(axes, "TPIR, %", lowest)
    for name, curve, style in styled(curves):
        draw(axes, curve.fpir, 100 * curve.tpir, label=name, **_CURVE, **style)
    legend(axes)
    return figure


def distractor_figure(rates: Mapping[str, Mapping[float, Rate] | None]) -> Figure:
    """Rank-1 rate in % at each number of distractors, with the rate's standard deviation where it has one."""
    figure, (axes,) = panels()
    axes.set(xscale="log", xlabel="distractors")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    lowest = 1.0
    for name, points, style in styled(rates):
        numbers = sorted(points)
        values = np.array([points[number].value for number in numbers])
        spread = np.array([points[number].deviation or 0.0 for number in numbers])
        axes.plot(numbers, 100 * values, marker="o", ms=4, label=name, gid="model", **style)
        axes.vlines(numbers, 100 * (values - spread), 100 * (values + spread), color=style["color"], lw=1)
        lowest = min(lowest, float((values - spread).min()))
    percent_axis(axes, "rank-1 rate, %", max(lowest, 0.0))
    legend(axes)
    return figure


def histogram_figure(
    histograms: Mapping[str, Histogram | None],
    thresholds: Mapping[str, float] | None = None,
    columns: int = 1,
) -> Figure:
    """Share of genuine and of impostor pairs by score, in %, a panel for each model, all on the same axes.

    Bins are joined until at most 60 are left between the lowest and the highest score of all models.
    """
    found = list(styled(histograms))
    rows = -(-len(found) // columns)
    figure, grid = panels(rows, columns, (4.6 if columns == 1 else 10.4, 0.8 + 1.5 * rows))
    bins = len(found[0][1].genuine)
    used = np.flatnonzero(np.sum([one.genuine + one.impostor for _, one, _ in found], axis=0))
    step = 1 + int(used[-1] - used[0]) // 60
    starts = np.arange(0, bins, step)
    edges = np.append(starts, bins) * (2 / bins) - 1
    for axes, (name, one, style) in zip(grid, found, strict=False):
        shares = [100 * np.add.reduceat(kind, starts) / kind.sum() for kind in (one.impostor, one.genuine)]
        axes.stairs(shares[0], edges, fill=True, color="#b0b0b0", label="impostor pairs")
        axes.stairs(shares[1], edges, color=style["color"], lw=style["lw"], label="genuine pairs")
        if thresholds and name in thresholds:
            axes.axvline(thresholds[name], color="black", lw=1, ls=(0, (4, 2)), label="threshold")
        axes.set_title(shortened(name), loc="left", fontsize=10).set_parse_math(False)
        axes.legend(fontsize=9, edgecolor="none")
    grid[0].set_ylim(top=1.35 * grid[0].get_ylim()[1])  # room for the legends
    grid[0].set_xlim(edges[used[0] // step], edges[used[-1] // step + 1])
    for axes in grid[len(found) :]:
        axes.set_visible(False)
    for place, axes in enumerate(grid):
        axes.set(xlabel="score" if place >= len(grid) - columns else "")
        axes.set(ylabel="pairs, %" if place % columns == 0 else "")
    return figure


def roc_plot(models: Mapping[str, Scores]) -> str:
    """`roc_figure` of scores, as SVG."""
    return svg(roc_figure({name: roc(*both) for name, both in models.items()}), "ROC: TAR over FAR")


def histogram_plot(models: Mapping[str, Scores]) -> str:
    """`histogram_figure` of scores, the panels side by side, as SVG."""
    counts = {
        name: histogram(np.asarray(scores), np.asarray(same)) for name, (scores, same) in models.items()
    }
    return svg(histogram_figure(counts, columns=len(counts)), "Histograms of genuine and impostor scores")


def strip_plot(models: Mapping[str, NDArray[np.floating]], label: str, reference: float | None = None) -> str:
    """One dot for each value (a class, say), a column for each model, the mean as a bar, as SVG."""
    figure, (axes,) = panels()
    for x, (values, colour) in enumerate(zip(models.values(), COLOURS, strict=False)):
        # Sorted values spread over the column: no random jitter, and none hides another.
        axes.plot(
            np.linspace(x - 0.3, x + 0.3, len(values)), np.sort(values), "o", ms=4, color=colour, alpha=0.8
        )
        axes.hlines(values.mean(), x - 0.38, x + 0.38, color=colour, lw=1.2)
    if reference is not None:
        axes.axhline(reference, color="black", lw=0.8, ls=":")
        axes.annotate("evenest possible", (len(models) - 0.6, reference), fontsize=8, va="bottom", ha="right")
    names = [name.replace("-", "-\n") for name in models]  # long ones would touch
    axes.set(xticks=range(len(models)), xticklabels=names, ylabel=label)
    axes.grid(visible=False, axis="x")
    return svg(figure, label)


def _tar(curve: Roc, far: float) -> float:
    """The largest TAR whose FAR does not exceed this one."""
    return float(curve.tar[np.searchsorted(curve.far, far, side="right") - 1])
