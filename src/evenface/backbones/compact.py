"""A residual network that a CPU trains in minutes. Own design."""

from torch import Tensor, nn

from evenface.backbones.parts import STRIDE
from evenface.errors import UserError

_WIDTHS = (32, 64, 128, 256)
_BLOCKS = (0, 1, 2, 1)


def build(
    *, embedding_size: int, input_size: tuple[int, int], channels: int, dropout: float = 0.0
) -> nn.Module:
    """Four 3x3 convolutions of stride 2 with (0, 1, 2, 1) residual blocks, all weights of the last map used.

    2.8 M parameters and 51 M multiply-adds at 48x48 gray with 256 dimensions: for inputs of 40 to 80 pixels.
    LeakyReLU rather than PReLU, whose backward pass takes a CPU longer. Arguments as in
    `evenface.backbones.create`; `dropout` in [0, 1) acts before the fully connected layer.
    """
    if not 0 <= dropout < 1:
        raise UserError(f"backbone dropout: {dropout} is out of range; give 0 or more and less than 1")
    layers: list[nn.Module] = []
    for inputs, outputs, blocks in zip((channels, *_WIDTHS), _WIDTHS, _BLOCKS, strict=False):
        layers += [*_conv_bn(inputs, outputs, stride=2), _activation()]
        layers += [_Block(outputs) for _ in range(blocks)]
    places = -(-input_size[0] // STRIDE) * -(-input_size[1] // STRIDE)
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(_WIDTHS[-1] * places, embedding_size, bias=False),
        nn.BatchNorm1d(embedding_size),
    )


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(*_conv_bn(width, width), _activation(), *_conv_bn(width, width))
        self.after = _activation()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.after(x + self.body(x))
        return out


def _activation() -> nn.Module:
    return nn.LeakyReLU(0.1, inplace=True)


def _conv_bn(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", a=0.1)
    return conv, nn.BatchNorm2d(outputs)
