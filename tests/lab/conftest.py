"""A miniature CFP, LFW and folder of aligned faces."""

from pathlib import Path

import cv2
import numpy as np
import pytest

NAMES = ["Ann Bell", "Bo Çelik", "Cy Dorn", "Di Engel", "Ed Fox"]


def picture(person: int, number: int, size: int) -> np.ndarray:
    coarse = np.random.default_rng(person).integers(0, 256, (6, 6, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng((person, number)).normal(0, 8, smooth.shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """cfp: 5 people x 6 frontal; lfw: 7 people, one also in cfp, one with one picture; faces: 4 people."""
    root = tmp_path_factory.mktemp("sets")
    points = np.zeros((30, 2))
    points[12:18] = [42, 50]
    points[18], points[21], points[25] = [56, 50], [56, 67], [45, 80]
    points[26], points[27], points[29] = [56, 77], [56, 80], [56, 82]
    for k in range(len(NAMES)):
        for n in range(1, 7):
            write(root / f"cfp/Data/Images/{k + 1:03d}/frontal/{n:02d}.jpg", picture(k, n, 112))
            file = root / f"cfp/Data/Fiducials/{k + 1:03d}/frontal/{n:02d}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savetxt(file, points, delimiter=",", fmt="%.3f")
    (root / "cfp/Data/list_name.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    people = ["Bo_Celik", *(f"Person_{c}" for c in "PQRSTU")]
    for k, name in enumerate(people):
        for n in range(1, 2 if k == 6 else 5):
            write(root / f"lfw/images/{name}/{name}_{n:04d}.jpg", picture(20 + k, n, 160))
    for k in range(4):
        for n in range(6 - k):
            write(root / f"faces/f{k}/{n}.jpg", picture(40 + k, n, 112))
    (root / "out.txt").write_text("f3\n")
    return {name: root / name for name in ("cfp", "lfw", "faces", "out.txt")}
