"""Made-up photographs: five coloured dots where the points are."""

import csv
from pathlib import Path

import cv2
import numpy as np

from evenface.align.command import run
from evenface.faces import TEMPLATE_112

DOTS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)]


def place(rng: np.random.Generator, side: float = 60) -> np.ndarray:
    """Five points of a face of about this many pixels, turned a little, in a 200x240 picture."""
    angle = rng.uniform(-0.5, 0.5)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centred = (TEMPLATE_112 - 56) * (side / 56)
    return centred @ turn.T + [120, 100] + rng.uniform(-10, 10, 2)


def draw(path: Path, points: np.ndarray, height: int = 200, width: int = 240) -> None:
    picture = np.full((height, width, 3), 90, np.uint8)
    for (x, y), colour in zip(points, DOTS, strict=True):
        cv2.circle(picture, (round(x * 16), round(y * 16)), 5 * 16, colour[::-1], -1, cv2.LINE_AA, 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = ".png" if path.suffix.lower() not in (".jpg", ".bmp", ".webp") else path.suffix
    path.write_bytes(cv2.imencode(suffix, picture)[1].tobytes())


def dots(crop: np.ndarray) -> np.ndarray:
    """Where the five dots of an RGB crop are."""
    found = []
    y, x = np.indices(crop.shape[:2])
    for colour in DOTS:
        away = np.abs(crop.astype(int) - colour).sum(axis=2)
        weight = np.clip(200 - away, 0, None).astype(float)
        found.append([(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()])
    return np.array(found)


class Photographs:
    """A folder of them, and a list of their points."""

    def __init__(self, root: Path, names: list[str]):
        self.root, self.list = root / "photos", root / "points.csv"
        rng = np.random.default_rng(0)
        self.points = {name: place(rng) for name in names}
        for name, points in self.points.items():
            draw(self.root / name, points)
        with self.list.open("w", newline="", errors="surrogateescape") as file:
            csv.writer(file).writerows([name, *points.ravel()] for name, points in self.points.items())

    def align(self, output: Path, *words: str) -> int:
        given = [] if "--method" in words else ["--method", "points", "--points", str(self.list)]
        return run([str(self.root), str(output), "--workers", "1", *given, *words])
