"""A small residual network for tests, demonstrations and training on a CPU. Own design."""

from torch import nn

from evenface.backbones.parts import STRIDE, Residual, conv_bn_prelu, global_depthwise_head

_WIDTHS = (16, 32, 64, 128)


def build(*, embedding_size: int, input_size: tuple[int, int], channels: int) -> nn.Module:
    """Four 3x3 convolutions of stride 2, a residual block after each but the first, a depthwise head.

    0.53 M parameters and 56 M multiply-adds at 112x112 in colour with 256 dimensions. Arguments as in
    `evenface.backbones.create`; sides need not divide by 16, since each stride rounds up.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in zip((channels, *_WIDTHS), _WIDTHS, strict=False):
        layers.append(conv_bn_prelu(inputs, outputs, 3, stride=2, padding=1))
        # The first map is the largest: a block there would cost as much as any other and learn the least.
        if outputs != _WIDTHS[0]:
            convs = [conv_bn_prelu(outputs, outputs, 3, padding=1) for _ in range(2)]
            layers.append(Residual(*convs))
    height, width = input_size
    map_size = (-(-height // STRIDE), -(-width // STRIDE))
    return nn.Sequential(*layers, global_depthwise_head(_WIDTHS[-1], map_size, embedding_size))
