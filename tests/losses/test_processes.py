"""Every loss in two processes (gloo), gathered as training does: the same as in one."""

import os
import socket
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from evenface import losses
from evenface.losses import regularisers
from evenface.training.processes import Processes, processes

C, D, N, STEPS = 5, 4, 11, 3
ROWS = (slice(0, 6), slice(6, 11))  # of the two processes; an image of the second's six could not be read


def train(name: str, me: Processes) -> dict[str, Tensor]:
    """Three steps of a linear network and a loss with every regulariser it takes; all that came of them."""
    torch.manual_seed(0)
    images, labels = torch.randn(STEPS, N, 6, dtype=torch.float64), torch.randint(C, (STEPS, N))
    net, head = nn.Linear(6, D), losses.create(name, C, D)
    if isinstance(head, losses.CentreHead):
        for extra in regularisers.REGULARISERS:
            regularisers.add(head, extra)
    head.use_class_sizes(torch.tensor([5, 1, 3, 2, 8]))
    net, head = net.double(), head.double()
    forward = net if me.world == 1 else DistributedDataParallel(net)
    own = slice(0, N) if me.world == 1 else ROWS[me.rank]
    weights = {**dict(net.named_parameters()), **dict(head.named_parameters())}
    optimizer = torch.optim.SGD(weights.values(), lr=0.01)
    found = {}
    for step in range(STEPS):
        loss = head(*me.gather(forward(images[step, own]), labels[step, own], 6))
        optimizer.zero_grad()
        loss.backward()
        me.average_gradients(head)
        optimizer.step()
        found[f"loss of step {step}"] = loss.detach()
        found |= {f"slope of {n} at step {step}": weight.grad.clone() for n, weight in weights.items()}
        found |= {f"{n} after step {step}": buffer.clone() for n, buffer in head.named_buffers()}
    return found


def _one_of_two(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
    os.environ.update(place)
    with processes("cpu") as me:
        torch.save({name: train(name, me) for name in losses.LOSSES}, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What each of two processes found, by loss."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_one_of_two, (port, folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_two_processes_are_as_one(name, two):
    one = train(name, Processes(0, 1, torch.device("cpu")))
    first, second = (found[name] for found in two)
    assert one.keys() == first.keys() == second.keys()
    for what, value in one.items():
        assert torch.equal(first[what], second[what]), f"the processes differ in the {what}"
        torch.testing.assert_close(
            first[what], value, rtol=1e-9, atol=1e-9, msg=lambda s, w=what: f"{w}: {s}"
        )
