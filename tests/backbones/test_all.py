"""What every backbone promises, over all names; sizes are small so that the largest stay quick."""

import copy
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from evenface import backbones

every = pytest.mark.parametrize("name", backbones.names())


@cache
def settled(name: str) -> nn.Module:
    """The network in eval mode with running statistics of real data; a test that changes it copies it.

    Fresh statistics (mean 0, variance 1) would let the values of a deep network overflow in eval mode.
    """
    torch.manual_seed(0)
    model = backbones.create(name, embedding_size=24, input_size=(32, 32))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(images(4))
    return model.eval()


def images(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def assert_same(out: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@every
@pytest.mark.parametrize(("input_size", "channels"), [((112, 112), 1), ((112, 96), 3)])
def test_shape(name: str, input_size: tuple[int, int], channels: int) -> None:
    with torch.device("meta"):
        model = backbones.create(name, embedding_size=40, input_size=input_size, channels=channels)
        out = model(torch.empty(2, channels, *input_size))
    assert out.shape == (2, 40)
    assert out.dtype == torch.float32


@every
def test_gradients_reach_every_parameter(name: str) -> None:
    # In eval mode, for batch norm in training cancels the gradient of a bias before it.
    model = settled(name)
    learned = {key: parameter for key, parameter in model.named_parameters() if parameter.requires_grad}
    out = model(images(2))
    score = (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(2))).sum()
    for key, gradient in zip(learned, torch.autograd.grad(score, [*learned.values()]), strict=True):
        assert torch.isfinite(gradient).all(), key
        assert gradient.abs().max() > 0, key


@every
@torch.no_grad()
def test_eval_is_deterministic_and_samples_do_not_meet(name: str) -> None:
    model, x = settled(name), images(3)
    out = model(x)
    assert torch.isfinite(out).all()
    assert torch.equal(model(x), out)
    other = x.clone()
    other[1] = images(1, seed=3)
    changed = model(other)
    assert_same(changed[[0, 2]], out[[0, 2]])
    assert not torch.allclose(changed[1], out[1], rtol=1e-2)


@every
@torch.no_grad()
def test_batch_of_one(name: str) -> None:
    model, x = settled(name), images(3)
    assert_same(model(x[:1]), model(x)[:1])


@every
@torch.no_grad()
def test_channels_last(name: str) -> None:
    model, x = settled(name), images(2)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert_same(last(x.to(memory_format=torch.channels_last)), model(x))


@every
@torch.no_grad()
def test_state_dict_round_trip(name: str) -> None:
    model, x = settled(name), images(2)
    with torch.device("meta"):  # without a value of its own, all that is computed comes from the state
        fresh = backbones.create(name, embedding_size=24, input_size=(32, 32)).eval()
    fresh.load_state_dict(model.state_dict(), assign=True)
    assert torch.equal(fresh(x), model(x))


@every
@torch.no_grad()
def test_deep_copy_is_equal_and_apart(name: str) -> None:
    model, x = settled(name), images(2)
    expected = model(x)
    twin = copy.deepcopy(model)
    assert torch.equal(twin(x), expected)
    for parameter in twin.parameters():
        parameter.zero_()
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize("name", ["tiny", "sphereface20", "mobilefacenet", "iresnet18"])
def test_trains(name: str) -> None:
    torch.manual_seed(0)
    model = backbones.create(name, embedding_size=16, input_size=(32, 32))
    head = nn.Linear(16, 4)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=1e-3)
    x, labels = images(8), torch.arange(8) % 4
    losses = []
    for _ in range(5):
        loss = nn.functional.cross_entropy(head(model(x)), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
