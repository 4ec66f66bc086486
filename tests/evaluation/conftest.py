"""Miniature benchmarks with known answers, made in a temporary folder."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from evenface.evaluation.embed import FunctionEmbedder
from evenface.evaluation.protocols import PairSet, cfp, lfw
from evenface.faces import InputFormat

GRAY_16 = InputFormat(height=16, width=16, colour="gray")


def raw_pixels(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


@pytest.fixture
def raw() -> FunctionEmbedder:
    return FunctionEmbedder(raw_pixels, GRAY_16, "raw pixels")


def picture(person: int, number: int, size: int) -> np.ndarray:
    """A coarse random pattern for each person, with a little noise of its own in each picture."""
    coarse = np.random.default_rng(person).integers(0, 256, (6, 6, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng((person, number)).normal(0, 8, smooth.shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


FOLDS, EACH = 3, 2


def make_lfw(root: Path, size: int = 160) -> Path:
    """6 people with 3 pictures: 3 folds x (2 + 2)."""
    names = [f"Person_{letter}" for letter in "ABCDEF"]
    for person, name in enumerate(names):
        for number in (1, 2, 3):
            write(root / "images" / name / f"{name}_{number:04d}.jpg", picture(person, number, size))
    lines = [f"{FOLDS}\t{EACH}"]
    for fold in range(FOLDS):
        a, b = names[2 * fold : 2 * fold + 2]
        lines += [f"{a}\t1\t2", f"{b}\t1\t3", f"{a}\t1\t{b}\t1", f"{a}\t3\t{b}\t2"]
    (root / "pairs.txt").write_text("\n".join(lines) + "\n")
    return root


def make_cfp(root: Path) -> Path:
    """6 people with 2 frontal and 2 profile pictures: 3 folds x (2 + 2) of each kind."""
    data, protocol = root / "Data", root / "Protocol"
    # Frontal head: eye, bridge, tip, corner, lips; the rest of the 30 points is not used.
    points = np.zeros((30, 2))
    points[12:18] = [60, 70]
    points[18], points[21], points[25] = [80, 70], [80, 95], [65, 115]
    points[26], points[27], points[29] = [80, 110], [80, 114], [80, 116]
    lists: dict[str, list[str]] = {"F": [], "P": []}
    for person in range(6):
        for pose in ("frontal", "profile"):
            for number in (1, 2):
                stem = f"{person + 1:03d}/{pose}/{number:02d}"
                write(data / "Images" / f"{stem}.jpg", picture(person, number, 160))
                file = data / "Fiducials" / f"{stem}.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                np.savetxt(file, points, delimiter=",", fmt="%.3f")
                lines = lists[pose[0].upper()]
                lines.append(f"{len(lines) + 1} ../Data/Images/{stem}.jpg")
    for kind in ("FF", "FP"):
        for fold in range(FOLDS):
            folder = protocol / "Split" / kind / f"{fold + 1:02d}"
            folder.mkdir(parents=True)
            a, b = 4 * fold + 1, 4 * fold + 3  # first picture's number of the fold's two people
            (folder / "same.txt").write_text(f"{a},{a + 1}\n{b},{b + 1}\n")
            (folder / "diff.txt").write_text(f"{a},{b}\n{a + 1},{b + 1}\n")
    for pose, lines in lists.items():
        (protocol / f"Pair_list_{pose}.txt").write_text("\n".join(lines) + "\n")
    return root


MINIATURES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], PairSet]]] = {
    "lfw": (make_lfw, lfw),
    "cfp-ff": (make_cfp, lambda root: cfp(root, kind="ff")),
    "cfp-fp": (make_cfp, lambda root: cfp(root, kind="fp")),
}
"""Each protocol's maker of a small set, and its loader."""


@pytest.fixture
def lfw_root(tmp_path: Path) -> Path:
    return make_lfw(tmp_path / "lfw")


@pytest.fixture
def cfp_root(tmp_path: Path) -> Path:
    return make_cfp(tmp_path / "cfp")
