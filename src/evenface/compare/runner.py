"""The runs as processes, several at once."""

import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from evenface.compare.cells import Cell

Done = Callable[[Cell, float, str | None], None]
"""Told of each run that has ended: the run, seconds, and the last lines if it failed."""
IMPORTED = ("evenface.lab.command", "evenface.training.loop", "torch._dynamo")
"""What a run imports, in about as much time as a short run then takes: all are forked from one process that
has imported it. Its threads must end at a fork, as OpenBLAS's do: a run would wait for them for ever."""
_POLL = 0.05  # seconds between two looks
_PATIENCE = 10  # seconds that a run has to stop


@dataclass(frozen=True)
class _Running:
    cell: Cell
    process: BaseProcess
    began: float


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(cells: Sequence[Cell], jobs: int, done: Done, program: str = "evenface") -> None:
    """Run each cell, `jobs` at once, each on its share of the cores; a run that fails stops no other.

    A run is what `python -m program` and the cell's words would do.

    What stops this function, Ctrl-C or SIGTERM, stops the runs first.
    """
    threads = max(1, cores() // jobs)
    waiting, running = deque(cells), list[_Running]()
    with _sigterm_as_interrupt():
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(waiting.popleft(), program, threads))
                time.sleep(_POLL)
                for run in [run for run in running if run.process.exitcode is not None]:
                    running.remove(run)
                    code = run.process.exitcode or 0
                    error = run.cell.fail(code) if code or run.cell.figures() is None else None
                    done(run.cell, time.monotonic() - run.began, error)
        finally:
            _stop([run.process for run in running])


def _start(cell: Cell, program: str, threads: int) -> _Running:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    process = context.Process(target=_run, args=(program, cell.prepare(), cell.log, environment))
    process.start()
    return _Running(cell, process, time.monotonic())


def _run(program: str, words: list[str], log: Path, environment: dict[str, str]) -> None:
    """In the new process: all that is printed goes to the log."""
    with open(os.devnull, "rb") as nothing, open(log, "ab") as file:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    sys.argv = [program, *words]
    runpy.run_module(program, run_name="__main__", alter_sys=True)


def _stop(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
