"""The networks that turn a face image into an embedding.

A new backbone is one file with a `build` function and one line in `BACKBONES`.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from evenface.backbones import compact, iresnet, mobilefacenet, sphereface, tiny
from evenface.errors import UserError, unknown

__all__ = ["BACKBONES", "create", "names"]

# Tuples are the residual blocks of the four stages.
BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "tiny": tiny.build,
    "compact": compact.build,
    "sphereface4": partial(sphereface.build, (0, 0, 0, 0)),
    "sphereface10": partial(sphereface.build, (0, 1, 2, 0)),
    "sphereface20": partial(sphereface.build, (1, 2, 4, 1)),
    "sphereface36": partial(sphereface.build, (2, 4, 8, 2)),
    "sphereface64": partial(sphereface.build, (3, 8, 16, 3)),
    "mobilefacenet": mobilefacenet.build,
    "iresnet18": partial(iresnet.build, (2, 2, 2, 2)),
    "iresnet34": partial(iresnet.build, (3, 4, 6, 3)),
    "iresnet50": partial(iresnet.build, (3, 4, 14, 3)),
    "iresnet100": partial(iresnet.build, (3, 13, 30, 3)),
}

_STANDARD = {"embedding_size", "input_size", "channels"}
_SMALLEST = 32


def names() -> list[str]:
    """The names that `create` knows, in the order of the table."""
    return list(BACKBONES)


def create(
    name: str,
    *,
    embedding_size: int = 512,
    input_size: tuple[int, int] = (112, 112),
    channels: int = 3,
    **options: Any,
) -> nn.Module:
    """Build a backbone with fresh weights.

    Args:
        name: One of `names()`.
        embedding_size: Width of the embedding, at least 1.
        input_size: Height and width of the images, each at least 32; every backbone but "tiny" and
            "compact" needs multiples of 16. The network is built for this size and takes no other.
        channels: 3 for colour, 1 for gray.
        options: What this one backbone takes besides; `dropout` in [0, 1) for the iresnets.

    Returns:
        A module in training mode that maps a float (N, channels, height, width) to the float
        (N, embedding_size) raw embeddings, not normalised. Inputs are meant to be in about [-1, 1].

    Raises:
        UserError: An unknown name or option, or a value that the backbone cannot take.
    """
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    for field, value in (("embedding_size", embedding_size), ("channels", channels)):
        if value < 1:
            raise UserError(f"backbone {field}: {value} is too small; give 1 or more")
    if min(input_size) < _SMALLEST:
        raise UserError(
            f"backbone input_size: {input_size[0]}x{input_size[1]} (height x width) is too small; "
            f"give each side {_SMALLEST} pixels or more"
        )
    builder = BACKBONES[name]
    known = inspect.signature(builder).parameters.keys() - _STANDARD
    if foreign := options.keys() - known:
        takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise UserError(f"backbone options: {name} has no option {', '.join(sorted(foreign))}; {takes}")
    return builder(embedding_size=embedding_size, input_size=input_size, channels=channels, **options)
