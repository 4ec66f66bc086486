"""The plain residual networks of SphereFace: no batch norm, a fully connected end.

Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition", CVPR 2017, table 2
(arXiv:1704.08063); initial weights as in the authors' network files.
"""

from torch import nn

from evenface.backbones.parts import Residual, last_map

_WIDTHS = (64, 128, 256, 512)


def build(
    blocks: tuple[int, int, int, int], *, embedding_size: int, input_size: tuple[int, int], channels: int
) -> nn.Module:
    """A stride-2 convolution and `blocks[i]` residual blocks in each of the four stages, then one layer.

    Arguments as in `evenface.backbones.create`.

    Raises:
        UserError: A side of `input_size` is not a multiple of 16.
    """
    height, width = last_map(input_size)
    layers: list[nn.Module] = []
    for inputs, outputs, count in zip((channels, *_WIDTHS), _WIDTHS, blocks, strict=False):
        layers += [_xavier(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)), nn.PReLU(outputs)]
        layers += [_residual(outputs) for _ in range(count)]
    fc = _xavier(nn.Linear(_WIDTHS[-1] * height * width, embedding_size))
    return nn.Sequential(*layers, nn.Flatten(), fc)


def _residual(width: int) -> nn.Module:
    body: list[nn.Module] = []
    for _ in range(2):
        conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        # So small that a block starts close to the identity: this is what lets 64 layers train without
        # batch norm.
        nn.init.normal_(conv.weight, std=0.01)
        body += [conv, nn.PReLU(width)]
    return Residual(*body)


def _xavier(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    # Caffe's "xavier" is uniform with variance 1 / fan_in, PyTorch's has 2 / (fan_in + fan_out).
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
