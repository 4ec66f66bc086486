"""Every loss divided among processes (gloo), gathered as training does: the same as in one, step by step."""

import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from evenface import losses
from evenface.losses import regularisers, rivals
from evenface.losses.classes import divided
from evenface.training.processes import Processes, processes
from machine import free_port, together

D, N, STEPS = 4, 11, 4
# Processes and classes: 5 classes are 3 and 2; 4 classes of 3 processes are 2, 2 and none.
DIVISIONS = {2: 5, 3: 4}
# The most images of a process, and those that each has: one that a process should have could not be read.
ROWS = {1: (11, [11]), 2: (6, [6, 5]), 3: (4, [4, 3, 4])}


def train(name: str, me: Processes, classes: int) -> dict[str, Tensor]:
    """Some steps of a linear network and a loss with every regulariser it takes; all that came of them.

    From step to step, classes are in the batch and absent from it. The divided run reads its classes one by
    one, the other one all at once.
    """
    if me.world > 1:
        rivals.block_width = lambda rows, device: 1
    torch.manual_seed(0)
    images, labels = torch.randn(STEPS, N, 6, dtype=torch.float64), torch.randint(classes, (STEPS, N))
    labels[1] = 0
    net = nn.Linear(6, D)
    with divided(me.rank, me.world):
        head = losses.create(name, classes, D)
        if isinstance(head, losses.CentreHead):
            for extra in regularisers.REGULARISERS:
                regularisers.add(head, extra)
    head.use_class_sizes(torch.tensor([5, 1, 3, 2, 8])[:classes])
    net, head = net.double(), head.double()
    forward = net if me.world == 1 else DistributedDataParallel(net)
    most, counts = ROWS[me.world]
    own = slice(sum(counts[: me.rank]), sum(counts[: me.rank + 1]))
    weights = {**dict(net.named_parameters()), **dict(head.named_parameters())}
    optimizer = torch.optim.SGD(weights.values(), lr=0.01, momentum=0.9, weight_decay=0.01)
    per_class = head.per_class()

    def whole(name: str, value: Tensor) -> Tensor:
        return (head.classes.whole(value) if name in per_class else value.detach()).clone()

    found = {name: whole(name, weight) for name, weight in weights.items()}
    for step in range(STEPS):
        loss = head(*me.gather(forward(images[step, own]), labels[step, own], most))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found[f"loss of step {step}"] = loss.detach()
        for n, weight in weights.items():
            found[f"slope of {n} at step {step}"] = whole(n, weight.grad)
            found[f"{n} after step {step}"] = whole(n, weight)
        found |= {f"{n} after step {step}": whole(n, buffer) for n, buffer in head.named_buffers()}
    return found


def sampled(me: Processes, classes: int) -> dict[str, Tensor]:
    """One call of CosFace with half of the classes, each process drawing from its own."""
    torch.manual_seed(0)
    x, labels = torch.randn(N, D, dtype=torch.float64, requires_grad=True), torch.randint(classes, (N,))
    labels[labels == 1] = 0
    with divided(me.rank, me.world):
        head = losses.create("cosface", classes, D, scale=8.0).double()
    head.sample = 0.5
    torch.manual_seed(me.rank + 5)
    chosen = torch.rand(len(head.classes)) < 0.5
    torch.manual_seed(me.rank + 5)
    loss = head(x, labels)
    loss.backward()
    own = {"centres": head.centres, "slope": head.centres.grad.to_dense(), "chosen": chosen}
    whole = {name: head.classes.whole(value) for name, value in own.items()}
    return {"x": x.detach(), "labels": labels, "loss": loss.detach(), "slope of x": x.grad, **whole}


def _one_of_many(rank: int, world: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    os.environ.update(place, RANK=str(rank))
    with processes("cpu") as me:
        found = {name: train(name, me, DIVISIONS[world]) for name in losses.LOSSES}
        found["sampled"] = sampled(me, DIVISIONS[world])
        torch.save(found, folder / f"{rank}.pt")


@pytest.fixture(scope="module", params=DIVISIONS)
def many(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, dict[str, Tensor]]]:
    """What each of several processes found, by loss."""
    folder = tmp_path_factory.mktemp("many")
    together(_one_of_many, (request.param, free_port(), folder), request.param)
    return [torch.load(folder / f"{rank}.pt") for rank in range(request.param)]


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_many_processes_are_as_one(name, many):
    one = train(name, Processes(0, 1, torch.device("cpu")), DIVISIONS[len(many)])
    first, *others = (found[name] for found in many)
    assert one.keys() == first.keys()
    for what, value in one.items():
        for other in others:
            assert torch.equal(first[what], other[what]), f"the processes differ in the {what}"
        torch.testing.assert_close(
            first[what], value, rtol=1e-9, atol=1e-9, msg=lambda s, w=what: f"{w}: {s}"
        )


def test_each_process_draws_from_its_own_classes(many):
    for found in (each["sampled"] for each in many):
        x, w = (found[name].clone().requires_grad_() for name in ("x", "centres"))
        labels, classes = found["labels"], len(w)
        present = torch.isin(torch.arange(classes), labels)
        logits = 8 * F.normalize(x) @ F.normalize(w).T - 8 * 0.35 * F.one_hot(labels, classes)
        weight = torch.where(present, 1.0, torch.where(found["chosen"], 2.0, 0.0))
        loss = F.cross_entropy(logits + weight.log(), labels)
        loss.backward()
        assert not bool(present.all())
        torch.testing.assert_close(found["loss"], loss.detach())
        torch.testing.assert_close(found["slope of x"], x.grad)
        torch.testing.assert_close(found["slope"], w.grad)
