"""From results to the page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from math import inf, isfinite
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

import evenface
from evenface.evaluation.drawing import colour_of, dashes_of
from evenface.evaluation.report.differences import table_of
from evenface.evaluation.report.faces import MOST, MOST_PICTURES, Pictures, faces_of
from evenface.evaluation.report.figures import plots_of
from evenface.evaluation.report.section import Section, marked
from evenface.evaluation.results import Result


@dataclass(frozen=True)
class Key:
    """How a model is drawn in every plot."""

    model: str
    colour: str
    dashes: str
    """SVG's stroke-dasharray, at a line 2 wide."""


def write_report(path: Path, results: Sequence[Result], pictures: Pictures) -> None:
    """Write one HTML file with every figure, convention and plot of some models on some protocols.

    Args:
        path: of the page.
        results: one or more, one for each model and protocol; a model need not be measured on every protocol.
            Models and protocols are shown in the order in which they come. The first model is the one that
            others are compared with.
        pictures: the aligned crop, uint8 (h, w, 3) RGB, of a `HardPair`'s picture by the protocol's name and
            the picture's place; None where there is none.

    Raises:
        ValueError: no result, or two for the same model and protocol.
    """
    path.write_text(page(results, pictures), encoding="utf-8")


def page(results: Sequence[Result], pictures: Pictures) -> str:
    """`write_report`'s HTML."""
    models = list(dict.fromkeys(result.model for result in results))
    found = {(result.protocol, result.model): result for result in results}
    if not results or len(found) < len(results):
        raise ValueError(
            f"{len(results)} results for {len(found)} pairs of model and protocol; need one each"
        )
    protocols = list(dict.fromkeys(result.protocol for result in results))
    sections = [Section(name, {model: found.get((name, model)) for model in models}) for name in protocols]
    most = max(4, min(MOST, MOST_PICTURES // (4 * len(results))))
    faces = {
        section.protocol: [
            faces_of(result, section.decisions.get(result.model), pictures, most)
            for result in section.there
            if result.hardest
        ]
        for section in sections
    }
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters |= {"whole_numbers": _whole_numbers, "may_break": _may_break}
    template = environment.from_string((files(__package__) / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        title=f"{models[0] if len(models) == 1 else f'{len(models)} models'} on {', '.join(protocols)}",
        keys={model: _key(place, model) for place, model in enumerate(models)},
        sections=sections,
        plots={section.protocol: plots_of(section) for section in sections},
        differences={section.protocol: table_of(section.there) for section in sections},
        faces=faces,
        percent=lambda value: f"{100 * value:.2f}",
        points=lambda value: f"{100 * value:+.2f}".replace("-", "−"),
        threshold=_threshold,
        isfinite=isfinite,
        marked=marked,
        version=evenface.__version__,
        today=date.today().isoformat(),
    )


def _key(place: int, model: str) -> Key:
    return Key(model, colour_of(place), " ".join(f"{2 * length:g}" for length in dashes_of(place)))


def _whole_numbers(words: str) -> Markup:
    """As HTML in which no line ends within 1e-4 or rank-1."""
    return Markup(re.sub(r"\w+-\d+", r'<span class="whole">\g<0></span>', str(escape(words))))


def _may_break(name: str) -> Markup:
    """As HTML in which a line may end behind _ and /."""
    return Markup(re.sub(r"(?<=[^_/])[_/]", r"\g<0><wbr>", str(escape(name))))


def _threshold(value: float) -> str:
    """In words; empty where none belongs to the figure."""
    if value == inf:
        return "above every score"
    return f"score ≥ {value:.4f}" if isfinite(value) else ""
