"""EqM against an independent, slow rendering of its definition in float64, sample by sample."""

import math

import numpy as np
import pytest
import torch

from evenface.errors import UserError
from evenface.losses import EqM


def logsum(values):
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def huber(d, limit=1 / 8):
    return d * d / 2 if abs(d) <= limit else limit * (abs(d) - limit / 2)


def slow_eqm(embeddings, centres, labels, *, s, t, l, u, h, v):  # noqa: E741
    """The definition, with loops and Python floats: (sample, centre, scope) without their weights."""
    f = [row / np.linalg.norm(row) for row in np.asarray(embeddings, dtype=np.float64)]
    w = [row / np.linalg.norm(row) for row in np.asarray(centres, dtype=np.float64)]
    r = math.sqrt(len(w[0])) * math.log(len(w))
    present = sorted(set(labels))
    shares = sum(math.sqrt(labels.count(k)) for k in present)
    weights, losses, own = [], [], []
    for i, k in enumerate(labels):
        logits = [-h * t * float(f[n] @ w[k]) for n, y in enumerate(labels) if y == k]
        own.append(float(f[i] @ w[k]))
        q = math.exp(-h * t * own[-1] - logsum(logits))
        weights.append(q * math.sqrt(labels.count(k)) / shares)
        m = logsum([0.0] + [t * (float(f[i] @ w[j]) - u) for j in range(len(w)) if j != k]) / t
        losses.append(logsum([0.0, s * (l + m - own[-1])]) / s)
    mean = sum(p * c for p, c in zip(weights, own, strict=True))
    centre = 0.0
    for k in present:
        centre += logsum([0.0] + [r * (float(w[k] @ w[j]) - v) for j in range(len(w)) if j != k]) / r
    return (
        sum(p * each for p, each in zip(weights, losses, strict=True)),
        centre / len(present),
        sum(p * huber(c - mean) for p, c in zip(weights, own, strict=True)),
    )


@pytest.mark.parametrize("kind", ["random", "aligned", "opposite", "one class", "tiny", "huge"])
@pytest.mark.parametrize("scale", [4.0, 32.0, 128.0])
@pytest.mark.parametrize("hardness", [0.0, 0.3, 5.0])
def test_agrees_with_the_definition(kind, scale, hardness):
    rng = np.random.default_rng(0)
    c, d, n = 9, 6, 20
    w = rng.normal(size=(c, d)).astype(np.float32)
    y = rng.integers(0, c, n) if kind != "one class" else np.full(n, 3)
    x = rng.normal(size=(n, d))
    if kind in ("aligned", "opposite"):
        x = w[y] * (1 if kind == "aligned" else -1)
    x = (x * {"tiny": 1e-4, "huge": 1e4}.get(kind, 1.0)).astype(np.float32)
    head = EqM(c, d, scale=scale, hardness=hardness)
    with torch.no_grad():
        head.centres.copy_(torch.from_numpy(w))
    loss = head(torch.from_numpy(x), torch.from_numpy(y))
    sample, centre, scope = slow_eqm(
        x, w, y.tolist(), s=scale, t=math.log(9) / 0.2, l=0.6, u=0.2, h=hardness, v=head.centre_upper
    )
    for name, value in (("sample", sample), ("centre", centre), ("scope", scope)):
        assert float(head.terms[name]) == pytest.approx(30 * value, rel=1e-5, abs=1e-6)
    assert float(loss.detach()) == pytest.approx(30 * (sample + 0.3 * centre + 8 * scope), rel=1e-5)


def at_angles(head, x, w, y):
    with torch.no_grad():
        head.centres.copy_(torch.tensor(w, dtype=torch.float32))
    return float(head(torch.tensor(x, dtype=torch.float32), torch.tensor(y)))


def test_known_angle_by_hand():
    """One sample on its centre, the other centre at 90 degrees; s = 1, t = 2, l = .6, u = .2, v = -1."""
    head = EqM(2, 2, scale=1.0, sharpness=2.0, gain=1.0, centre_weight=0.5)
    assert head.centre_upper == -1.0
    loss = at_angles(head, [[3.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]], [0])
    rival = math.log(1 + math.exp(2 * -0.2)) / 2
    sample = math.log(1 + math.exp(0.6 + rival - 1))
    r = math.sqrt(2) * math.log(2)
    centre = math.log(1 + math.exp(r * 1.0)) / r
    assert loss == pytest.approx(sample + 0.5 * centre, rel=1e-6)  # the scope of one sample is 0


