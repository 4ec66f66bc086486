"""YuNet: a small anchor-free detector (Wu, Peng, Yu, Machine Intelligence Research 20, 2023), by OpenCV."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError, require_range
from evenface.faces.detect.detector import Detection

_LEAST, _MOST = 320, 640
"""Of the longer side, pixels. Smaller pictures are enlarged, since the network's finest map has a cell for
every 8 pixels: at 320 instead of 160, points err by a sixth less. Larger ones are shrunk, as it was trained
on faces of up to some hundred pixels: at 1,000 it misses some that fill the picture."""
_NMS, _CANDIDATES = 0.3, 5000  # OpenCV's defaults


class YuNet:
    """Finds faces and their five points with OpenCV's `FaceDetectorYN`, on the CPU.

    A picture is scaled to a longer side of 320 to 640 pixels. The network was trained on scenes and misses
    some faces that the frame cuts; a border around the picture then helps.
    """

    name: Final = "yunet"

    def __init__(self, weights: Path, *, threshold: float = 0.7):
        """Load the network.

        Args:
            weights: its ONNX file, `face_detection_yunet_*.onnx` of the OpenCV model zoo (MIT licence).
            threshold: the least score of a face, 0.05 to 1.

        Raises:
            UserError: an argument out of its range, or a file that is no such network.
        """
        require_range("yunet.threshold", threshold, 0.05, 1)
        if not weights.is_file():
            raise UserError(
                f"{weights}: there is no such file; fetch face_detection_yunet_2023mar.onnx or a later one "
                "from github.com/opencv/opencv_zoo, models/face_detection_yunet"
            )
        self.threshold = threshold
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            self._net = cv2.FaceDetectorYN.create(
                str(weights), "", (_LEAST, _LEAST), threshold, _NMS, _CANDIDATES
            )
            self([np.zeros((32, 32, 3), np.uint8)])  # another network loads, but has other outputs
        except cv2.error:
            raise UserError(
                f"{weights}: not a YuNet network that OpenCV {cv2.__version__} can run; "
                "fetch face_detection_yunet_*.onnx from the OpenCV model zoo again"
            ) from None
        finally:
            cv2.utils.logging.setLogLevel(level)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Of each RGB picture, (h, w, 3) uint8 of any sizes, the faces found, the surest first."""
        return [self._faces(image) for image in images]

    def _faces(self, image: NDArray[np.uint8]) -> list[Detection]:
        height, width = image.shape[:2]
        longest = max(height, width)
        scale = float(np.clip(longest, _LEAST, _MOST)) / longest
        size = max(1, round(width * scale)), max(1, round(height * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        scaled = cv2.cvtColor(cv2.resize(image, size, interpolation=how), cv2.COLOR_RGB2BGR)
        self._net.setInputSize(size)
        detected: Any = self._net.detect(scaled)
        rows = detected[1]
        if rows is None:  # no face
            return []
        faces = []
        for row in np.asarray(rows, dtype=np.float64)[np.argsort(-rows[:, 14], kind="stable")]:
            corner, sides = row[:2], row[2:4]
            seen = np.vstack([corner, corner + sides, row[4:14].reshape(5, 2)])
            # Back to the picture, where pixel i covers i - 0.5 to i + 0.5.
            own = (seen + 0.5) * [width / size[0], height / size[1]] - 0.5
            faces.append(Detection(own[:2].reshape(4), own[2:], float(np.clip(row[14], 0, 1))))
        return faces
