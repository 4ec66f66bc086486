"""Made-up pictures and sets with known faults."""

from pathlib import Path

import cv2
import numpy as np
import pytest


def picture(seed: int, size: int = 112) -> np.ndarray:
    """A coarse random pattern in colour with finer ones over it."""
    rng = np.random.default_rng(seed)
    sides = (4, 9, 20)
    layers = [
        cv2.resize(rng.normal(0, 1, (n, n, 3)), (size, size), interpolation=cv2.INTER_CUBIC) for n in sides
    ]
    return np.clip(128 + 45 * layers[0] + 25 * layers[1] + 12 * layers[2], 0, 255).astype(np.uint8)


def encoded(image: np.ndarray, quality: int = 95, suffix: str = ".jpg") -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    return cv2.imencode(suffix, image, options)[1].tobytes()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Four people with three pictures each, and nothing wrong."""
    root = tmp_path / "pool"
    for person, name in enumerate(("Ana_Ríos", "Bo_Li", "Cy_Young", "Di_Moss")):
        for i in range(3):
            write(root / name / f"{i}.jpg", encoded(picture(10 * person + i)))
    return root