@pytest.mark.parametrize("classes", [10, 500, 100_000])
def test_auto_sharpness_weighs_the_mass_of_far_rivals_as_one_at_the_limit(classes):
    head = EqM(classes, 2, upper=0.25)
    assert classes * math.exp(-head.sharpness * 0.25) == pytest.approx(1.0)


def test_auto_sharpness_needs_an_upper_limit_above_0():
    with pytest.raises(UserError, match=r"loss\.sharpness.*Give a number"):
        EqM(9, 6, upper=0.0)
    assert EqM(9, 6, upper=0.0, sharpness=32.0).sharpness == 32.0


def test_weights_of_0_leave_the_sample_term():
    head = EqM(3, 4, centre_weight=0.0, scope_weight=0.0)
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    loss = head(x, y)
    assert torch.equal(head.terms["sample"], loss.detach()) and head.terms["centre"] == 0


def test_a_class_weighs_as_the_square_root_of_its_samples():
    """Four copies of one class's sample weigh twice what the one of the other class weighs."""
    head = EqM(2, 3, centre_weight=0.0, scope_weight=0.0)
    x = torch.randn(2, 3)
    alone = [float(head(x[k : k + 1], torch.tensor([k])).detach()) for k in (0, 1)]
    together = head(x[[0, 1, 1, 1, 1]], torch.tensor([0, 1, 1, 1, 1]))
    assert float(together.detach()) == pytest.approx((alone[0] + 2 * alone[1]) / 3, rel=1e-5)


@pytest.mark.parametrize(("near", "expected"), [(0.7, 0.005), (0.9, (0.2 - 1 / 16) / 8)])
def test_scope_term_at_known_cosines(near, expected):
    """Two classes, a sample each, at cosines `near` and .5 to their centres: the mean lies half-way."""
    head = EqM(2, 3, centre_weight=0.0, gain=1.0)
    far = math.sqrt(1 - near**2)
    x = [[near, 0.0, far], [0.0, 0.5, math.sqrt(0.75)]]
    at_angles(head, x, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [0, 1])
    assert float(head.terms["scope"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("near", "pull"), [(0.3, 8 * 0.1), (0.9, 1.0)])
def test_scopes_pull_the_far_and_hold_the_near_sample_back_but_never_push_it(near, pull):
    """dL/dcosine is p gain (mu d - 1), mu d at most 1 either way; d is half the difference of two samples."""
    head = EqM(
        2, 3, centre_weight=0.0, hardness=0.0, lower=0.999, gain=1.0, scale=1e3, sharpness=1e3
    ).double()
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]))
    cosine = torch.tensor([near, 0.1], dtype=torch.float64, requires_grad=True)
    x = torch.stack([cosine, (1 - cosine**2).sqrt(), torch.zeros(2)], dim=1)
    head(x, torch.tensor([0, 0])).backward()
    assert cosine.grad.tolist() == pytest.approx([(pull - 1) / 2, (-pull - 1) / 2], abs=1e-9)


def test_harder_sample_pulls_harder():
    torch.manual_seed(0)
    head = EqM(2, 2, hardness=1.0, sharpness=32.0, scope_weight=0.0)
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    angles = torch.tensor([1.2, 1.4])
    x = torch.stack([angles.cos(), angles.sin()], dim=1).requires_grad_()
    head(x, torch.tensor([0, 0])).backward()
    pull = x.grad.norm(dim=1)
    # Weights exp(-h t cos) at these angles differ by exp(32 (cos 1.2 - cos 1.4)) = 544; slopes barely do.
    assert pull[1] > 100 * pull[0]


@pytest.mark.parametrize("scale", [8.0, 32.0, 128.0])
def test_gradient_of_a_far_stray_does_not_follow_the_scale(scale):
    """Far below the lower limit dL/dcosine is -gain, whatever the scale."""
    head = EqM(2, 2, scale=scale, sharpness=32.0, gain=30.0, centre_weight=0.0).double()
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    angle = torch.tensor(2.3, dtype=torch.float64, requires_grad=True)  # cosine -0.67
    head(torch.stack([angle.cos(), angle.sin()])[None], torch.tensor([0])).backward()
    slope = angle.grad / -math.sin(2.3)
    assert slope == pytest.approx(-30.0, rel=1e-3)
