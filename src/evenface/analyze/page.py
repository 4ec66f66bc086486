"""The plots of the geometry, on one page: nothing is loaded from elsewhere."""

import io
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from evenface.analyze.figures import COLUMNS, Geometry
from evenface.analyze.run import Trained

_OURS, _OTHER, _GREY = "#d55e00", "#0072b2", "#777777"


def page(title: str, trained: Trained, found: list[tuple[Geometry, dict[str, Any]]]) -> str:
    """The page of one run, a part for each set of centres."""
    template = Environment(autoescape=True).from_string((files(__package__) / "page.html.j2").read_text())
    return template.render(
        title=title,
        trained=trained,
        meaning=COLUMNS,
        parts=[(one, numbers, plots(one, numbers)) for one, numbers in found],
        story=over_time(trained),
    )


def plots(found: Geometry, numbers: dict[str, Any]) -> list[str]:
    """SVG: angles of images and figures of classes; figures against class size."""
    first, axes = _figure(2)
    angles = {"own centre": found.own.angles.numpy(), "nearest rival": found.rivals.numpy()}
    edges = np.histogram_bin_edges(np.concatenate(list(angles.values())), 60)
    for (label, values), colour in zip(angles.items(), (_OURS, _OTHER), strict=True):
        shares = 100 / len(values) * np.histogram(values, edges)[0]
        axes[0].stairs(shares, edges, fill=True, color=colour, alpha=0.65, label=label)
    axes[0].set(title="angle of an image to", xlabel="degrees", ylabel="images, %")
    axes[0].set_ylim(top=1.25 * axes[0].get_ylim()[1])  # room for the legend
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")

    for name, colour in (("scope", _OURS), ("nearest", _OTHER)):
        values = np.sort(found.columns[name].numpy())
        axes[1].plot(np.linspace(0, 100, len(values)), values, color=colour, lw=1.6, label=name)
    evenest = numbers["evenest_nearest"]
    axes[1].axhline(evenest, color="black", ls=":", lw=1, label=f"evenest possible nearest, {evenest:.1f}°")
    axes[1].set(title="over the classes: flat is even", xlabel="classes, sorted, %", ylabel="degrees")
    axes[1].set_ylim(0, 1.3 * max(axes[1].get_ylim()[1], evenest))
    axes[1].legend(frameon=False, fontsize=8, loc="upper left", ncols=2)

    second, axes = _figure(3)
    counts = found.own.counts.numpy()
    pairs = (("scope", "scope_largest"), ("scope_equal",), ("nearest", "margin"))
    for panel, names in zip(axes, pairs, strict=True):
        for name, colour in zip(names, (_OURS, _OTHER), strict=False):
            panel.plot(counts, found.columns[name].numpy(), "o", ms=3, alpha=0.5, color=colour, label=name)
        panel.set(xlabel="images of the class", ylabel="degrees")
        if counts.max() > 4 * counts.min():
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.xaxis.set_major_formatter(ScalarFormatter())
            panel.xaxis.set_minor_formatter(NullFormatter())
        panel.legend(frameon=False, fontsize=8)
    return [_svg(first), _svg(second)]


def over_time(trained: Trained) -> str | None:
    """SVG of the learned centres over the training, if the log tells of them."""
    lines = [line for line in trained.story if "centres_nearest" in line]
    if len(lines) < 2:
        return None
    figure, (axes,) = _figure(1)
    steps = [line["step"] for line in lines]
    mean = [line["centres_nearest"] for line in lines]
    low = [line["centres_nearest"] - line["centres_nearest_sd"] for line in lines]
    high = [line["centres_nearest"] + line["centres_nearest_sd"] for line in lines]
    axes.fill_between(
        steps, low, high, color=_OURS, alpha=0.25, lw=0, label="standard deviation over classes"
    )
    axes.plot(steps, mean, color=_OURS, label="mean angle to the nearest other centre")
    axes.set(xlabel="step", ylabel="degrees")
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def _figure(panels: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.2 * max(panels, 2), 3.2), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(alpha=0.2)
    return figure, axes


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
