"""Several processes that train together hear of it when one of them ends."""

import os
import secrets
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import torch
import torch.distributed as dist

from evenface.errors import UserError

GRACE = 3.0
"""Seconds in which a process may find out by itself, and say more, before it is stopped."""

_GOODBYE = b"\0"
_PATIENCE = 60.0  # seconds in which all must have connected


@contextmanager
def watched(device: torch.device) -> Iterator[None]:
    """Around what the processes of the default group do together: if one ends within, the others get SIGTERM.

    PyTorch does not always tell: who waits in gloo for a process that is gone may wait half an hour. So each
    process holds a TCP connection to the first, which the system closes when either ends, however it ends.

    Args:
        device: of the group's tensors.

    Raises:
        UserError: a process cannot reach the first one.
    """
    peers = _connected(device)
    done = Event()
    Thread(target=_watch, args=(peers, done), daemon=True).start()
    goodbye = b""
    try:
        yield
        goodbye = _GOODBYE
    finally:
        done.set()
        for peer in peers:
            try:
                peer.sendall(goodbye)
                peer.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it is gone, and this process is done


def _connected(device: torch.device) -> list[socket.socket]:
    """In the first process the connections to all others, in each of the others the one to the first."""
    if dist.get_rank() == 0:
        with _server() as server:
            token = secrets.token_bytes(16)
            dist.broadcast_object_list([server.getsockname()[1], token], 0, device=device)
            return _accepted(server, token)
    where: list[Any] = [None, None]
    dist.broadcast_object_list(where, 0, device=device)
    address, port, token = os.environ["MASTER_ADDR"], *where
    try:
        peer = socket.create_connection((address, port), _PATIENCE)
        peer.sendall(token)
    except OSError as error:
        raise UserError(
            f"MASTER_ADDR: process {dist.get_rank()} cannot reach the first process at {address}, port "
            f"{port}: {error}"
        ) from error
    peer.settimeout(None)
    _ask_for_life(peer)
    return [peer]


def _server() -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _accepted(server: socket.socket, token: bytes) -> list[socket.socket]:
    """The connections to `server` of all other processes, which know the token."""
    peers: list[socket.socket] = []
    others = dist.get_world_size() - 1
    until = time.monotonic() + _PATIENCE
    while len(peers) < others:
        server.settimeout(max(until - time.monotonic(), 0.01))
        try:
            peer, _ = server.accept()
        except TimeoutError as error:
            raise UserError(
                f"MASTER_ADDR: {len(peers)} of the {others} other processes reached the first one at "
                f"{os.environ['MASTER_ADDR']}, port {server.getsockname()[1]}"
            ) from error
        peer.settimeout(1.0)
        if _received(peer, len(token)) == token:
            peer.settimeout(None)
            _ask_for_life(peer)
            peers.append(peer)
        else:
            peer.close()  # a stranger
    return peers


def _ask_for_life(peer: socket.socket) -> None:
    """Have the system cut a connection that is silent for two minutes, as of a machine without power."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, option):  # elsewhere than on Linux the system has its own times
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _received(peer: socket.socket, size: int) -> bytes:
    """Up to `size` bytes; fewer where the other side is silent or gone."""
    received = b""
    try:
        while len(received) < size and (more := peer.recv(size - len(received))):
            received += more
    except OSError:
        pass
    return received


def _watch(peers: list[socket.socket], done: Event) -> None:
    """Until every peer has said goodbye; where one is gone without, this process gets SIGTERM."""
    with selectors.DefaultSelector() as there:
        for peer in peers:
            there.register(peer, selectors.EVENT_READ, peer)
        while there.get_map():
            for key, _ in there.select():
                if _received(key.data, 1) != _GOODBYE:
                    if not done.wait(GRACE):
                        os.kill(os.getpid(), signal.SIGTERM)
                    return
                there.unregister(key.data)
    done.wait()
    for peer in peers:
        peer.close()
