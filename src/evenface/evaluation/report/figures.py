"""The plots of a protocol, as far as its results have curves."""

import re
from dataclasses import dataclass
from math import isfinite

from matplotlib.figure import Figure

from evenface.evaluation import plots
from evenface.evaluation.drawing import svg
from evenface.evaluation.report.section import Section
from evenface.evaluation.results import Rate, Result


@dataclass(frozen=True)
class Plot:
    """One of them."""

    title: str
    caption: str
    svg: str


def plots_of(section: Section) -> list[Plot]:
    """ROC and DET, CMC, DIR, rates by distractors, and histograms."""
    who = ", ".join(result.model for result in section.there)
    return [
        Plot(title, words, svg(figure, f"{title} on {section.protocol} of {who}. {words}"))
        for title, words, figure in _figures(section)
    ]


def _figures(section: Section) -> list[tuple[str, str, Figure]]:
    """(title, caption, figure)."""
    found: list[tuple[str, str, Figure]] = []
    rocs = section.curves(lambda result: result.roc)
    if any(rocs.values()):
        grey = "Grey: fewer than ten impostor pairs pass, so single pairs move the curve."
        found.append(("ROC", f"TAR over FAR. {grey}", plots.roc_figure(rocs)))
        words = "Errors of both kinds on normal-deviate axes; on the dotted line they are equal (EER)."
        found.append(("DET", f"{words} {grey}", plots.det_figure(rocs)))
    cmcs = section.curves(lambda result: result.cmc)
    if any(cmcs.values()):
        words = "Share of the mated probes whose mate is among the first candidates, up to each rank."
        found.append(("CMC", words, plots.cmc_figure(cmcs)))
    open_sets = section.curves(lambda result: result.open_set)
    if any(open_sets.values()):
        words = "TPIR at rank 1 over FPIR. Grey: fewer than ten non-mated probes pass."
        found.append(("Open-set identification (DIR)", words, plots.dir_figure(open_sets)))
    crowds = section.curves(by_distractors)
    if any(crowds.values()):
        words = "Rank-1 rate beside more and more distractors, ± its standard deviation."
        found.append(("Distractors", words, plots.distractor_figure(crowds)))
    histograms = section.curves(lambda result: result.histogram)
    if any(histograms.values()):
        thresholds = {model: one.threshold for model, one in section.decisions.items()}
        sources = dict.fromkeys(one.words for one in section.decisions.values())
        words = " ".join(
            ["Share of the pairs of each kind by score.", *(f"The threshold is {one}." for one in sources)]
        )
        found.append(("Scores", words, plots.histogram_figure(histograms, thresholds)))
    return found


def by_distractors(result: Result) -> dict[float, Rate] | None:
    """The rank-1 rates by the number of distractors, where there are several."""
    found = {
        float(number[1]): rate
        for rate in result.rates
        if (number := re.fullmatch(r"rank1@distractors=(.+)", rate.key)) and isfinite(rate.value)
    }
    return found if len(found) > 1 else None
