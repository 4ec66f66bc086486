"""The lab's network: principal components, which are not learned, and two layers, which are."""

import torch
from torch import Tensor, nn

from evenface.errors import UserError
from evenface.lab.config import NetworkConfig


class Projection:
    """The principal components of some features, scaled as one so that their mean square is 1.

    Args:
        features: (N, F) float32, those of the training images.
        components: K, at most F, and fewer than N.

    Raises:
        UserError: too many components.
    """

    def __init__(self, features: Tensor, components: int):
        most = min(features.shape[1], len(features) - 1)
        if components > most:
            raise UserError(f"network.components: {components} are more than these features have, {most}")
        self._mean = features.mean(dim=0)
        centred = features - self._mean
        variances, directions = torch.linalg.eigh(centred.T @ centred / len(features))  # rising
        largest = variances[-components:]
        self._directions = directions[:, -components:] / largest.mean().sqrt()

    def __call__(self, features: Tensor) -> Tensor:
        """(N, K) components of features (N, F)."""
        components: Tensor = (features - self._mean) @ self._directions
        return components


def network(config: NetworkConfig) -> nn.Sequential:
    """(N, components) to embeddings (N, embedding_size), not normalised."""
    return nn.Sequential(
        nn.Dropout(config.input_dropout),
        nn.Linear(config.components, config.hidden, bias=False),
        nn.BatchNorm1d(config.hidden),
        nn.PReLU(config.hidden),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, config.embedding_size, bias=False),
        nn.BatchNorm1d(config.embedding_size),
    )
