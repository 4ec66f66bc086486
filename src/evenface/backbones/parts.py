"""Pieces that several backbones share."""

from torch import Tensor, nn

from evenface.errors import UserError

STRIDE = 16  # of every backbone here, from the image to its last map


class Residual(nn.Module):
    """Adds what `body` computes to its input; both have the same shape."""

    def __init__(self, *body: nn.Module):
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        out: Tensor = x + self.body(x)
        return out


def last_map(input_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the last map, for the backbones that halve the image exactly four times.

    Raises:
        UserError: A side is not a multiple of 16.
    """
    height, width = input_size
    if height % STRIDE or width % STRIDE:
        raise UserError(
            f"backbone input_size: {height}x{width} (height x width) does not divide by {STRIDE}; "
            f"give multiples of {STRIDE} such as 112x112 or 112x96, or take the backbone 'tiny'"
        )
    return height // STRIDE, width // STRIDE


def conv_bn(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> nn.Sequential:
    """Convolution and batch norm, linear: no activation."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    # 0.25 is the slope at which every PReLU starts.
    nn.init.kaiming_normal_(conv.weight, a=0.25)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def conv_bn_prelu(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm and PReLU with a slope for each channel."""
    conv = conv_bn(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups)
    return conv.append(nn.PReLU(outputs))


def global_depthwise_head(inputs: int, map_size: tuple[int, int], embedding_size: int) -> nn.Sequential:
    """The linear end of MobileFaceNet: (N, inputs, *map_size) to (N, embedding_size).

    A depthwise convolution as large as the map weighs its places one by one, where an average would hold
    the middle of the face and its corners for equal (Chen et al. 2018, section 3, arXiv:1804.07573).
    """
    return nn.Sequential(
        conv_bn(inputs, inputs, map_size, groups=inputs),
        conv_bn(inputs, embedding_size, 1),
        nn.Flatten(),
    )
