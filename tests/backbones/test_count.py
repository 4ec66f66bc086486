import torch
from torch import nn

from evenface.backbones.count import Cost, count


def test_counts_by_hand() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),  # 8 maps of 4x6, each value of 3 * 9 products
        nn.BatchNorm2d(8),
        nn.PReLU(8),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),  # depthwise: each value of 9 products
        nn.Flatten(),
        nn.Linear(8 * 4 * 6, 5),
    )
    parameters = (8 * 27 + 8) + 2 * 8 + 8 + 8 * 9 + (192 * 5 + 5)
    multiply_adds = 8 * 24 * 27 + 8 * 24 * 9 + 192 * 5
    assert count(model, (8, 12), 3) == Cost(parameters, multiply_adds)


def test_leaves_the_module_as_it_is() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count(model, (8, 8), 1)
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
