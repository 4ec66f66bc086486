"""Plots of verification results, each as a string of SVG to be put into a page."""

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from evenface.evaluation.metrics import roc

# Okabe and Ito's colours, which people who see few colours tell apart too; the first is ours.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
Scores = tuple[ArrayLike, ArrayLike]
"""Scores (P,), higher = more alike, and whether the pair is one person (P,)."""


def roc_plot(models: Mapping[str, Scores]) -> str:
    """TAR against FAR, the FAR on a logarithmic axis from one impostor pair up."""
    figure, axes = _figure(5.4, 4.0)
    for (name, (scores, same)), colour in zip(models.items(), COLOURS, strict=False):
        curve = roc(scores, same)
        axes.plot(curve.far, 100 * curve.tar, color=colour, label=name, drawstyle="steps-post", lw=1.8)
    least = min(1 / int((~np.asarray(same, dtype=bool)).sum()) for _, same in models.values())
    axes.set(xscale="log", xlim=(least, 1), ylim=(0, 101), xlabel="FAR", ylabel="TAR, %")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right")
    return _svg(figure)


def histogram_plot(models: Mapping[str, Scores]) -> str:
    """The cosines of genuine and of impostor pairs, a panel for each model, each kind as a density."""
    figure = Figure(figsize=(10.4, 2.4), layout="constrained")
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    edges = np.linspace(-1, 1, 61)
    for (name, (scores, same)), axes, colour in zip(models.items(), panels, COLOURS, strict=False):
        values, mates = np.asarray(scores), np.asarray(same, dtype=bool)
        kinds = ((~mates, "#bbbbbb", "two people"), (mates, colour, "one person"))
        for keep, fill, label in kinds:
            axes.hist(values[keep], edges, density=True, color=fill, alpha=0.75, label=label)
        axes.set(title=name, xlabel="cosine", yticks=[])
        _plain(axes)
        axes.legend(frameon=False, fontsize=7, loc="upper left")
    panels[0].set_ylim(top=1.3 * panels[0].get_ylim()[1])  # room for the legends
    return _svg(figure)


def strip_plot(models: Mapping[str, NDArray[np.floating]], label: str, reference: float | None = None) -> str:
    """One dot for each value (a class, say), a column for each model, the mean as a bar."""
    figure, axes = _figure(5.4, 4.0)
    for x, ((_, values), colour) in enumerate(zip(models.items(), COLOURS, strict=False)):
        # Sorted values spread over the column: no random jitter, and none hides another.
        axes.plot(
            np.linspace(x - 0.3, x + 0.3, len(values)), np.sort(values), "o", ms=4, color=colour, alpha=0.8
        )
        axes.hlines(values.mean(), x - 0.38, x + 0.38, color=colour, lw=1.2)
    if reference is not None:
        axes.axhline(reference, color="black", lw=0.8, ls=":")
        axes.annotate("evenest possible", (len(models) - 0.6, reference), fontsize=7, va="bottom", ha="right")
    axes.set(xticks=range(len(models)), xticklabels=list(models), ylabel=label)
    axes.grid(axis="y", alpha=0.25)
    return _svg(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
