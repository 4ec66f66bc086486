"""MobileFaceNet: inverted bottlenecks and a global depthwise end, under a million parameters.

Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices",
CCBR 2018, table 1 (arXiv:1804.07573).
"""

from torch import nn

from evenface.backbones.parts import Residual, conv_bn, conv_bn_prelu, global_depthwise_head, last_map

# Expansion, width, repeats and first stride of each row of bottlenecks.
_ROWS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


def build(*, embedding_size: int, input_size: tuple[int, int], channels: int) -> nn.Module:
    """The network of table 1, whose depthwise end takes the size of the last map.

    Arguments as in `evenface.backbones.create`; the paper's embedding has 128 dimensions.

    Raises:
        UserError: A side of `input_size` is not a multiple of 16.
    """
    map_size = last_map(input_size)
    layers: list[nn.Module] = [
        conv_bn_prelu(channels, 64, 3, stride=2, padding=1),
        conv_bn_prelu(64, 64, 3, padding=1, groups=64),
    ]
    inputs = 64
    for expansion, outputs, repeats, stride in _ROWS:
        for i in range(repeats):
            layers.append(_bottleneck(inputs, outputs, expansion * inputs, stride if i == 0 else 1))
            inputs = outputs
    layers.append(conv_bn_prelu(inputs, 512, 1))
    return nn.Sequential(*layers, global_depthwise_head(512, map_size, embedding_size))


def _bottleneck(inputs: int, outputs: int, hidden: int, stride: int) -> nn.Module:
    body = (
        conv_bn_prelu(inputs, hidden, 1),
        conv_bn_prelu(hidden, hidden, 3, stride=stride, padding=1, groups=hidden),
        conv_bn(hidden, outputs, 1),
    )
    return Residual(*body) if stride == 1 and inputs == outputs else nn.Sequential(*body)
