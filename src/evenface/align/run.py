"""The pass over all pictures: bounded, in several processes, and able to stop."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from types import FrameType, TracebackType

import cv2

from evenface.align import work
from evenface.align.find import Job
from evenface.align.plan import Plan
from evenface.align.table import Row, Table
from evenface.align.walk import walk
from evenface.errors import UserError
from evenface.faces.landmarks import PointsList

_CHUNK, _AHEAD = 16, 4
"""Pictures that a worker gets at once, and such lots that wait for each worker."""


def align(
    plan: Plan, table: Table, points: PointsList | None, workers: int, told: Callable[[Sequence[Row]], None]
) -> int:
    """Align what has no line in the table yet; the lines come in the walk's order, whoever works faster.

    `told` is called after each lot of lines was added. Returns how many symbolic links were passed over.

    Raises:
        UserError: a folder cannot be opened, a crop cannot be written, or a worker was killed.
        KeyboardInterrupt: once all that was under way is in the table.
    """
    links = 0

    def jobs() -> Iterator[Job]:
        nonlocal links
        for source in walk(plan.source):
            if isinstance(source, int):
                links += source
            elif not table.has(source.name):
                yield Job(source.name, source.stem, points(source.name) if points else None)

    def finish(future: Future[list[Row]]) -> None:
        rows = future.result()
        table.add(rows)
        told(rows)

    for left_by_kill in plan.output.glob(f"{work.PART}*"):
        left_by_kill.unlink()
    pool, call = _pool(plan, workers)
    waiting: deque[Future[list[Row]]] = deque()
    remaining = jobs()
    try:
        with _Stop() as stop:
            while not stop.wanted and (lot := list(islice(remaining, _CHUNK))):
                waiting.append(pool.submit(call, lot))
                if len(waiting) > _AHEAD * workers:
                    finish(waiting.popleft())
            while waiting and not stop.wanted:
                finish(waiting.popleft())
            if stop.wanted:
                pool.shutdown(wait=False, cancel_futures=True)
                for future in waiting:
                    if not future.cancelled():
                        finish(future)
                raise KeyboardInterrupt
    except BrokenProcessPool:
        raise UserError(
            "--workers: a worker process was killed, perhaps for want of memory; "
            "call again to go on, with fewer"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
    return links


class _Stop:
    """While entered, the first Ctrl-C only says that it came; the second is as usual."""

    wanted = False

    def __enter__(self) -> "_Stop":
        self._usual = signal.signal(signal.SIGINT, self._heed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._usual)

    def _heed(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True
        signal.signal(signal.SIGINT, self._usual)


def _pool(plan: Plan, workers: int) -> tuple[Executor, Callable[[Sequence[Job]], list[Row]]]:
    """Processes; where a GPU detects, one process of several threads that read and write for it."""
    if plan.device != "cpu":
        cv2.setNumThreads(1)
        return ThreadPoolExecutor(workers), work.Worker(plan)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["evenface.align.work"])
    return ProcessPoolExecutor(workers, context, work.start, (plan,)), work.work
