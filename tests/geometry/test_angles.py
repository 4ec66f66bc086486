"""Angles, scopes and their spread, re-derived with loops in float64."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evenface import geometry
from evenface.errors import UserError
from evenface.geometry import angles as module


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def degrees(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))


@pytest.fixture
def faces():
    rng = np.random.default_rng(0)
    w = unit(rng.normal(size=(5, 7)))
    y = rng.permutation(np.repeat(np.arange(5), [1, 2, 3, 6, 20]))
    x = (w[y] + 0.3 * rng.normal(size=(len(y), 7))) * rng.uniform(0.1, 10, (len(y), 1))
    return x, y, w


@pytest.mark.parametrize("cells", [1, 7, 2**24])
def test_nearest_is_the_same_in_any_blocks(faces, cells, monkeypatch):
    monkeypatch.setattr(module, "_CELLS", cells)
    w = faces[2]
    found, index = geometry.nearest(torch.from_numpy(w))
    for k in range(5):
        others = {j: degrees(w[k], w[j]) for j in range(5) if j != k}
        assert int(index[k]) == min(others, key=others.get)
        assert float(found[k]) == pytest.approx(min(others.values()), abs=1e-9)


@pytest.mark.parametrize("c", [2, 3, 10])
def test_a_simplex_is_even(c):
    w = torch.eye(c) - 1 / c
    found, _ = geometry.nearest(torch.nn.functional.normalize(w))
    assert found.tolist() == pytest.approx([np.degrees(np.arccos(-1 / (c - 1)))] * c, abs=1e-4)
    assert geometry.spread(found).cv < 1e-6


def test_small_angles_are_exact_in_float32():
    a = torch.tensor([[1.0, 0.0]])
    b = torch.tensor([[np.cos(1e-4), np.sin(1e-4)]], dtype=torch.float32)
    assert float(geometry.angle(a, b)) == pytest.approx(np.degrees(1e-4), rel=1e-4)


def test_means_and_scopes_against_loops(faces):
    x, y, w = faces
    f = unit(x)
    means = geometry.class_means(torch.from_numpy(x), torch.from_numpy(y), 5).numpy()
    own = geometry.scopes(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(w))
    for k in range(5):
        np.testing.assert_allclose(means[k], unit(f[y == k].mean(0)[None])[0], atol=1e-12)
        angles = [degrees(row, w[k]) for row in f[y == k]]
        assert int(own.counts[k]) == len(angles)
        assert float(own.mean[k]) == pytest.approx(np.mean(angles), abs=1e-6)
        assert float(own.q95[k]) == pytest.approx(np.quantile(angles, 0.95), abs=1e-6)
        assert float(own.largest[k]) == pytest.approx(max(angles), abs=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_expected_largest_is_the_mean_over_every_subset(faces, k):
    x, y, w = faces
    found = geometry.scopes(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(w)).largest_of(k)
    for c in range(5):
        angles = [degrees(row, w[c]) for row in unit(x)[y == c]]
        if len(angles) < k:
            assert torch.isnan(found[c])
        else:
            subsets = [max(s) for s in itertools.combinations(angles, k)]
            assert float(found[c]) == pytest.approx(np.mean(subsets), abs=1e-6)


def test_a_class_without_images_is_named():
    x, y = torch.randn(3, 4), torch.tensor([0, 2, 2])
    with pytest.raises(UserError, match="class 1 has no embedding"):
        geometry.class_means(x, y, 3)
    with pytest.raises(UserError, match="class 1 has no embedding"):
        geometry.scopes(x, y, torch.eye(3, 4))


@given(st.lists(st.floats(0.01, 1e3), min_size=1, max_size=20))
def test_spread_against_all_pairs(values):
    found = geometry.spread(torch.tensor([*values, float("nan")], dtype=torch.float64))
    gini = np.abs(np.subtract.outer(values, values)).mean() / 2 / np.mean(values)
    assert found.n == len(values)
    assert (found.mean, found.sd) == pytest.approx((np.mean(values), np.std(values)), abs=1e-9)
    assert (found.cv, found.gini) == pytest.approx((np.std(values) / np.mean(values), gini), abs=1e-9)
    assert (found.least, found.most) == (min(values), max(values))


def test_spread_without_meaning_is_nan():
    found = geometry.spread(torch.tensor([-1.0, 1.0]))
    assert np.isnan(found.cv) and np.isnan(found.gini) and found.sd == 1
    with pytest.raises(UserError, match="no class"):
        geometry.spread(torch.tensor([float("nan")]))


@pytest.mark.parametrize("cells", [1, 7, 2**24])
def test_nearest_rival_of_each_image(faces, cells, monkeypatch):
    monkeypatch.setattr(module, "_CELLS", cells)
    x, y, w = faces
    found = geometry.nearest_rivals(*(torch.from_numpy(part) for part in (x, y, w)))
    for row, own, value in zip(unit(x), y, found.tolist(), strict=True):
        assert value == pytest.approx(min(degrees(row, w[j]) for j in range(5) if j != own), abs=1e-6)


@pytest.mark.parametrize("block", [1, 2**24])
def test_energy_against_loops(faces, block, monkeypatch):
    monkeypatch.setattr("evenface.geometry.uniformity._BLOCK", block)
    w = faces[2]
    pairs = [1 / np.linalg.norm(w[i] - w[j]) for i in range(5) for j in range(5) if i != j]
    assert geometry.energy(torch.from_numpy(w)) == pytest.approx(np.mean(pairs))


def test_energy_of_two_that_are_very_near():
    """In float32 their cosine is 1; the sine of what is between them is known."""
    angle = 1e-4
    w = torch.tensor([[1.0, 0.0, 0.0], [1.0, angle, 0.0], [0.0, 0.0, 1.0]])
    expected = (1 / angle + 2 / 2**0.5) / 3
    assert geometry.energy(w) == pytest.approx(expected, rel=1e-4)
    assert geometry.energy(w[[0, 0, 2]]) == np.inf


@pytest.mark.parametrize("dimensions", [3, 8, 256])
def test_energy_of_random_directions(dimensions):
    """On the ordinary sphere it is 1, as of a charged shell; elsewhere 2,000 drawn directions agree."""
    w = np.random.default_rng(0).normal(size=(2000, dimensions))
    found = geometry.random_energy(dimensions)
    assert found == pytest.approx(geometry.energy(torch.from_numpy(unit(w))), rel=5e-3)
    if dimensions == 3:
        assert found == pytest.approx(1.0)
    assert geometry.random_energy(2) == np.inf
