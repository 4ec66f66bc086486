"""What a run says while it trains: JSON lines, a progress display, and TensorBoard if asked for."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evenface.errors import UserError

_SECONDS_BETWEEN_LINES = 30


class Log:
    """Appends to `log.jsonl`, one JSON object a line: {"kind": ..., "step": ..., ...}."""

    def __init__(self, folder: Path, console: Console, progress: Progress, task: Any, board: Any):
        self._file = open(folder / "log.jsonl", "a", encoding="utf-8")  # noqa: SIM115  # closed in close()
        self.console = console
        self._progress, self._task, self._board = progress, task, board
        self._said = time.monotonic()

    def say(self, sentence: str) -> None:
        """A sentence for the user, above the progress bar."""
        self.console.print(sentence, highlight=False, markup=False)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """One line of the log."""
        # JSON has no infinity and no NaN (a gradient's norm under fp16 may be one): null.
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        line = {"kind": kind, "step": step, "time": round(time.time(), 3), **plain}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def advance(self, step: int, **shown: str) -> None:
        """Move the progress display to `step`."""
        words = "  ".join(f"{name} {value}" for name, value in shown.items())
        self._progress.update(self._task, completed=step, words=words)
        # A file or a pipe shows no bar: a line now and then, and at the end.
        done = step == self._progress.tasks[0].total
        if not self.console.is_terminal and (done or time.monotonic() - self._said > _SECONDS_BETWEEN_LINES):
            self._said = time.monotonic()
            self.say(f"step {step} of {self._progress.tasks[0].total:g}  {words}")

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


@contextmanager
def open_log(
    folder: Path, console: Console, title: str, start: int, steps: int, *, tensorboard: bool
) -> Iterator[Log]:
    """The log of a run in `folder`, and a progress bar from step `start` to `steps` on the console.

    Raises:
        UserError: TensorBoard is asked for and not installed.
    """
    board = None
    if tensorboard:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError(
                "train.tensorboard: TensorBoard is not installed; pip install 'evenface[track]'"
            ) from None
        board = SummaryWriter(folder / "tensorboard", purge_step=start)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        log = Log(
            folder, console, progress, progress.add_task(title, total=steps, completed=start, words=""), board
        )
        try:
            yield log
        finally:
            log.close()
