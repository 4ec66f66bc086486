"""A PyTorch module as an embedder."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evenface.evaluation.benchmark import Embeddings
from evenface.faces import InputFormat


class TorchEmbedder:
    """Runs a module in eval mode, without gradients, and leaves each part in the mode that it was in.

    Args:
        module: float32 (N, C, H, W) -> (N, D); it is moved to `device`.
        format: the pictures it was trained on.
        device: as PyTorch names it.
        name: printed beside the numbers.
    """

    def __init__(
        self,
        module: nn.Module,
        format: InputFormat,
        device: str | torch.device = "cpu",
        name: str | None = None,
    ):
        self.module = module.to(device)
        self.format = format
        self.device = torch.device(device)
        self.name = name or type(module).__name__

    def __call__(self, images: NDArray[np.float32]) -> Embeddings:
        """Raw embeddings (N, D) float32 of float32 images (N, C, H, W)."""
        with _evaluating(self.module), torch.inference_mode():
            rows: torch.Tensor = self.module(torch.from_numpy(images).to(self.device))
            return np.asarray(rows.float().cpu().numpy(), dtype=np.float32)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    # Part by part: a frozen BatchNorm in a training network must come back frozen.
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
