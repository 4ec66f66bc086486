"""What a network costs: its parameters, and its multiply-adds for one image."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """The cost of a network.

    Attributes:
        parameters: How many numbers it learns or keeps fixed; running statistics are not among them.
        multiply_adds: How many products the convolutions and matrix products take for one image, as papers
            count them (half the FLOPs). Norms and activations count for nothing.
    """

    parameters: int
    multiply_adds: int


def count(module: nn.Module, input_size: tuple[int, int], channels: int) -> Cost:
    """Count the cost of `module` for one image of (channels, *input_size).

    Nothing is computed, and `module` stays as it is: only shapes go through a copy of it without data.
    """
    shapes = copy.deepcopy(module).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shapes(torch.empty(1, channels, *input_size, device="meta"))
    return Cost(sum(p.numel() for p in module.parameters()), counter.get_total_flops() // 2)
