"""The table as text: in the terminal and as Markdown."""

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from evenface.compare.table import Number, Row, Table

_COLUMN = 31  # characters of a figure's column in the terminal


def mean_words(number: Number, decimals: int) -> str:
    """Mean ± deviation; a dash where there is none."""
    if number.summary is None:
        return "–"
    words = f"{number.summary.mean:.{decimals}f}"
    return words if number.summary.sd is None else f"{words} ± {number.summary.sd:.{decimals}f}"


def difference_words(number: Number, row: Row, decimals: int) -> str:
    """The difference with its interval; an asterisk where the interval excludes 0; empty without one."""
    found = number.difference
    if found is None:
        return ""
    words = f"{found.mean:+.{decimals}f}"
    if found.low is None:
        return f"{words} (1 seed: no interval)"
    words += f" [{found.low:+.{decimals}f}, {found.high:+.{decimals}f}]"
    return (
        words + (" *" if found.excludes_zero else "") + (f" ({found.n} seeds)" if found.n < row.runs else "")
    )


def runs_words(row: Row, table: Table) -> str:
    """How many runs are finished, of how many."""
    seeds = len(table.comparison.seeds)
    return str(seeds) if row.runs == seeds else f"{row.runs} of {seeds}"


def direction(table: Table, figure: str) -> str:
    """Which way is better."""
    return "lower is better" if table.comparison.lower(figure) else "higher is better"


def notes(table: Table) -> list[str]:
    """How to read the table, a sentence each."""
    comparison = table.comparison
    single = all(row.runs < 2 for block in table.blocks for row in block.rows)
    found = ["Mean ± sample standard deviation over the seeds of the finished runs. Bold: the best mean."]
    if len(comparison.losses) > 1:
        found.append(
            f"Differences are from {comparison.reference}, seed by seed. In brackets is the 95 % t interval "
            "of their mean; an asterisk means that it excludes 0."
        )
    if table.changes:
        found.append(
            f"Changes from {comparison.baseline} are taken seed by seed before all else: a difference of "
            "changes says how much more a setting does to this loss than to the reference."
        )
    if single:
        found.append(
            "One seed has neither a deviation nor an interval: it does not show which loss is better."
        )
    if (count := table.intervals) > 1:
        found.append(
            f"The intervals are not corrected for one another. There are {count}: if nothing differed at "
            f"all, about {count * 0.05:.2g} of them would exclude 0 by chance."
        )
    return found


def show(table: Table, console: Console) -> None:
    """Print the table, as many figures side by side as the console is wide."""
    width = max(len(row.label) for block in table.blocks for row in block.rows)
    beside = max(1, (console.width - width - 12) // _COLUMN)
    for block in table.shown:
        for start in range(0, len(table.figures), beside):
            shown = RichTable(title=block.setting or None, box=box.SIMPLE_HEAD, title_justify="left")
            shown.add_column("loss", no_wrap=True)
            shown.add_column("runs", no_wrap=True)
            figures = table.figures[start : start + beside]
            for figure in figures:
                shown.add_column(Text(f"{figure}\n{direction(table, figure)}"))
            for row in block.rows:
                cells = [_cell(table, row, figure) for figure in figures]
                shown.add_row(Text(row.label), runs_words(row, table), *cells)
            console.print(shown)
    for note in notes(table):
        console.print(note, highlight=False, markup=False)


def _cell(table: Table, row: Row, figure: str) -> Text:
    number, decimals = row.numbers[figure], table.decimals(figure)
    words = Text(mean_words(number, decimals), style="bold" if number.best else "")
    if difference := difference_words(number, row, decimals):
        words.append("\n" + difference, style="not bold")
    return words


def markdown(table: Table) -> str:
    """The table in Markdown, a block for each setting."""
    parts = []
    for block in table.shown:
        if block.setting:
            parts.append(f"### {_escape(block.setting)}\n")
        heads = [f"{_escape(figure)} ({direction(table, figure)})" for figure in table.figures]
        lines = [["loss", "runs", *heads], ["---"] * (2 + len(heads))]
        for row in block.rows:
            cells = []
            for figure in table.figures:
                number, decimals = row.numbers[figure], table.decimals(figure)
                mean = mean_words(number, decimals)
                difference = difference_words(number, row, decimals).replace("*", r"\*")
                cells.append((f"**{mean}**" if number.best else mean) + (difference and f"<br>{difference}"))
            lines.append([_escape(row.label), runs_words(row, table), *cells])
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    return "\n".join([*parts, *(f"- {_escape(note)}" for note in notes(table))]) + "\n"


def _escape(words: str) -> str:
    for character in "\\|*_<`":
        words = words.replace(character, "\\" + character)
    return words
