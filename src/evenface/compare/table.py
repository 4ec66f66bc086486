"""The numbers of the table, from the figures of the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evenface.compare.cells import Cell
from evenface.compare.config import Comparison
from evenface.compare.statistics import Difference, Summary, paired_difference, summarise
from evenface.errors import unknown

Found = Mapping[tuple[str, str, int], Mapping[str, float]]
"""Figures of the finished runs by (setting, loss, seed)."""


@dataclass(frozen=True)
class Number:
    """One figure of one loss in one setting."""

    summary: Summary | None
    """None where no finished run has the figure."""
    difference: Difference | None
    """From the reference, over the seeds that both have; None for the reference itself, or without such."""
    best: bool
    """Whether no other loss of the block has a better mean."""


@dataclass(frozen=True)
class Row:
    """One loss in one setting."""

    label: str
    runs: int
    """Finished ones."""
    numbers: Mapping[str, Number]
    """By figure."""


@dataclass(frozen=True)
class Block:
    """One setting."""

    setting: str
    """Its label; empty where the comparison has none."""
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """All of it."""

    comparison: Comparison
    figures: tuple[str, ...]
    blocks: tuple[Block, ...]
    """Of the settings."""
    changes: tuple[Block, ...] = ()
    """Of what the settings change, seed by seed, from the baseline; without one, none."""

    @property
    def shown(self) -> tuple[Block, ...]:
        """All blocks, in their order."""
        return self.blocks + self.changes

    @property
    def intervals(self) -> int:
        """How many intervals a reader sees at once."""
        numbers = [n for block in self.shown for row in block.rows for n in row.numbers.values()]
        return sum(n.difference is not None and n.difference.low is not None for n in numbers)

    def decimals(self, figure: str) -> int:
        """4 for shares, 2 for what passes 1, such as degrees."""
        found = [row.numbers[figure].summary for block in self.blocks for row in block.rows]
        return 2 if max((abs(s.mean) for s in found if s), default=0.0) > 1 else 4


def finished(cells: Sequence[Cell]) -> dict[tuple[str, str, int], dict[str, float]]:
    """The figures of the finished ones among the cells."""
    found = {(cell.setting, cell.loss, cell.seed): cell.figures() for cell in cells}
    return {key: figures for key, figures in found.items() if figures is not None}


def tabulate(comparison: Comparison, found: Found) -> Table:
    """The table of what is finished.

    Raises:
        UserError: `figures` or `lower_is_better` has a name that no finished run has.
    """
    measured = list(dict.fromkeys(name for figures in found.values() for name in figures))
    for field in ("figures", "lower_is_better"):
        for name in getattr(comparison, field):
            if measured and name not in measured:
                raise unknown(field, name, measured)
    figures = comparison.figures or tuple(measured)
    settings = [setting.label for setting in comparison.settings] or [""]
    blocks = tuple(_block(comparison, s, figures, found) for s in settings)
    changes = []
    for setting in settings if comparison.baseline else []:
        if setting != comparison.baseline:
            title = f"{setting}: change from {comparison.baseline}"
            changes.append(
                _block(comparison, title, figures, _change(found, setting, comparison.baseline, title))
            )
    return Table(comparison, figures, blocks, tuple(changes))


def _change(found: Found, setting: str, baseline: str, title: str) -> Found:
    """Every figure of a setting less that of the baseline, where a loss and seed have both."""
    return {
        (title, loss, seed): {
            name: value - found[baseline, loss, seed][name]
            for name, value in figures.items()
            if name in found[baseline, loss, seed]
        }
        for (of, loss, seed), figures in found.items()
        if of == setting and (baseline, loss, seed) in found
    }


def _block(comparison: Comparison, setting: str, figures: tuple[str, ...], found: Found) -> Block:
    labels = [entry.label for entry in comparison.losses]
    runs = {
        label: {s: found[setting, label, s] for s in comparison.seeds if (setting, label, s) in found}
        for label in labels
    }
    numbers: dict[str, dict[str, Number]] = {label: {} for label in labels}
    for figure in figures:
        values = {
            label: {seed: run[figure] for seed, run in runs[label].items() if figure in run}
            for label in labels
        }
        summaries = {label: summarise(list(by.values())) if by else None for label, by in values.items()}
        means = [s.mean for s in summaries.values() if s]
        best = (min if comparison.lower(figure) else max)(means, default=None)
        for label in labels:
            summary, own, other = summaries[label], values[label], values[comparison.reference]
            shared = [seed for seed in own if seed in other] if label != comparison.reference else []
            difference = (
                paired_difference([own[s] for s in shared], [other[s] for s in shared]) if shared else None
            )
            is_best = summary is not None and len(means) > 1 and summary.mean == best
            numbers[label][figure] = Number(summary, difference, is_best)
    return Block(setting, tuple(Row(label, len(runs[label]), numbers[label]) for label in labels))
