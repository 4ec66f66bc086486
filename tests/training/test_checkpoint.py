"""Checkpoints: saved by any number of processes and read by any other, whole or absent, kept or removed."""

import json
import os
import signal
import sys
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from evenface import losses
from evenface.errors import UserError
from evenface.losses import regularisers
from evenface.losses.classes import divided
from evenface.training import checkpoint
from evenface.training.config import TrainConfig
from evenface.training.optimizer import make_optimizer
from evenface.training.processes import Processes, processes
from evenface.training.row_optimizer import RowAdamW, RowSGD
from evenface.training.state import Part
from machine import free_port, together

ALONE = Processes(0, 1, torch.device("cpu"))
D, N = 4, 8
# Classes that 2 and 3 processes share unevenly; of 4, the last of three processes has none.
CASES = {"sgd": 5, "adamw": 4, "RowSGD": 4, "RowAdamW": 5}


def make(case: str, me: Processes, seed: int) -> list[Part]:
    """A network with every kind of tensor, a head with per-class tensors of all sorts, their optimizers."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, D))
    net = net.to(memory_format=torch.channels_last)
    with divided(me.rank, me.world):
        head = losses.create("subcentre-arcface" if case == "adamw" else "softmax", CASES[case], D)
        regularisers.add(head, "center")
    if case.startswith("Row"):
        head.sample = 0.5
        own = {"RowSGD": RowSGD, "RowAdamW": RowAdamW}[case](head.parameters(), lr=0.1)
        return [
            Part("net", net, torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)),
            Part("head", head, own),
        ]
    optimizer = make_optimizer([net, head], TrainConfig(optimizer=case))
    return [Part("net", net, optimizer), Part("head", head, optimizer)]


def step(parts: list[Part], rank: int) -> None:
    """One step; the batch norm sees each process's own images, as in training."""
    (_, net, first), (_, head, second) = parts
    images, labels = torch.randn(N, 2, 3, 3), torch.randint(head.num_classes, (N,))
    net(images + rank)
    net[1].eval()
    head(net(images), labels).backward()
    net[1].train()
    for optimizer in {first, second}:
        optimizer.step()
        optimizer.zero_grad()


def held(parts: list[Part]) -> dict[str, Tensor]:
    """What a process holds, by the names of a checkpoint, told from the modules by another way."""
    found = {
        f"{name}.{key}": value for name, module, _ in parts for key, value in module.state_dict().items()
    }
    for name, module, optimizer in parts:
        for key, parameter in module.named_parameters():
            for what, value in optimizer.state[parameter].items():
                found[f"optimizer.{name}.{key}.{what}"] = value
    return {name: value.clone() for name, value in found.items()}


def one_of_three(rank: int, ports: tuple[int, int], folder: Path) -> None:
    """Two processes save every case after two steps; three restore it into other weights."""
    torch.set_num_threads(1)
    if rank < 2:
        with joined(rank, 2, ports[0]) as me:
            for case in CASES:
                parts = make(case, me, seed=1)
                for _ in range(2):
                    step(parts, me.rank)
                checkpoint.save(folder / case, parts, {"step": 2, "best_step": None, "word": "é"}, me, 1)
                torch.save(held(parts), folder / f"{case}-2-{rank}.pt")
    with joined(rank, 3, ports[1]) as me:
        for case in CASES:
            parts = make(case, me, seed=2)
            checkpoint.restore(checkpoint.of_step(folder / case, 2), parts, me)
            torch.save(held(parts), folder / f"{case}-3-{rank}.pt")


