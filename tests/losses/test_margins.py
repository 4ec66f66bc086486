"""Each margin at known angles, and against an independent implementation."""

import itertools
import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses as oracle

from evenface import losses
from evenface.losses import (
    ArcFace,
    NormalizedSoftmax,
    Softmax,
    SphereFace,
    least_largest_cosine,
    welch_cosine,
)

ANGLES = torch.linspace(0.01, math.pi - 0.01, 40, dtype=torch.float64)


def heads_and_data(name, **options):
    torch.manual_seed(0)
    head = losses.create(name, 11, 8, **options).double()
    return head, torch.randn(30, 8, dtype=torch.float64), torch.randint(11, (30,))


def cross_entropy(logits, labels):
    logits = logits.detach().numpy()
    top = logits.max(1)
    return float(
        np.mean(top + np.log(np.exp(logits - top[:, None]).sum(1)) - logits[np.arange(len(labels)), labels])
    )


def cosines(head, x):
    x, w = x.numpy(), head.centres.detach().numpy()
    return torch.from_numpy((x @ w.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(w, axis=1))


def test_softmax():
    head, x, y = heads_and_data("softmax")
    with torch.no_grad():
        head.bias.normal_()
    assert isinstance(head, Softmax)
    assert float(head(x, y)) == pytest.approx(cross_entropy(x @ head.centres.T + head.bias, y), rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 20.0, 64.0])
def test_normalized_softmax(scale):
    head, x, y = heads_and_data("normalized-softmax", scale=scale)
    assert isinstance(head, NormalizedSoftmax)
    assert float(head(x, y)) == pytest.approx(cross_entropy(scale * cosines(head, x), y), rel=1e-10)
    peer = oracle.NormalizedSoftmaxLoss(11, 8, temperature=1 / scale).double()
    with torch.no_grad():
        peer.W.copy_(head.centres.T)
    assert float(head(x, y)) == pytest.approx(float(peer(x, y)), rel=1e-6)


@pytest.mark.parametrize(("scale", "margin"), [(64.0, 0.35), (32.0, 0.0), (10.0, 0.5)])
def test_cosface(scale, margin):
    head, x, y = heads_and_data("cosface", scale=scale, margin=margin)
    cosine = cosines(head, x)
    cosine[torch.arange(30), y] -= margin
    assert float(head(x, y)) == pytest.approx(cross_entropy(scale * cosine, y), rel=1e-10)
    peer = oracle.CosFaceLoss(11, 8, margin=margin, scale=scale).double()
    with torch.no_grad():
        peer.W.copy_(head.centres.T)
    assert float(head(x, y)) == pytest.approx(float(peer(x, y)), rel=1e-6)


def test_arcface_at_known_angles():
    margin = 0.5
    got = ArcFace(2, 2, margin=margin).target_cosine(ANGLES.cos())
    for angle, value in zip(ANGLES.tolist(), got.tolist(), strict=True):
        if angle < math.pi - margin:
            assert value == pytest.approx(math.cos(angle + margin), abs=1e-9)
        else:
            assert value == pytest.approx(math.cos(angle) - margin * math.sin(margin), abs=1e-9)
    assert (got.diff() < 0).all()  # never rewards a larger angle, the seam at pi - margin included


def test_arcface_against_an_oracle():
    head, x, y = heads_and_data("arcface", scale=16.0, margin=0.5)
    peer = oracle.ArcFaceLoss(11, 8, margin=math.degrees(0.5), scale=16.0).double()
    with torch.no_grad():
        peer.W.copy_(head.centres.T)
    safe = torch.tensor([bool(c > -math.cos(0.5)) for c in cosines(head, x)[torch.arange(30), y]])
    assert float(head(x[safe], y[safe])) == pytest.approx(float(peer(x[safe], y[safe])), rel=1e-6)


def test_arcface_detached_has_the_value_of_the_margin_and_the_slope_of_none():
    cosine = torch.cos(ANGLES).requires_grad_()
    attached = ArcFace(2, 2).target_cosine(cosine)
    detached = ArcFace(2, 2, detached=True).target_cosine(cosine)
    torch.testing.assert_close(attached, detached)
    assert torch.equal(torch.autograd.grad(detached.sum(), cosine)[0], torch.ones(40, dtype=torch.float64))
    slope = torch.autograd.grad(attached.sum(), cosine)[0]
    inside = ANGLES < math.pi - 0.5
    torch.testing.assert_close(slope[inside], (torch.sin(ANGLES + 0.5) / torch.sin(ANGLES))[inside])


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_sphereface_psi(margin):
    got = SphereFace(2, 2, margin=margin).psi(ANGLES.cos())
    for angle, value in zip(ANGLES.tolist(), got.tolist(), strict=True):
        k = min(int(angle * margin / math.pi), margin - 1)
        assert value == pytest.approx((-1) ** k * math.cos(margin * angle) - 2 * k, abs=1e-9)
    assert (got.diff() < 0).all()


