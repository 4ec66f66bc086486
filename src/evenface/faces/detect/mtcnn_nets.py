"""The three networks of MTCNN (Zhang et al., IEEE Signal Processing Letters 2016), and their weights."""

from collections.abc import Sequence
from hashlib import sha256
from importlib import import_module
from importlib.metadata import distribution
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evenface.errors import UserError

SHA256: Final = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
"""Of the weight files in the Python package mtcnn 1.0.0 (MIT licence)."""


class Stage(nn.Module):
    """A network of the cascade: a trunk and its heads (box, points, face: the weight files' order)."""

    def __init__(self, trunk: nn.Sequential, *heads: nn.Module):
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(heads)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Of (N, 3, h, w) `normalise`d RGB: a face's probability (N,), box (N, 4), O-Net's points (N, 10).

        The box is left, top, right, bottom, as offsets from the window's sides; the points are five x, then
        five y, from its left and top side; both in units of its side. P-Net gives (N, h', w') and
        (N, 4, h', w'): one for each window, 12 pixels wide and 2 pixels apart.
        """
        features = self.trunk(pictures)
        *others, face = (head(features) for head in self.heads)
        return face.softmax(dim=1)[:, 1], *others


def pnet() -> Stage:
    """Proposes windows: fully convolutional, 12x12 pixels a window."""
    trunk = nn.Sequential(*_conv(3, 10, 3), _pool(2), *_conv(10, 16, 3), *_conv(16, 32, 3))
    return Stage(trunk, nn.Conv2d(32, 4, 1), nn.Conv2d(32, 2, 1))


def rnet() -> Stage:
    """Refines them: 24x24 pixels."""
    trunk = nn.Sequential(
        *(*_conv(3, 28, 3), _pool(3)),
        *(*_conv(28, 48, 3), _pool(3)),
        *_conv(48, 64, 2),
        *(_FlattenByColumn(), nn.Linear(3 * 3 * 64, 128), nn.PReLU(128)),
    )
    return Stage(trunk, nn.Linear(128, 4), nn.Linear(128, 2))


def onet() -> Stage:
    """Gives the face's box and its five points: 48x48 pixels."""
    trunk = nn.Sequential(
        *(*_conv(3, 32, 3), _pool(3)),
        *(*_conv(32, 64, 3), _pool(3)),
        *(*_conv(64, 64, 3), _pool(2)),
        *_conv(64, 128, 2),
        *(_FlattenByColumn(), nn.Linear(3 * 3 * 128, 256), nn.PReLU(256)),
    )
    return Stage(trunk, nn.Linear(256, 4), nn.Linear(256, 10), nn.Linear(256, 2))


def normalise(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels as the networks know them."""
    return (picture.astype(np.float32) - np.float32(127.5)) / np.float32(128)


def load_published() -> tuple[Stage, Stage, Stage]:
    """P-, R- and O-Net with the authors' weights, as the Python package mtcnn 1.0.0 carries them.

    That package is not imported, since its code needs TensorFlow.

    Raises:
        UserError: the package, or joblib or lz4, which open its files, is absent, or a file is another.
    """
    try:
        package = distribution("mtcnn")
        import_module("lz4")  # joblib opens the files with it
        import_module("joblib")
    except ImportError as error:
        raise UserError(
            f"mtcnn: the Python package {error.name} is not installed; run: pip install 'evenface[align]'"
        ) from None
    nets = pnet(), rnet(), onet()
    for net, (name, digest) in zip(nets, SHA256.items(), strict=True):
        path = Path(str(package.locate_file(f"mtcnn/assets/weights/{name}.lz4")))
        set_weights(net, read_weights(path, digest))
        net.eval().requires_grad_(False)
    return nets


def read_weights(path: Path, digest: str) -> list[NDArray[np.float32]]:
    """The arrays of a file whose SHA-256 is `digest`; no other is opened, since that could run its code.

    Raises:
        UserError: the file is missing, or another.
    """
    cure = "run: pip install --force-reinstall --no-deps mtcnn==1.0.0"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {cure}") from None
    if sha256(content).hexdigest() != digest:
        raise UserError(f"{path}: is not the file of mtcnn 1.0.0, so it is not opened; {cure}")
    arrays: list[NDArray[np.float32]] = import_module("joblib").load(BytesIO(content))
    return arrays


def set_weights(net: Stage, arrays: Sequence[NDArray[np.float32]]) -> None:
    """Fill the layers, in order, from Keras arrays: kernels (h, w, in, out), matrices (in, out), vectors."""
    order = {4: (3, 2, 0, 1), 2: (1, 0)}
    for parameter, values in zip(net.parameters(), arrays, strict=True):
        shaped = values.transpose(order[values.ndim]) if values.ndim in order else values.reshape(-1)
        parameter.data.copy_(torch.from_numpy(shaped))


def _conv(inputs: int, outputs: int, size: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, size), nn.PReLU(outputs)


def _pool(size: int) -> nn.Module:
    return nn.MaxPool2d(size, stride=2, ceil_mode=True)  # Caffe's: a window may reach beyond the border


class _FlattenByColumn(nn.Module):
    """(N, C, H, W) to (N, W H C): the networks were trained on MATLAB's arrays, which go down columns."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.permute(0, 3, 2, 1).flatten(1)
