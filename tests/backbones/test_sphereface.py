import math

import pytest
import torch
from torch import nn

from evenface import backbones
from evenface.backbones.count import count
from evenface.backbones.parts import Residual


def create(name: str) -> nn.Module:
    with torch.device("meta"):
        return backbones.create(name, input_size=(112, 96))


@pytest.mark.parametrize("layers", [4, 10, 20, 36, 64])
def test_has_the_layers_of_its_name(layers: int) -> None:
    # Table 2 of the paper counts the convolutions.
    model = create(f"sphereface{layers}")
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == layers
    assert [conv.out_channels for conv in convs if conv.stride == (2, 2)] == [64, 128, 256, 512]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_published_cost_of_20_layers() -> None:
    # Open Model Zoo, "Sphereface": 22.671 MParams and 3.504 GFLOPs for 1x3x112x96. It keeps a bias, always
    # zero, in the residual convolutions and counts additions of activations and biases.
    cost = count(create("sphereface20"), (112, 96), 3)
    zero_biases = 2 * (1 * 64 + 2 * 128 + 4 * 256 + 1 * 512)
    assert round((cost.parameters + zero_biases) / 1e6, 3) == 22.671
    assert cost.multiply_adds == pytest.approx(3.504e9 / 2, rel=0.01)


def test_initial_weights_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    model = backbones.create("sphereface20", embedding_size=64, input_size=(32, 32))
    residual = {conv for block in model.modules() if isinstance(block, Residual) for conv in block.modules()}
    checked = 0
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            std = 0.01 if module in residual else 1 / math.sqrt(module.weight[0].numel())
            assert module.weight.std().item() == pytest.approx(std, rel=0.05)
            assert (module.bias is None) == (module in residual)
            assert module.bias is None or not module.bias.any()
            checked += 1
        if isinstance(module, nn.PReLU):
            assert (module.weight == 0.25).all()
    assert checked == 21