def test_sphereface_anneals_and_then_has_the_whole_margin():
    head, x, y = heads_and_data("sphereface", margin=3, first_lambda=100.0, least_lambda=0.0, decay=1.0)
    assert isinstance(head, SphereFace)
    head(x, y)
    head(x, y)
    assert head.annealing() == pytest.approx(100 / 3)
    head.eval()(x, y)
    assert int(head.step) == 2  # measuring does not anneal
    head.step.fill_(10**15)
    cosine = cosines(head, x)
    own = cosine[torch.arange(30), y].arccos()
    cosine[torch.arange(30), y] = head.psi(own.cos())
    assert float(head(x, y)) == pytest.approx(cross_entropy(x.norm(dim=1)[:, None] * cosine, y), rel=1e-8)
    peer = oracle.SphereFaceLoss(11, 8, margin=3, scale=1).double()
    with torch.no_grad():
        peer.W.copy_(head.centres.T)
    assert float(head(x, y)) == pytest.approx(float(peer(x, y)), rel=1e-6)


def test_sphereface_without_margin_is_softmax_over_normalised_centres():
    head, x, y = heads_and_data("sphereface", margin=1)
    logits = x.norm(dim=1)[:, None] * cosines(head, x)
    assert float(head(x, y)) == pytest.approx(cross_entropy(logits, y), rel=1e-8)


def circle(count):
    angles = 2 * math.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def half_cube():
    """Clebsch's code: the corners of the cube in five dimensions with an even number of minus signs."""
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=5)))
    return corners[corners.prod(axis=1) > 0] / math.sqrt(5)


def icosahedron():
    golden = (1 + math.sqrt(5)) / 2
    edges = [(0.0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    return np.array([np.roll(edge, turn) for edge in edges for turn in range(3)]) / math.hypot(1, golden)


def largest_cosine(directions):
    return (directions @ directions.T - 2 * np.eye(len(directions))).max()


@pytest.mark.parametrize(
    ("arrangement", "cosine"),
    [
        (circle(2), -1.0),
        (circle(3), -0.5),
        (circle(4), 0.0),
        (circle(5), math.cos(2 * math.pi / 5)),
        (np.eye(4) - 0.25, -1 / 3),  # the simplex, lying in 3 of the 4 dimensions
        (np.concatenate([np.eye(6), -np.eye(6)]), 0.0),
        (half_cube(), 0.2),
    ],
)
def test_the_bound_is_reached_by_known_arrangements(arrangement, cosine):
    directions = arrangement / np.linalg.norm(arrangement, axis=1)[:, None]
    assert largest_cosine(directions) == pytest.approx(cosine)
    count, dims = len(directions), max(2, np.linalg.matrix_rank(directions))
    assert least_largest_cosine(count, int(dims)) == pytest.approx(cosine, abs=1e-12)


def test_no_arrangement_beats_the_bound():
    for directions in (icosahedron(), circle(6), circle(40)):
        assert least_largest_cosine(*directions.shape) < largest_cosine(directions)
    generator = torch.Generator().manual_seed(0)
    for count, dims in [(5, 4), (8, 4), (11, 3), (50, 8), (80, 32)]:  # descended towards the best there is
        free = torch.randn(count, dims, generator=generator, dtype=torch.float64).requires_grad_()
        optimizer = torch.optim.Adam([free], lr=0.02)
        for sharpness in np.geomspace(10, 1000, 300):
            unit = torch.nn.functional.normalize(free)
            cosine = (unit @ unit.T).fill_diagonal_(-2)
            optimizer.zero_grad()
            (torch.logsumexp(sharpness * cosine.flatten(), 0) / sharpness).backward()
            optimizer.step()
        reached, bound = cosine.max().item(), least_largest_cosine(count, dims)
        assert bound <= reached < bound + 0.2
    # By hand: 27 directions in 6 dimensions are 6 (1-x) (2+7x) / (1-6x^2) at x = 1/4.
    assert least_largest_cosine(27, 6) == pytest.approx(0.25)
    bounds = [least_largest_cosine(count, 16) for count in range(2, 400)]
    assert (np.diff(bounds) >= 0).all()


def test_welch_bounds_absolute_cosines_only():
    assert welch_cosine(7, 3) == pytest.approx(math.sqrt(4 / (3 * 6)))  # (C-D) / (D (C-1))
    assert [welch_cosine(count, 4) for count in (3, 5, 8)] == [-1 / 2, -1 / 4, 0]
    pentagon = circle(5)
    assert largest_cosine(pentagon) < welch_cosine(5, 2) < np.abs(pentagon @ pentagon.T - np.eye(5)).max()
