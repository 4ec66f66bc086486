"""Gradient histograms against a rendering with loops, and the cache."""

import math
from pathlib import Path

import numpy as np
import pytest

from evenface.errors import UserError
from evenface.lab.config import SetsConfig
from evenface.lab.features import SIZE, features, histograms
from evenface.lab.sources import SOURCES, pictures


def slow_histograms(pixels):
    """Of one picture, (64, 64) of 0 to 255, pixel by pixel."""
    root = [[math.sqrt(v) for v in row] for row in pixels.tolist()]
    cells = np.zeros((8, 8, 9))
    for y in range(64):
        for x in range(64):
            up, down, left, right = max(y - 1, 0), min(y + 1, 63), max(x - 1, 0), min(x + 1, 63)
            dy = (root[down][x] - root[up][x]) / (down - up)
            dx = (root[y][right] - root[y][left]) / (right - left)
            place = (math.degrees(math.atan2(dy, dx)) % 180) / 20 - 0.5  # of bins 20 degrees wide
            low = math.floor(place)
            for k, share in ((low, low + 1 - place), (low + 1, place - low)):
                cells[y // 8, x // 8, k % 9] += share * math.hypot(dx, dy)
    out = []
    for y in range(7):
        for x in range(7):
            block = np.concatenate([cells[y, x], cells[y, x + 1], cells[y + 1, x], cells[y + 1, x + 1]])
            block /= max(np.linalg.norm(block), 1e-3)
            block = np.minimum(block, 0.2)
            out.append(block / max(np.linalg.norm(block), 1e-3))
    return np.concatenate(out)


def test_agrees_with_loops():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64)).astype(np.float32)
    pixels[1] = 100.0  # a flat picture has no gradient
    found = histograms(((pixels - 127.5) / 127.5)[:, None])
    assert found.shape == (2, SIZE)
    np.testing.assert_allclose(found[0], slow_histograms(pixels[0]), atol=2e-4)
    assert (found[1] == 0).all()


@pytest.mark.parametrize(("angle", "bin_"), [(10, 0), (90, 4), (170, 8)])
def test_a_ramp_falls_into_its_bin(angle, bin_):
    """A gradient at the middle of a bin, without sign, is in that bin alone."""
    y, x = np.mgrid[:64, :64]
    ramp = 8 + 0.05 * (x * math.cos(math.radians(angle)) + y * math.sin(math.radians(angle)))
    found = histograms(((ramp**2 - 127.5) / 127.5)[None, None].astype(np.float32))
    cell = found.reshape(49, 4, 9)[24, 0]
    assert cell.argmax() == bin_ and np.delete(cell, bin_).max() < 0.05 * cell.max()


def test_the_cache_is_read_and_follows_the_pictures(sets, tmp_path):
    config = SetsConfig(**{k: sets[k] for k in ("cfp", "lfw")})
    faces = pictures("lfw", config)

    def read():
        return features(faces, sets["lfw"], SOURCES["lfw"], tmp_path / "cache")

    first = read()
    assert first.shape == (len(faces), SIZE) and first.dtype == np.float16
    (file,) = (tmp_path / "cache").iterdir()
    np.save(file, np.zeros_like(first))
    assert (read() == 0).all()  # read, not computed again
    fewer = faces.at_least(2)
    assert len(features(fewer, sets["lfw"], SOURCES["lfw"], tmp_path / "cache")) == len(fewer)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_face_off_the_template_is_named(sets, tmp_path):
    config = SetsConfig(faces=sets["lfw"] / "images")
    with pytest.raises(UserError, match=r"0001\.jpg: is 160x160 pixels; lab\.faces takes 112x112"):
        features(pictures("faces", config), Path(config.faces), SOURCES["faces"], tmp_path)
