import pytest
import torch
from torch import nn

from evenface import backbones
from evenface.backbones.count import count
from evenface.backbones.parts import Residual


def test_published_cost() -> None:
    # Chen et al. 2018: 0.99 M parameters at 128 dimensions; 221 M multiply-adds are quoted of it in
    # SeesawFaceNets (arXiv:1908.09124). The Open Model Zoo's figure, 0.993, counts batch norm folded into
    # its convolution, thus one number a channel and not two; so does the paper's, as only then it fits.
    with torch.device("meta"):
        model = backbones.create("mobilefacenet", embedding_size=128)
    cost = count(model, (112, 112), 3)
    scales = sum(module.num_features for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    assert round((cost.parameters - scales) / 1e6, 3) == 0.993
    assert cost.multiply_adds == pytest.approx(221e6, rel=0.01)


def test_shortcuts_are_where_the_shape_stays() -> None:
    # Table 1: rows of 5, 1, 6, 1 and 2 bottlenecks, of which the first halves in rows 1, 2 and 4.
    with torch.device("meta"):
        model = backbones.create("mobilefacenet")
    assert sum(isinstance(module, Residual) for module in model.modules()) == 4 + 0 + 6 + 0 + 2


@pytest.mark.parametrize(
    ("input_size", "map_size"), [((112, 112), (7, 7)), ((112, 96), (7, 6)), ((64, 64), (4, 4))]
)
def test_depthwise_end_takes_the_whole_map(input_size: tuple[int, int], map_size: tuple[int, int]) -> None:
    with torch.device("meta"):
        model = backbones.create("mobilefacenet", input_size=input_size)
    *_, end, _linear = (module for module in model.modules() if isinstance(module, nn.Conv2d))
    assert end.kernel_size == map_size
    assert end.groups == end.in_channels == 512


def test_end_is_linear() -> None:
    with torch.device("meta"):
        model = backbones.create("mobilefacenet")
    kinds = [type(module) for module in model.modules() if not list(module.children())]
    assert kinds[-6:] == [nn.PReLU, nn.Conv2d, nn.BatchNorm2d, nn.Conv2d, nn.BatchNorm2d, nn.Flatten]
