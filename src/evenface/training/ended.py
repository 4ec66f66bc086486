"""A run that is ended from outside says in one sentence how to go on with it."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread

from evenface.training import checkpoint
from evenface.training.processes import ProcessLost

_STDERR = 2


@contextmanager
def how_to_go_on(folder: Path) -> Iterator[None]:
    """Around a run's training, in the main thread: when it is ended from outside, standard error says so.

    It exits with 1 where another process was lost or the disk is full, with 130 on Ctrl-C, and at once with
    143 on SIGTERM, as a shell has these two.
    """
    once = Lock()

    def say(what: str) -> None:
        if once.acquire(blocking=False):
            _write(f"evenface: {what}; {_go_on(folder)}\n")

    def terminated() -> None:
        rank, world = os.environ.get("RANK"), os.environ.get("WORLD_SIZE", "1")
        by = f", which it gets when torchrun is stopped or another of the {world} processes has ended"
        try:
            if os.isatty(_STDERR):
                _write("\x1b[?25h\n")  # a progress bar has hidden the cursor and left it at the bar's end
            say("stopped by SIGTERM" if world == "1" else f"process {rank} was stopped by SIGTERM{by}")
        finally:
            os._exit(128 + signal.SIGTERM)

    with _on_sigterm(terminated):
        try:
            yield
        except ProcessLost as error:
            say(str(error))
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            if os.environ.get("RANK", "0") == "0":  # all processes get it
                say("stopped")
            raise SystemExit(128 + signal.SIGINT) from None
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                raise
            say(f"{error.filename or folder}: {error.strerror}")
            raise SystemExit(1) from None


def _write(text: str) -> None:
    os.write(_STDERR, os.fsencode(text))  # past Python's buffer, which another thread may be writing to


def _go_on(folder: Path) -> str:
    last = checkpoint.latest(folder)
    if last is None:
        return "there is no checkpoint yet, so start again"
    each = os.environ.get("LOCAL_WORLD_SIZE")
    start = "evenface" if each is None else f"torchrun --nproc-per-node {each} -m evenface"
    return f"the last checkpoint is {last}; go on with `{start} train --resume {folder}`"


@contextmanager
def _on_sigterm(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` in a thread when SIGTERM comes.

    A handler in Python would wait for the main thread, which may be waiting within PyTorch for a process that
    is gone. What Python's own handler writes to the pipe comes through at once.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)

    def watch() -> None:
        while number := os.read(read, 1)[0]:
            if number == signal.SIGTERM:
                act()

    Thread(target=watch, daemon=True).start()
    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, handler)
        os.write(write, b"\0")
