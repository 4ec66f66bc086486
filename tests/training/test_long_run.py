"""Long random runs: plain, in blocks, divided, stopped and gone on with by others, step by step the same."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evenface import losses
from evenface.losses import regularisers, rivals
from evenface.losses.classes import divided
from evenface.training import checkpoint
from evenface.training.config import TrainConfig
from evenface.training.gradients import clip_gradients
from evenface.training.optimizer import make_optimizer
from evenface.training.processes import Processes, processes
from evenface.training.state import Part
from machine import free_port, together

ALONE = Processes(0, 1, torch.device("cpu"))
TRIALS, STEPS = 8, 5  # steps in each of the run's three parts
WITH_CENTRES = sorted(n for n, kind in losses.LOSSES.items() if issubclass(kind, losses.CentreHead))


class Trial:
    """A random setting: a loss, sizes, a batch for every step. The same for whoever makes it of a number."""

    def __init__(self, number: int):
        rng = np.random.default_rng(number)
        self.loss = WITH_CENTRES[int(rng.integers(len(WITH_CENTRES)))]
        self.classes, self.size = int(rng.integers(3, 20)), int(rng.integers(2, 9))
        self.optimizer = ("sgd", "adamw")[number % 2]
        self.clip = float(rng.choice([0.0, 0.5]))
        self.extras = [name for name in regularisers.REGULARISERS if rng.random() < 0.4]
        counts = rng.integers(6, 20, 3 * STEPS)
        self.images = [torch.from_numpy(rng.normal(size=(n, 5))) for n in counts]
        self.labels = [torch.from_numpy(rng.integers(self.classes, size=n)) for n in counts]
        self.widths = [int(width) for width in rng.integers(1, self.classes + 2, 3)]

    def made(self, me: Processes) -> list[Part]:
        torch.manual_seed(0)
        net = nn.Linear(5, self.size).double()
        with divided(me.rank, me.world):
            head = losses.create(self.loss, self.classes, self.size)
            for name in self.extras:
                regularisers.add(head, name)
        head = head.double()
        config = TrainConfig(optimizer=self.optimizer, weight_decay=0.01)
        optimizer = make_optimizer([net, head], config)
        return [Part("net", net, optimizer), Part("head", head, optimizer)]

    def go(self, parts: list[Part], steps: range, me: Processes) -> list[float]:
        """Train for these steps; the loss of each. Every process computes the network's part alike."""
        (_, net, optimizer), (_, head, _) = parts
        for group in optimizer.param_groups:
            group["lr"] = 0.02
        found = []
        for step in steps:
            loss = head(net(self.images[step]), self.labels[step])
            optimizer.zero_grad()
            loss.backward()
            clip_gradients(net, head, self.clip)
            optimizer.step()
            found.append(float(loss.detach()))
        return found


def part_of_run(rank: int, world: int, port: int, folder: Path, act: int) -> None:
    """One of the three parts of every trial's run: restored from the part before it, and saved."""
    if world > 1:
        torch.set_num_threads(1)
        os.environ.update(
            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(world), RANK=str(rank)
        )
    with processes("cpu") as me:
        for number in range(TRIALS):
            trial, run = Trial(number), folder / str(number)
            rivals.block_width = lambda rows, device, width=trial.widths[act]: width
            parts = trial.made(me)
            if act:
                last = checkpoint.latest(run)
                assert last is not None
                checkpoint.restore(last, parts, me)
            values = trial.go(parts, range(act * STEPS, (act + 1) * STEPS), me)
            checkpoint.save(run, parts, {"step": (act + 1) * STEPS, "best_step": None}, me, keep=3)
            torch.save(values, folder / f"{number}-{act}-{rank}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every trial's run: begun by two processes, gone on with by three, ended by one."""
    folder = tmp_path_factory.mktemp("long")
    for act, world in enumerate((2, 3)):
        together(part_of_run, (world, free_port(), folder, act), world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rivals, "block_width", rivals.block_width)
        part_of_run(0, 1, 0, folder, 2)
    return folder


@pytest.mark.parametrize("number", range(TRIALS))
def test_the_run_is_that_of_one_process_with_one_block(number: int, folder: Path):
    trial = Trial(number)
    parts = trial.made(ALONE)
    expected = trial.go(parts, range(3 * STEPS), ALONE)
    assert abs(expected[0] - expected[-1]) > 1e-6
    for act, world in enumerate((2, 3, 1)):
        for rank in range(world):
            found = torch.load(folder / f"{number}-{act}-{rank}.pt")
            assert found == pytest.approx(expected[act * STEPS : (act + 1) * STEPS], rel=1e-8), (act, rank)
    saved, _ = checkpoint.read(checkpoint.of_step(folder / str(number), 3 * STEPS))
    weights: dict[str, Tensor] = {
        f"{part.name}.{n}": w for part in parts for n, w in part.module.state_dict().items()
    }
    for name, weight in weights.items():
        torch.testing.assert_close(
            saved[name], weight, rtol=1e-7, atol=1e-9, msg=lambda s, n=name: f"{n}: {s}"
        )
