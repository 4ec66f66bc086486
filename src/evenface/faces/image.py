"""Reading one picture."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError


class UnreadableImage(UserError):
    """A picture that is missing, empty or corrupt; `path` names it."""

    def __init__(self, path: Path, why: str):
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why

    def __reduce__(self) -> tuple[type["UnreadableImage"], tuple[Path, str]]:
        return type(self), (self.path, self.why)  # a loader's worker process sends it to the main one


def read_image(path: Path) -> NDArray[np.uint8]:
    """The picture as 8-bit RGB, shape (height, width, 3); gray is repeated, EXIF orientation applied.

    Raises:
        UnreadableImage: the file is missing, empty or not a picture that OpenCV decodes.
    """
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UnreadableImage(path, error.strerror or "cannot be read") from None
    try:
        bgr = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    except cv2.error:  # a header that announces more pixels than OpenCV takes
        bgr = None
    if bgr is None:
        raise UnreadableImage(path, "empty file" if not content.size else "not a picture, or cut short")
    return np.asarray(bgr[:, :, ::-1], dtype=np.uint8)
