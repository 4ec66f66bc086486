from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

MakeFaces = Callable[[dict[str, int]], Path]


@pytest.fixture
def make_faces(tmp_path: Path) -> MakeFaces:
    """Writes root/<person>/<n>.png, each picture its own noise, and returns root."""

    def make(people: dict[str, int]) -> Path:
        rng = np.random.default_rng(0)
        for person, images in people.items():
            (tmp_path / "faces" / person).mkdir(parents=True)
            for i in range(images):
                picture = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
                cv2.imwrite(str(tmp_path / "faces" / person / f"{i}.png"), picture)
        return tmp_path / "faces"

    return make
