"""What a face detector is to the rest of evenface."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evenface.faces.align import Points


@dataclass(frozen=True, eq=False)
class Detection:
    """A face that was found. Pixel centres lie at whole numbers; a face may reach beyond the picture."""

    box: NDArray[np.float64]
    """(4,) left, top, right, bottom, pixels."""
    points: Points
    """(5, 2) x, y, pixels, in the template's order: eye, eye, nose tip, mouth corner, mouth corner, those on
    the left of an upright face first."""
    score: float
    """The detector's own confidence, 0 to 1; not comparable between detectors."""


class Detector(Protocol):
    """Finds faces and their five points."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Of each RGB picture, (h, w, 3) of any sizes, the faces found, the surest first."""
        ...
