"""The runs as processes, several at once."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from evenface.compare.cells import Cell

EVENFACE = (sys.executable, "-m", "evenface")
Done = Callable[[Cell, float, str | None], None]
"""Told of each run that has ended: the run, seconds, and the last lines if it failed."""
_POLL = 0.05  # seconds between two looks
_PATIENCE = 10  # seconds that a run has to stop


@dataclass(frozen=True)
class _Running:
    cell: Cell
    process: subprocess.Popen[bytes]
    began: float


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(cells: Sequence[Cell], jobs: int, done: Done, program: Sequence[str] = EVENFACE) -> None:
    """Run each cell, `jobs` at once, each on its share of the cores; a run that fails stops no other.

    What stops this function, Ctrl-C or SIGTERM, stops the runs first.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, cores() // jobs))}
    waiting, running = deque(cells), list[_Running]()
    with _sigterm_as_interrupt():
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(waiting.popleft(), program, environment))
                time.sleep(_POLL)
                for run in [run for run in running if run.process.poll() is not None]:
                    running.remove(run)
                    failed = run.process.returncode != 0 or run.cell.figures() is None
                    error = run.cell.fail(run.process.returncode) if failed else None
                    done(run.cell, time.monotonic() - run.began, error)
        finally:
            _stop([run.process for run in running])


def _start(cell: Cell, program: Sequence[str], environment: dict[str, str]) -> _Running:
    words = cell.prepare()
    with open(cell.log, "ab") as log:
        process = subprocess.Popen(
            [*program, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    return _Running(cell, process, time.monotonic())


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
