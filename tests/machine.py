"""Ports and processes, for tests that start processes: robust on a machine that is slow and shared."""

import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import start_processes

from evenface import cli

PATIENCE = 120.0
"""Seconds after which what a test waits for will not come: a test that passes does not wait so long."""

_RANDOM = random.SystemRandom()  # two test runs at once draw other ports
_given: set[int] = set()


def free_port() -> int:
    """A port that is free, and that this process has not been given before.

    The system takes a port for every connection and for who asks for any from a range of its own, where what
    is free now may be taken before the test's processes meet there; so it is of those below.
    """
    first = _ephemeral()
    while True:
        port = _RANDOM.randrange(max(1024, first - 20_000), first)
        if port not in _given and _free(port):
            _given.add(port)
            return port


@cache
def _ephemeral() -> int:
    """The first port of the system's own range."""
    setting = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(setting.read_text().split()[0]) if setting.exists() else 49_152
    return first if first > 2048 else 32_768  # where all are the system's, no port is safer than another


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def wait_for(condition: Callable[[], bool], while_: Callable[[], bool] = lambda: True) -> None:
    """Until the condition holds; fails after PATIENCE, or where `while_` ends first."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert while_(), "it ended before what was waited for came"
        assert time.monotonic() < until, "what was waited for did not come"
        time.sleep(0.01)


def descendants(process: int) -> list[int]:
    """The process's children and theirs, as Linux has them now."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [each for child in map(int, children) for each in (child, *descendants(child))]


def runs(process: int) -> bool:
    """Whether the process is there and not a dead one whose parent has not asked for it yet."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@contextmanager
def started(words: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A program that is killed at the end, with all that it has started, if it has not ended."""
    with subprocess.Popen(words, **options) as program:
        try:
            yield program
        finally:
            if program.poll() is None:
                for process in (program.pid, *descendants(program.pid)):
                    os.kill(process, signal.SIGKILL)


def together(function: Callable[..., None], arguments: tuple[Any, ...], count: int) -> None:
    """Call the function with each rank < count and the arguments, in a process each, and wait for them.

    They are forked from a process that has imported what takes long, and has no threads.
    """
    multiprocessing.set_forkserver_preload(["evenface.training.loop"])
    start_processes(function, arguments, count, start_method="forkserver")


def in_two(words: Sequence[str | Path], folder: Path) -> str:
    """`evenface` with these words in two processes, as torchrun starts them; what they say is kept in folder.

    Returns:
        What both said on standard error.
    """
    together(_evenface, (list(map(str, words)), free_port(), folder), 2)
    return "".join((folder / f"error{rank}").read_text() for rank in (0, 1))


def _evenface(rank: int, words: list[str], port: int, folder: Path) -> None:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
    os.environ.update(place)
    with open(folder / f"error{rank}", "wb") as error:
        os.dup2(error.fileno(), sys.stderr.fileno())
    torch.set_num_threads(1)
    if code := cli.main(words):
        raise RuntimeError(f"ended with {code}: {(folder / f'error{rank}').read_text()}")


LIMIT_MEMORY = """
import resource

def limit_memory(gibibytes):
    # So much more than the process has: what its libraries reserve differs from machine to machine.
    lines = open("/proc/self/status").read().splitlines()
    (has,) = (int(line.split()[1]) for line in lines if line.startswith("VmSize:"))
    resource.setrlimit(resource.RLIMIT_AS, ((has << 10) + (gibibytes << 30),) * 2)
"""
"""The beginning of a program that is to end where it takes much more memory than it has."""

_HELD = """
import os, sys, time
from evenface import cli
from evenface.training.run import Run

update = Run._update

def held(self, *arguments):
    if self.step == {step} and os.environ.get("RANK", "1") == "1":
        time.sleep(3600)
    return update(self, *arguments)

Run._update = held
sys.exit(cli.main(sys.argv[1:]))
"""


def held_after(step: int, folder: Path) -> Path:
    """A program in `folder` as evenface, which waits after `step` steps of training to be killed there.

    Of several processes the second waits so, and the others for it, within PyTorch.
    """
    program = folder / "held.py"
    program.write_text(_HELD.format(step=step))
    return program
