from pathlib import Path

import cv2
import numpy as np
import pytest

SUFFIXES = (".png", ".jpg", ".webp", ".bmp")


def encode(seed: int, suffix: str) -> bytes:
    picture = np.random.default_rng(seed).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    return cv2.imencode(suffix, picture)[1].tobytes()


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Five people, 29 pictures of four kinds; p10 has one picture."""
    root = tmp_path / "faces"
    for person, images in {"p1": 5, "p2": 9, "p10": 1, "ann": 8, "Zoë": 6}.items():
        (root / person).mkdir(parents=True)
        for i in range(images):
            suffix = SUFFIXES[i % 4]
            (root / person / f"{i}{suffix}").write_bytes(encode(100 * images + i, suffix))
    return root
