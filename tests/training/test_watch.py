"""Processes that compute, and so hear nothing from PyTorch, while another of them ends."""

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from multiprocessing.synchronize import Barrier

import pytest
import torch

from evenface.errors import UserError
from evenface.training import watch
from evenface.training.processes import processes
from machine import PATIENCE, free_port

Act = Callable[[], None]
WORLD = 3


def run(port: str, rank: int, act: Act, within: bool, all_here: Barrier) -> None:
    """One process of WORLD, which does `act`, `within` the group or once it has left it."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE=str(WORLD), RANK=str(rank))
    torch.set_num_threads(1)
    watch.GRACE = 0.2
    try:
        with processes("cpu") as me:
            me.barrier()
            all_here.wait(PATIENCE)  # who ends at once would end others within PyTorch's barrier
            if within:
                act()
    except UserError:
        pass
    if not within:
        act()


def exit_codes(acts: list[Act], within: bool = True) -> list[int | None]:
    """Of WORLD processes that each do one of the acts; None where one did not end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["evenface.training.loop"])  # to import it once
    port, all_here = str(free_port()), context.Barrier(WORLD)
    all_of_them = [
        context.Process(target=run, args=(port, rank, act, within, all_here)) for rank, act in enumerate(acts)
    ]
    for process in all_of_them:
        process.start()
    until = time.monotonic() + PATIENCE
    for process in all_of_them:
        process.join(max(until - time.monotonic(), 0))
    codes = [process.exitcode for process in all_of_them]
    for process in all_of_them:
        process.kill()
        process.join()
    return codes


compute = partial(time.sleep, 10 * PATIENCE)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail_and_live_on() -> None:
    raise UserError("an error of this process alone")


@pytest.mark.parametrize("lost", [0, 2])
@pytest.mark.parametrize(
    ("end", "code"), [(kill, -signal.SIGKILL), (partial(os._exit, 0), 0), (fail_and_live_on, 0)]
)
def test_the_others_are_stopped(end: Act, code: int, lost: int):
    acts: list[Act] = [compute] * WORLD
    acts[lost] = end
    expected: list[int | None] = [-signal.SIGTERM] * WORLD
    expected[lost] = code
    assert exit_codes(acts) == expected


@pytest.mark.parametrize("last", [0, 2])
def test_who_is_done_leaves_and_the_others_stay(last: int):
    acts: list[Act] = [partial(time.sleep, 0)] * WORLD
    acts[last] = partial(time.sleep, 1)
    assert exit_codes(acts, within=False) == [0] * WORLD


def test_who_stays_within_longer_is_not_stopped():
    assert exit_codes([partial(time.sleep, seconds) for seconds in (0, 0.5, 1)]) == [0] * WORLD


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process of two; the other is the test's own."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setattr(watch.dist, "get_rank", lambda: 0)
    monkeypatch.setattr(watch.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(watch, "_PATIENCE", 0.5)


def connecting(monkeypatch: pytest.MonkeyPatch, sent: Callable[[bytes], list[bytes]]) -> list[socket.socket]:
    """Where the first process says where it is: a connection for each of what is `sent`, given the token."""
    made: list[socket.socket] = []

    def broadcast(where: list[object], source: int, device: torch.device) -> None:
        port, token = where
        assert isinstance(port, int) and isinstance(token, bytes)
        for message in sent(token):
            made.append(socket.create_connection(("127.0.0.1", port)))
            made[-1].sendall(message)

    monkeypatch.setattr(watch.dist, "broadcast_object_list", broadcast)
    return made


def test_a_stranger_is_turned_away(alone: None, monkeypatch: pytest.MonkeyPatch):
    made = connecting(monkeypatch, lambda token: [bytes(16), token[:-1], token])
    stopped: list[int] = []
    monkeypatch.setattr(watch.os, "kill", lambda process, number: stopped.append(number))
    with watch.watched(torch.device("cpu")):
        assert made[0].recv(1) == b"" and made[1].recv(1) == b""
        made[2].sendall(b"\0")
    assert made[2].recv(9) == b"\0" and made[2].recv(1) == b"" and not stopped


def test_nobody_comes(alone: None, monkeypatch: pytest.MonkeyPatch):
    connecting(monkeypatch, lambda token: [])
    said = "^MASTER_ADDR: 0 of the 1 other processes reached the first one at 127"
    with pytest.raises(UserError, match=said), watch.watched(torch.device("cpu")):
        pass


def test_the_first_cannot_be_reached(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen

        def broadcast(where: list[object], source: int, device: torch.device) -> None:
            where[:] = closed.getsockname()[1], b"token"

        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setattr(watch.dist, "get_rank", lambda: 1)
        monkeypatch.setattr(watch.dist, "broadcast_object_list", broadcast)
        said = "^MASTER_ADDR: process 1 cannot reach the first process at 127"
        with pytest.raises(UserError, match=said), watch.watched(torch.device("cpu")):
            pass


def test_a_connection_that_falls_silent_is_cut_by_the_system():
    address = ("127.0.0.1", 0)
    with socket.create_server(address) as server, socket.create_connection(server.getsockname()) as peer:
        watch._ask_for_life(peer)
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, between, count = (
            peer.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + between * count == 120


def test_who_waits_for_a_long_measurement_waits(monkeypatch):
    """PyTorch's own patience, half an hour or ten minutes, would end a run of which nobody is gone."""
    given = {}

    def join(backend: str, timeout: timedelta) -> None:
        given[backend] = timeout
        raise ConnectionError

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("torch.distributed.init_process_group", join)
    with pytest.raises(ConnectionError), processes("cpu"):
        pass
    assert given["gloo"] >= timedelta(hours=12)
