"""The conventions that turn an aligned face picture into a network's input."""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError

Colour = Literal["rgb", "bgr", "gray"]
Pixels = Literal["127.5", "128"]
_LEAST, _MOST = 16, 4096  # pixels a side


@dataclass(frozen=True)
class InputFormat:
    """What a network expects of a face picture. Each field changes the numbers, so a model's card has it."""

    height: int = 112
    """Pixels, 16 to 4096. 112x112 and 112x96 show the same face: 96 is the middle of the 112 columns."""
    width: int = 112
    """Pixels, 16 to 4096."""
    colour: Colour = "rgb"
    """Order of the channels; "gray" is one channel of luma (0.299 R + 0.587 G + 0.114 B)."""
    pixels: Pixels = "127.5"
    """(x - 127.5) divided by this: 127.5 as in the ArcFace code, 128 as in SphereFace's."""

    def __post_init__(self) -> None:
        for name, value in (("height", self.height), ("width", self.width)):
            if value < _LEAST:
                raise UserError(f"input.{name}: {value} pixels is too small for a face; use {_LEAST} or more")
            if value > _MOST:
                raise UserError(f"input.{name}: {value} pixels is too large; use {_MOST} or fewer")
        if self.colour not in get_args(Colour):
            raise UserError(f"input.colour: {self.colour!r} is none of {', '.join(get_args(Colour))}")
        if self.pixels not in get_args(Pixels):
            raise UserError(f"input.pixels: {self.pixels!r} is none of {', '.join(get_args(Pixels))}")

    @staticmethod
    def size(words: str) -> tuple[int, int]:
        """(height, width) from "112x96"; raises UserError for anything else."""
        height, cross, width = words.lower().partition("x")
        if not (cross and height.isdecimal() and width.isdecimal()):
            raise UserError(f"--size: {words!r} is not HEIGHTxWIDTH, for example 112x96")
        return int(height), int(width)

    @property
    def channels(self) -> int:
        """Channels of the input: 1 for gray, otherwise 3."""
        return 1 if self.colour == "gray" else 3

    def __str__(self) -> str:
        return f"{self.height}x{self.width} {self.colour}, (x-127.5)/{self.pixels}"

    def fit(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the middle of an aligned (h, w, 3) RGB picture to this shape's proportions and resize it.

        Returns uint8 of shape (height, width, channels). From 112x112 to 112x96 this takes 8 columns off
        each side, which is the rule of the two templates. Shrinking averages areas, so nothing aliases.
        """
        h, w = image.shape[:2]
        crop_h = min(h, max(1, round(w * self.height / self.width)))
        crop_w = min(w, max(1, round(h * self.width / self.height)))
        top, left = (h - crop_h) // 2, (w - crop_w) // 2
        image = image[top : top + crop_h, left : left + crop_w]
        if image.shape[:2] != (self.height, self.width):
            method = cv2.INTER_AREA if self.height < crop_h else cv2.INTER_LINEAR
            image = np.asarray(
                cv2.resize(image, (self.width, self.height), interpolation=method), dtype=np.uint8
            )
        if self.colour == "gray":
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)[:, :, None]
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR)) if self.colour == "bgr" else image

    def normalise(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Fitted pictures, uint8 (N, height, width, channels), as float32 (N, channels, height, width)."""
        scaled = (images.astype(np.float32) - np.float32(127.5)) / np.float32(self.pixels)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
