"""Images a person as a picture."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, StrMethodFormatter

from evenface.data.samplers import shares
from evenface.evaluation.drawing import styled


def write_plot(file: Path, counts: np.ndarray, effective_images: float) -> None:
    """Write `plot`, in the form of the file's name."""
    plot(counts, effective_images).savefig(file, dpi=130)


def plot(counts: np.ndarray, effective_images: float) -> Figure:
    """Left how many people have how many images; right how often each sampler draws each person.

    Args:
        counts: int64 (C,), the images of each person, falling.
        effective_images: of the effective sampler.
    """
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    edges = np.unique(np.round(np.geomspace(counts[-1], counts[0] + 1, 25)))
    if len(edges) < 2:
        edges = np.array([counts[0], counts[0] + 1])
    people = np.histogram(counts, edges)[0]
    left.stairs(people, edges, fill=True, color="#0072b2")
    left.set(
        xscale="log",
        yscale="log",
        ylim=(0.7, None),
        xlabel="images of a person",
        ylabel="people",
        title="people by their images",
    )
    rank = np.arange(1, len(counts) + 1)
    for name, share, style in styled(shares(counts, effective_images)):
        right.plot(rank, share * counts.sum(), label=name, **style)
    right.set(
        xscale="log",
        yscale="log",
        xlabel="people, those with the most images first (rank)",
        ylabel="draws in an epoch",
    )
    right.set_title("how often each sampler draws them")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, which="both")
        axes.set_axisbelow(True)
    for axis in (left.xaxis, left.yaxis, right.xaxis, right.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        # Between powers of ten some numbers stand where a decade or two is all there is.
        axis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
    return figure
