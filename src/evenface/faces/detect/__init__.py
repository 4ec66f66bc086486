"""Face detectors that give five points, a file each."""

from collections.abc import Callable
from typing import Any

from evenface.faces.detect.detector import Detection, Detector

__all__ = ["DETECTORS", "Detection", "Detector"]


def _mtcnn(**settings: Any) -> Detector:
    from evenface.faces.detect.mtcnn import MTCNN

    return MTCNN(**settings)


def _yunet(**settings: Any) -> Detector:
    from evenface.faces.detect.yunet import YuNet

    return YuNet(**settings)


DETECTORS: dict[str, Callable[..., Detector]] = {"mtcnn": _mtcnn, "yunet": _yunet}
"""By name, what makes a detector; it takes that class's own arguments by name."""