def joined(rank: int, world: int, port: int) -> AbstractContextManager[Processes]:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": world, "RANK": rank}
    os.environ.update({name: str(value) for name, value in place.items()})
    return processes("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of all cases saved by two processes and restored by three, and what each process held."""
    folder = tmp_path_factory.mktemp("shapes")
    together(one_of_three, ((free_port(), free_port()), folder), 3)
    return folder


def whole(folder: Path, case: str, world: int) -> dict[str, Tensor]:
    """What several processes held, put together."""
    held = [torch.load(folder / f"{case}-{world}-{rank}.pt") for rank in range(world)]
    classes, part = CASES[case], -(-CASES[case] // world)
    found = {}
    for name, first in held[0].items():
        assert all(one.keys() == held[0].keys() for one in held)
        by_class = name.startswith(("head.", "optimizer.head.")) and first.shape[:1] == (part,)
        found[name] = torch.cat([one[name] for one in held]) if by_class else first
        assert not by_class or len(found[name]) == classes
    return found


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one
    )


@pytest.mark.parametrize("case", CASES)
def test_saved_by_two_and_restored_by_three_and_one(case: str, folder: Path):
    tensors, plain = checkpoint.read(checkpoint.of_step(folder / case, 2))
    assert plain["word"] == "é" and plain["step"] == 2
    assert same(tensors, whole(folder, case, 2))
    assert same(tensors, whole(folder, case, 3))
    parts = make(case, ALONE, seed=2)
    assert not same(tensors, held(parts))
    checkpoint.restore(checkpoint.latest(folder / case), parts, ALONE)
    assert same(tensors, held(parts))
    divided = {name for name, value in tensors.items() if value.shape[:1] == (CASES[case],)}
    expected = {
        "sgd": {"centres", "bias", "centres.momentum_buffer", "bias.momentum_buffer"},
        "adamw": {"centres", "chosen", "centres.exp_avg", "centres.exp_avg_sq"},
        "RowSGD": {"centres", "bias", "centres.momentum_buffer", "bias.momentum_buffer"},
        "RowAdamW": {"centres", "bias"}
        | {f"{name}.{key}" for name in ("centres", "bias") for key in ("exp_avg", "exp_avg_sq", "step")},
    }[case] | {"regularisers.center.centres"}
    found = {name.removeprefix("optimizer.").removeprefix("head.") for name in divided if "head." in name}
    assert found == expected
    step(parts, 0)  # the optimizers take their state as it is


def test_of_what_all_have_the_first_ones_is_kept(folder: Path):
    tensors, _ = checkpoint.read(checkpoint.latest(folder / "sgd"))
    first, second = (torch.load(folder / f"sgd-2-{rank}.pt")["net.1.running_mean"] for rank in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(tensors["net.1.running_mean"], first)


def save(run: Path, number: int, best: int | None = None, keep: int = 2) -> None:
    """A checkpoint of one process, whose values are all of its step."""
    module = nn.Linear(2, 3)
    nn.init.constant_(module.weight, number)
    plain = {"step": number, "best_step": best}
    checkpoint.save(run, [Part("net", module)], plain, ALONE, keep)


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_keeps_the_last_and_the_best(tmp_path: Path):
    for number in range(0, 50, 10):
        save(tmp_path, number, best=10 if number >= 10 else None)
    assert names(tmp_path) == ["step-00000010", "step-00000030", "step-00000040"]
    save(tmp_path, 50, best=50)
    assert names(tmp_path) == ["step-00000030", "step-00000040", "step-00000050"]
    save(tmp_path, 60, best=50, keep=1)
    assert names(tmp_path) == ["step-00000050", "step-00000060"]
    save(tmp_path, 60)
    assert names(tmp_path) == ["step-00000050", "step-00000060"]
    save(tmp_path, 0)  # another run begins in its place
    assert names(tmp_path) == ["step-00000000"]


def killed(run: Path, moment: int) -> bool:
    """Three checkpoints, in a fork that is killed at its `moment`-th operation on a file, if there is one."""
    if child := os.fork():
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    seen = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal seen
        if event.startswith(("open", "os.", "shutil.")) and str(run) in str(arguments):
            seen += 1
            if seen > moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    for number in (1, 2, 3):
        save(run, number, keep=1)
    os._exit(0)


def kill_at_every_moment(_: int, folder: Path) -> None:
    torch.set_num_threads(1)
    save(folder / "before", 1)  # imports what it needs
    moments = next(moment for moment in count() if not killed(folder / str(moment), moment))
    (folder / "moments").write_text(str(moments))


def test_a_kill_at_any_moment_leaves_whole_checkpoints(tmp_path: Path):
    together(kill_at_every_moment, (tmp_path,), 1)  # a fork of this process would have its threads' locks
    moments = int((tmp_path / "moments").read_text())
    assert moments > 30
    steps = []
    for moment in range(moments):
        run = tmp_path / str(moment)
        steps.append(0)
        for place in (run / "checkpoints").glob("step-*"):
            if not place.name.endswith(".unfinished"):
                tensors, plain = checkpoint.read(place)
                assert (tensors["net.weight"] == plain["step"]).all()
        if place := checkpoint.latest(run):
            steps[-1] = checkpoint.plain(place)["step"]
        save(run, 4, keep=1)
        assert names(run) == ["step-00000004"]
    assert steps == sorted(steps) and set(steps) == {0, 1, 2, 3}


def test_damage_is_named(tmp_path: Path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    place = checkpoint.latest(tmp_path)
    (shard,) = place.glob("*.safetensors")
    content, parts = shard.read_bytes(), [Part("net", nn.Linear(2, 3))]
    for damaged in (content[:-1], b"\xff" * len(content), b"", None):
        shard.unlink() if damaged is None else shard.write_bytes(damaged)
        for read in (checkpoint.read, lambda path: checkpoint.restore(path, parts, ALONE)):
            with pytest.raises(UserError, match=r"step-00000002.* not a checkpoint that can be read.*remove"):
                read(place)
    shard.write_bytes(content)
    checkpoint.read(place)
    (place / "state.json").write_text('{"step": 2')
    with pytest.raises(UserError, match=r"state\.json: not a checkpoint that can be read"):
        checkpoint.read(place)
    (place / "state.json").unlink()
    with pytest.raises(UserError, match=r"state\.json: not a checkpoint that can be read"):
        checkpoint.read(place)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (
            nn.Linear(2, 4),
            r"net\.bias is \(\(3,\), torch\.float32\) in it and \(\(4,\), torch\.float32\) here",
        ),
        (nn.Linear(2, 3, bias=False), r"net\.bias is .* in it and None here"),
        (nn.Bilinear(2, 2, 3), r"net\.weight"),
        (
            nn.Linear(2, 3).double(),
            r"net\.bias is \(\(3,\), torch\.float32\) in it and \(\(3,\), torch\.float64\) here",
        ),
    ],
)
def test_another_model_is_refused(tmp_path: Path, module: nn.Module, why: str):
    save(tmp_path, 1)
    with pytest.raises(UserError, match=f"step-00000001: is of another model or optimizer: {why}.*settings"):
        checkpoint.restore(checkpoint.latest(tmp_path), [Part("net", module)], ALONE)


def test_another_optimizer_is_refused(tmp_path: Path):
    net = nn.Linear(2, 3)
    parts = [Part("net", net, torch.optim.SGD(net.parameters()))]
    checkpoint.save(tmp_path, parts, {"step": 1, "best_step": None}, ALONE, 1)
    parts = [Part("net", net, torch.optim.AdamW(net.parameters()))]
    with pytest.raises(
        UserError, match=r"the optimizer is \{'net': 'SGD'\} in it and \{'net': 'AdamW'\} here"
    ):
        checkpoint.restore(checkpoint.latest(tmp_path), parts, ALONE)


def test_no_checkpoint_and_old_ones(tmp_path: Path):
    assert checkpoint.latest(tmp_path) is None
    with pytest.raises(UserError, match=r"checkpoints: no checkpoint; begin again"):
        checkpoint.of_step(tmp_path, 3)
    (tmp_path / "checkpoints/step-00000007.unfinished").mkdir(parents=True)
    assert checkpoint.latest(tmp_path) is None
    (tmp_path / "checkpoints/last.pt").touch()
    assert "last.pt: was written by an older version of evenface" in str(checkpoint.missing(tmp_path))
    save(tmp_path, 123_456_789)
    assert checkpoint.latest(tmp_path).name == "step-123456789"
    with pytest.raises(UserError, match=r"no checkpoint of step 3; .*evenface train --resume"):
        checkpoint.of_step(tmp_path, 3)


def test_nothing_is_pickled(tmp_path: Path):
    """Every file is JSON, or a safetensors header of JSON with numbers after it."""
    save(tmp_path, 1)
    shard, state = sorted(checkpoint.latest(tmp_path).iterdir())
    assert json.loads(state.read_text())["step"] == 1
    content = shard.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header.keys() == {"__metadata__", "net.weight", "net.bias"}
    assert len(content) == 8 + int.from_bytes(content[:8], "little") + 4 * (6 + 3)
