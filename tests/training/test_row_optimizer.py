"""Sparse gradients: the rows drawn step as torch's own optimizer steps them, and no others move."""

import copy
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from evenface import losses
from evenface.training import row_optimizer
from evenface.training.config import TrainConfig
from evenface.training.optimizer import make_optimizer
from evenface.training.state import Part, make_optimizer_state

ROWS, STEPS = 12, 30
KINDS = ("sgd", "adamw")


class Table(nn.Module):
    """Parameters as a head has them: per class in 2, 3 and 1 dimensions, and one that is dense."""

    def __init__(self, rows: int = ROWS):
        super().__init__()
        torch.manual_seed(0)
        self.centres = nn.Parameter(torch.randn(rows, 3, dtype=torch.float64))
        self.subcentres = nn.Parameter(torch.randn(rows, 2, 3, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(rows, dtype=torch.float64))
        self.dense = nn.Parameter(torch.randn(4, 3, dtype=torch.float64))

    def per_class(self) -> list[nn.Parameter]:
        return [self.centres, self.subcentres, self.bias]


def config(kind: str) -> TrainConfig:
    return TrainConfig(optimizer=kind, learning_rate=0.03, weight_decay=0.2)


def torchs(kind: str, parameter: nn.Parameter, dimensions: int | None = None) -> torch.optim.Optimizer:
    """torch's own for a parameter, or for rows of one that has so many dimensions."""
    decay = 0.2 if (dimensions or parameter.ndim) > 1 else 0.0
    if kind == "sgd":
        return torch.optim.SGD([parameter], lr=0.03, momentum=0.9, nesterov=True, weight_decay=decay)
    return torch.optim.AdamW([parameter], lr=0.03, weight_decay=decay)


def draws(rows: int = ROWS) -> list[Tensor]:
    """Rows of each step: row 0 never, row 1 first at step 20, the last at every step, none at step 5."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for step in range(STEPS):
        drawn = torch.rand(rows, generator=generator) < 0.3
        drawn[0], drawn[1], drawn[-1] = False, step >= 20, True
        found.append(torch.nonzero(drawn & (step != 5)).flatten())
    return found


def rate(step: int) -> float:
    return 0.03 * (1 - step / STEPS)


def give_gradients(table: Table, step: int, rows: Tensor) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in table.per_class():
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        values = values.to(parameter.dtype)[rows]
        parameter.grad = torch.sparse_coo_tensor(
            rows[None], values, parameter.shape, is_coalesced=True, check_invariants=False
        )
    table.dense.grad = torch.randn(4, 3, generator=generator, dtype=torch.float64).to(table.dense.dtype)


def run(table: Table, optimizer: torch.optim.Optimizer, first: int = 0, last: int = STEPS) -> None:
    for step, rows in list(enumerate(draws(len(table.centres))))[first:last]:
        give_gradients(table, step, rows)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.step()


@pytest.mark.parametrize("block", [3, 2**14])
@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_as_if_it_had_an_optimizer_of_its_own(kind, block, monkeypatch):
    monkeypatch.setattr(row_optimizer, "_BLOCK", block)
    table, start = Table(), Table()
    run(table, make_optimizer([table], config(kind)))
    for whole, before in zip(table.per_class(), start.per_class(), strict=True):
        for i in range(ROWS):
            alone = nn.Parameter(before[i].detach().clone().view(-1))
            oracle = torchs(kind, alone, before.ndim)
            for step, rows in enumerate(draws()):
                if i in rows:
                    give_gradients(start, step, rows)
                    alone.grad = before.grad.to_dense()[i].view(-1)
                    oracle.param_groups[0]["lr"] = rate(step)
                    oracle.step()
            torch.testing.assert_close(whole[i].view(-1), alone, rtol=1e-12, atol=1e-14)
            assert torch.equal(whole[i], before[i]) == (i == 0), "only row 0 is never drawn"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_all_rows_drawn_are_the_dense_optimizer(kind, dtype):
    table, known = Table().to(dtype), Table().to(dtype)
    ours = make_optimizer([table], config(kind))
    oracles = [torchs(kind, parameter) for parameter in known.parameters()]
    for step in range(STEPS):
        for each in (table, known):
            give_gradients(each, step, torch.arange(ROWS))
        for parameter in known.per_class():
            parameter.grad = parameter.grad.to_dense()
        for optimizer in (ours, *oracles):
            optimizer.step()
    close = {"rtol": 1e-12, "atol": 1e-14} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-6}
    for name, value in table.named_parameters():
        torch.testing.assert_close(value, known.get_parameter(name), **close)
    torch.testing.assert_close(table.dense, known.dense, **close)


class Largest(TorchDispatchMode):
    """The most elements of any tensor that is made; views and what is changed in place are not made."""

    elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        known = {storage(x) for x in tree_leaves(arguments) if isinstance(x, Tensor)}
        result = function(*arguments, **(keywords or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor) and storage(made) not in known:
                self.elements = max(self.elements, made.numel())
        return result


def storage(tensor: Tensor) -> int:
    return (tensor._values() if tensor.is_sparse else tensor).untyped_storage().data_ptr()


@pytest.mark.parametrize("kind", KINDS)
def test_makes_nothing_of_a_parameters_size(kind, monkeypatch):
    monkeypatch.setattr(row_optimizer, "_BLOCK", 64)
    table = Table(rows=1000)
    optimizer = make_optimizer([table], config(kind))
    give_gradients(table, 0, draws(1000)[0])
    with Largest() as first:
        optimizer.step()
    assert first.elements == table.subcentres.numel(), "the state, once"
    with Largest() as later:
        optimizer.step()
    assert later.elements == 64 * 6 < 6 * len(draws(1000)[0]), "a block"


@pytest.mark.parametrize("kind", KINDS)
def test_a_dense_gradient_steps_as_torchs_own_and_makes_nothing(kind):
    """Of a real network in channels-last, whose weights, gradients and state lie in memory in one order."""

    def network() -> nn.Sequential:
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 3), nn.Flatten()
        )
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    ours, known = network(), network()
    optimizer = make_optimizer([ours], config(kind))
    oracles = [torchs(kind, parameter) for parameter in known.parameters()]
    made = Largest()
    for step in range(5):
        images = torch.randn(6, 3, 11, 11, generator=torch.Generator().manual_seed(step))
        for net in (ours, known):
            net.zero_grad()
            net(images.to(memory_format=torch.channels_last)).square().mean().backward()
        for oracle in oracles:
            oracle.step()
        with made if step else nullcontext():  # the state is made at the first
            optimizer.step()
    for parameter, other in zip(ours.parameters(), known.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-4, atol=1e-5)
    assert made.elements <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_other_rows_and_their_state_stay_bit_for_bit(kind):
    table = Table()
    optimizer = make_optimizer([table], config(kind))
    for step, rows in enumerate(draws()):
        give_gradients(table, step, rows)
        before = copy.deepcopy([(p, optimizer.state.get(p, {})) for p in table.per_class()])
        optimizer.step()
        others = torch.ones(ROWS, dtype=torch.bool).index_fill(0, rows, False)
        for parameter, (value, state) in zip(table.per_class(), before, strict=True):
            assert torch.equal(parameter[others], value[others])
            assert parameter.grad.is_sparse, "the gradient is left as it was"
            for name, held in optimizer.state[parameter].items():
                known = state[name][others] if name in state else torch.zeros_like(held[others])
                assert torch.equal(held[others], known)
    shapes = {name: tuple(held.shape) for name, held in optimizer.state[table.subcentres].items()}
    whole = (ROWS, 2, 3)
    known = {"exp_avg": whole, "exp_avg_sq": whole, "step": (ROWS,)}
    assert shapes == ({"momentum_buffer": whole} if kind == "sgd" else known)
    if kind == "adamw":
        counts = torch.bincount(torch.cat(draws()), minlength=ROWS)
        assert torch.equal(optimizer.state[table.centres]["step"], counts.float())


@pytest.mark.parametrize("kind", KINDS)
def test_goes_on_from_its_state_dict_bit_for_bit(kind, tmp_path):
    whole, stopped = Table(), Table()
    run(whole, make_optimizer([whole], config(kind)))
    optimizer = make_optimizer([stopped], config(kind))
    run(stopped, optimizer, last=17)
    torch.save((stopped.state_dict(), optimizer.state_dict()), tmp_path / "state.pt")

    resumed = Table()
    optimizer = make_optimizer([resumed], config(kind))
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed.load_state_dict(weights)
    optimizer.load_state_dict(state)
    run(resumed, optimizer, first=17)
    for name, value in whole.named_parameters():
        assert torch.equal(resumed.get_parameter(name), value)


@pytest.mark.parametrize("sparse_first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_may_turn_from_dense_to_sparse_and_back(kind, sparse_first):
    """As when a run goes on with another share of classes; all rows are drawn, so torch's is the oracle."""
    table, known = Table(), Table()
    optimizer = make_optimizer([table], config(kind))
    oracle = torchs(kind, known.centres)
    for step in range(8):
        give_gradients(table, step, torch.arange(ROWS))
        known.centres.grad = table.centres.grad.to_dense()
        if (step < 4) != sparse_first:
            table.centres.grad = known.centres.grad.clone()
        optimizer.step()
        oracle.step()
    torch.testing.assert_close(table.centres, known.centres, rtol=1e-12, atol=1e-14)


def test_rows_in_any_order_and_twice_are_added_up():
    table, known = Table(), Table()
    rows, values = torch.tensor([[7, 2, 7]]), torch.randn(3, 3, dtype=torch.float64)
    table.centres.grad = torch.sparse_coo_tensor(rows, values, (ROWS, 3), check_invariants=False)
    known.centres.grad = torch.sparse_coo_tensor(rows, values, (ROWS, 3), check_invariants=False).coalesce()
    for each in (table, known):
        make_optimizer([each], config("adamw")).step()
    assert torch.equal(table.centres, known.centres)
    assert not torch.equal(table.centres[7], Table().centres[7])


@pytest.mark.parametrize("kind", KINDS)
def test_grad_scaler_unscales_steps_and_skips(kind):
    plain, scaled = Table(), Table()
    ours, theirs = make_optimizer([scaled], config(kind)), make_optimizer([plain], config(kind))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1000)
    for step, rows in enumerate(draws()[:6]):
        give_gradients(plain, step, rows)
        theirs.step()
        give_gradients(scaled, step, rows)
        for parameter in scaled.parameters():
            parameter.grad = parameter.grad * scaler.scale(torch.ones((), dtype=torch.float64))
        scaler.unscale_(ours)
        scaler.step(ours)
        scaler.update()
    for name, value in plain.named_parameters():
        torch.testing.assert_close(scaled.get_parameter(name), value, rtol=1e-12, atol=1e-14)

    before = copy.deepcopy(scaled.state_dict())
    give_gradients(scaled, 0, draws()[0])
    scaled.centres.grad.values()[0, 0] = float("inf")
    scaler.unscale_(ours)
    scaler.step(ours)
    scaler.update()
    assert scaler.get_scale() == 512.0
    assert all(torch.equal(value, before[name]) for name, value in scaled.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_samples_moves_only_what_it_drew(kind):
    torch.manual_seed(0)
    head = losses.create("cosface", 200, 8)
    head.sample = 0.1
    optimizer = make_optimizer([head], TrainConfig(optimizer=kind, learning_rate=0.1, weight_decay=0.1))
    drawn_ever = torch.zeros(200, dtype=torch.bool)
    for _ in range(5):
        optimizer.zero_grad(set_to_none=True)
        before = head.centres.detach().clone()
        head(torch.randn(6, 8), torch.randint(50, (6,))).backward()
        optimizer.step()
        drawn = torch.zeros(200, dtype=torch.bool)
        drawn[head.centres.grad.coalesce().indices()[0]] = True
        assert 6 < drawn.sum() < 100
        assert torch.equal((head.centres != before).any(dim=1), drawn)
        drawn_ever |= drawn
    assert 0 < drawn_ever.sum() < 200


def test_a_state_to_be_restored_is_made_where_the_parameter_is():
    """On a GPU fused AdamW counts its steps there, and goes on with no count that lies on the CPU."""
    shapes = {"step": (), "exp_avg": (3, 4), "exp_avg_sq": (3, 4)}
    saved = {
        f"optimizer.net.weight.{name}": SimpleNamespace(
            size=torch.Size(shape), properties=SimpleNamespace(dtype=torch.float32)
        )
        for name, shape in shapes.items()
    }
    linear = nn.Linear(4, 3, device="meta")  # stands for any that is not the CPU
    optimizer = make_optimizer([linear], config("adamw"))
    make_optimizer_state([Part("net", linear, optimizer)], saved)
    state = optimizer.state[linear.weight]
    assert {name: (held.device.type, held.shape) for name, held in state.items()} == {
        name: ("meta", torch.Size(shape)) for name, shape in shapes.items()
    }
