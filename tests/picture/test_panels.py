"""Figures and drawing of known layouts."""

import math

import numpy as np
import pytest
import torch

from evenface.picture.digits import Digits
from evenface.picture.measure import around, figures
from evenface.picture.panels import _cap, _view, apart, turn
from evenface.picture.trainer import Moment


def on_circle(degrees: list[float]) -> torch.Tensor:
    return torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees])


def test_angles_round_the_circle():
    gaps = around(on_circle([10, 350, 100, 190, 280]))
    assert sorted(gaps.tolist()) == pytest.approx([20, 70, 90, 90, 90], abs=1e-3)
    assert float(around(on_circle([36.0 * k for k in range(10)])).std()) < 1e-3


def test_figures_of_a_known_layout():
    degrees = [36.0 * k for k in range(10)]
    degrees[9] += 18  # gaps: eight of 36, one of 54, one of 18
    off = [1.0 + k for k in range(10)]
    seen = on_circle([a + o for a, o in zip(degrees, off, strict=True)])
    wrong = on_circle([degrees[(k + (k < 3)) % 10] for k in range(10)])
    labels = torch.arange(10)
    digits = Digits(torch.zeros(10, 64), labels)
    f = figures(Moment(0, seen, wrong, on_circle(degrees)), digits, digits)
    assert sorted(f.neighbours) == pytest.approx([18] + [36] * 8 + [54], abs=1e-2)
    assert f.spread == pytest.approx(math.sqrt(2 * 18**2 / 10) / 36, abs=1e-3)
    assert f.scopes == pytest.approx(off, abs=1e-2) and f.scope == pytest.approx(5.5, abs=1e-2)
    assert f.unseen == 0.7


def test_on_the_sphere_neighbours_are_the_nearest():
    octahedron = torch.cat([torch.eye(3), -torch.eye(3)])
    extra = torch.nn.functional.normalize(torch.tensor([[1.0, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]]))
    centres = torch.cat([octahedron, extra])
    digits = Digits(torch.zeros(10, 64), torch.arange(10))
    f = figures(Moment(0, centres, centres, centres), digits, digits)
    corner = math.degrees(math.acos(1 / math.sqrt(3)))  # from a corner of the cube to the middle of a face
    assert f.neighbours == pytest.approx([corner] * 10, abs=1e-2)
    assert f.spread < 1e-4 and f.scope < 1e-2 and f.unseen == 1


@pytest.mark.parametrize("dimensions", [2, 3])
def test_turning_keeps_angles_and_puts_digit_0_first(dimensions):
    torch.manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(10, dimensions)).numpy().astype(np.float64)
    rotation = turn(centres)
    turned = centres @ rotation
    assert turned @ turned.T == pytest.approx(centres @ centres.T, abs=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1), "a mirror image would swap left and right"
    assert turned[0] == pytest.approx(np.eye(dimensions)[0])
    if dimensions == 3:
        assert turned[1, 2] == pytest.approx(0) and turned[1, 1] > 0


def test_turning_survives_centres_that_coincide():
    rotation = turn(np.ones((10, 3)) / math.sqrt(3))
    assert rotation.T @ rotation == pytest.approx(np.eye(3)) and np.linalg.det(rotation) == pytest.approx(1)


@pytest.mark.parametrize("longitude", [0, 77, 200])
def test_the_view_is_a_rotation_with_digit_0_up(longitude):
    view = _view(longitude)
    assert view.T @ view == pytest.approx(np.eye(3)) and np.linalg.det(view) == pytest.approx(1)
    x, y, z = np.array([1.0, 0, 0]) @ view
    assert x == pytest.approx(0) and y > 0.85 and z > 0, "the pole is up, and on the near side"


def test_a_cap_is_as_far_from_its_centre_as_it_says():
    for centre in np.eye(3):
        rim = _cap(centre, 0.3)
        assert rim @ centre == pytest.approx(np.full(61, math.cos(0.3)))
        assert np.linalg.norm(rim, axis=1) == pytest.approx(np.ones(61))


def test_labels_are_pushed_apart_and_no_further():
    angles = np.radians([0, 2, 4, 90, 180, 358])
    moved = np.sort(apart(angles, np.radians(15)) % (2 * np.pi))
    gaps = np.diff(np.append(moved, moved[0] + 2 * np.pi))
    assert np.degrees(gaps.min()) > 14.9
    even = np.radians([0, 36, 72, 200])
    assert apart(even, np.radians(15)) == pytest.approx(even)
