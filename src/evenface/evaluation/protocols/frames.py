"""Frames of videos, in folders of pictures or in video files: which there are, and each as a picture."""

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path
from threading import Lock

import cv2
import numpy as np

from evenface.data.readers.folder import SUFFIXES
from evenface.errors import UserError
from evenface.evaluation.images import Image, ImageSet
from evenface.evaluation.protocols.pairs import template_crop
from evenface.faces import read_image

VIDEO_SUFFIXES = (".mp4", ".avi")

_IN_VIDEO = re.compile(r"(.+\.(?:mp4|avi))#([0-9]+)")


def frames_of(root: Path, video: str) -> list[str]:
    """Names of a video's frames in order: `Name/3/x.618.jpg`, or `Name/3.mp4#618` inside a file."""
    if (root / video).is_dir():
        files = [path.name for path in (root / video).iterdir() if path.suffix.lower() in SUFFIXES]
        return [f"{video}/{name}" for name in sorted(files, key=_number)]
    for suffix in VIDEO_SUFFIXES:
        if (root / f"{video}{suffix}").is_file():
            length = sum(1 for _ in _play(root / f"{video}{suffix}", ()))
            return [f"{video}{suffix}#{number}" for number in range(length)]
    return []


def _number(name: str) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"[0-9]+", name)], name


class FrameSet(ImageSet):
    """Frames in pictures, `Name/3/x.618.jpg`, or in video files, `Name/3.mp4#618`."""

    def path(self, index: int) -> Path:
        """The file of frame `index`."""
        found = _IN_VIDEO.fullmatch(self.names[index])
        return self.root / (found[1] if found else self.names[index])


class FrameReader:
    """Reads frame `index` of some names; of a video file all that are named, once, keeping two files'."""

    def __init__(self, root: Path, names: list[str]) -> None:
        self.root = root
        self.names = names
        self.wanted: dict[str, set[int]] = {}
        for name in names:
            if found := _IN_VIDEO.fullmatch(name):
                self.wanted.setdefault(found[1], set()).add(int(found[2]))
        self.lock = Lock()
        self.decoded = lru_cache(maxsize=2)(self._decode)

    def __call__(self, index: int) -> Image:
        """The 112x112 RGB crop, uint8 (112, 112, 3); UserError if it cannot be read or is of another size."""
        name = self.names[index]
        found = _IN_VIDEO.fullmatch(name)
        if found is None:
            return template_crop(read_image(self.root / name), self.root / name)
        with self.lock:
            frames = self.decoded(found[1])
        if int(found[2]) not in frames:
            raise UserError(f"{self.root / found[1]}: frame {found[2]} is gone; the file has changed")
        return template_crop(frames[int(found[2])], self.root / name)

    def _decode(self, file: str) -> dict[int, Image]:
        return {n: image for n, image in _play(self.root / file, self.wanted[file]) if image is not None}


def _play(path: Path, wanted: Collection[int]) -> Iterator[tuple[int, Image | None]]:
    """Number of each frame of a video, and its RGB picture where it is wanted."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        for number in count():
            if not capture.grab():
                return
            bgr = capture.retrieve()[1] if number in wanted else None
            yield number, None if bgr is None else np.asarray(bgr[:, :, ::-1], dtype=np.uint8)
    finally:
        capture.release()
