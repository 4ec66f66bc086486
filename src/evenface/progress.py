"""How far long work has come, on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Display

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


@contextmanager
def bars() -> Iterator[Callable[[str], Progress]]:
    """Bars on standard error, gone at the end.

    Yields:
        what takes a few words, draws a bar beside them, and returns what moves it.
    """
    columns = (
        TextColumn("{task.description}", markup=False),  # a path may have [brackets]
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Display(*columns, console=Console(stderr=True), transient=True) as display:

        def bar(words: str) -> Progress:
            task = display.add_task(words, total=None)
            return lambda done, total: display.update(task, completed=done, total=total)

        yield bar
