"""IResNet, the residual networks of ArcFace.

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019, section 3.1
(arXiv:1801.07698), in the form that InsightFace trains in PyTorch. Layers bear the names they have there, so
a published state dict of a 112x112 colour network with 512 dimensions loads as it is.
"""

import torch
from torch import Tensor, nn

from evenface.backbones.parts import last_map
from evenface.errors import UserError

_WIDTHS = (64, 128, 256, 512)


def build(
    blocks: tuple[int, int, int, int],
    *,
    embedding_size: int,
    input_size: tuple[int, int],
    channels: int,
    dropout: float = 0.0,
) -> nn.Module:
    """An `IResNet` of `blocks[i]` blocks in each of the four stages.

    Arguments as in `evenface.backbones.create`; `dropout` in [0, 1) acts before the fully connected layer.

    Raises:
        UserError: A side of `input_size` is not a multiple of 16, or `dropout` is out of range.
    """
    if not 0 <= dropout < 1:
        raise UserError(f"backbone dropout: {dropout} is out of range; give 0 or more and less than 1")
    return IResNet(blocks, embedding_size, last_map(input_size), channels, dropout)


class IResNet(nn.Module):
    """A stem that keeps the size, four stages that halve it, and the end BN-dropout-FC-BN."""

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        embedding_size: int,
        map_size: tuple[int, int],
        channels: int,
        dropout: float,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(inputs, outputs, count)
            for inputs, outputs, count in zip((64, *_WIDTHS), _WIDTHS, blocks, strict=False)
        )
        self.bn2 = nn.BatchNorm2d(512)
        self.dropout = nn.Dropout(dropout)
        # The batch norm after it takes its bias away; it stays for the published weights, which have one.
        self.fc = nn.Linear(512 * map_size[0] * map_size[1], embedding_size)
        self.features = nn.BatchNorm1d(embedding_size)
        # Fixed at 1, so that every dimension of the embedding has the same spread.
        self.features.weight.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) float images to (N, embedding_size) float raw embeddings."""
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.dropout(self.bn2(x))
        out: Tensor = self.features(self.fc(torch.flatten(x, 1)))
        return out


class _Block(nn.Module):
    """BN-conv-BN-PReLU-conv-BN and a shortcut, which a block of stride 2 convolves to the new shape."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        out: Tensor = self.bn3(self.conv2(y)) + self.downsample(x)
        return out


def _stage(inputs: int, outputs: int, count: int) -> nn.Sequential:
    rest = [_Block(outputs, outputs, stride=1) for _ in range(count - 1)]
    return nn.Sequential(_Block(inputs, outputs, stride=2), *rest)
