"""The CPU network's size is what its docstring says."""

import pytest
import torch

from evenface import backbones
from evenface.backbones.count import count


def test_costs_what_its_docstring_says() -> None:
    net = backbones.create("compact", embedding_size=256, input_size=(48, 48), channels=1)
    cost = count(net, (48, 48), 1)
    assert cost.parameters == pytest.approx(2.8e6, rel=0.01)
    assert cost.multiply_adds == pytest.approx(51e6, rel=0.02)


@pytest.mark.parametrize("input_size", [(32, 32), (40, 40), (50, 37)])
def test_takes_any_size(input_size: tuple[int, int]) -> None:
    net = backbones.create("compact", embedding_size=8, input_size=input_size, channels=1).eval()
    assert net(torch.zeros(2, 1, *input_size)).shape == (2, 8)


def test_dropout_acts_in_training_alone() -> None:
    torch.manual_seed(0)
    net = backbones.create("compact", embedding_size=8, input_size=(32, 32), channels=1, dropout=0.9)
    x = torch.randn(4, 1, 32, 32)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
