"""EqM against an independent, slow rendering of its definition in float64, sample by sample."""

import math

import numpy as np
import pytest
import torch

from evenface.losses import EqM


def logsum(values):
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def slow_eqm(embeddings, centres, labels, *, s, t, l, u, h, lam, v, g):  # noqa: E741
    """The definition, with loops and Python floats."""
    f = [row / np.linalg.norm(row) for row in np.asarray(embeddings, dtype=np.float64)]
    w = [row / np.linalg.norm(row) for row in np.asarray(centres, dtype=np.float64)]
    present = sorted(set(labels))
    sample = 0.0
    for k in present:
        members = [i for i, y in enumerate(labels) if y == k]
        logits = [-h * s * float(f[i] @ w[k]) for i in members]
        for i, logit in zip(members, logits, strict=True):
            q = math.exp(logit - logsum(logits))
            a = s * (float(f[i] @ w[k]) - l)
            rivals = logsum([0.0] + [s * (float(f[i] @ w[j]) - u) for j in range(len(w)) if j != k])
            sample += q * logsum([0.0, rivals - a])
    sample /= len(present)
    centre = 0.0
    for k in present:
        centre += logsum([0.0] + [t * (float(w[k] @ w[j]) - v) for j in range(len(w)) if j != k])
    centre /= len(present)
    return g / s * sample, g / t * centre, g * (sample / s + lam * centre / t)


@pytest.mark.parametrize("kind", ["random", "aligned", "opposite", "one class", "tiny", "huge"])
@pytest.mark.parametrize("scale", [4.0, 32.0, 128.0])
@pytest.mark.parametrize("centre_scale", [8.0, 64.0])
@pytest.mark.parametrize("hardness", [0.0, 0.3, 5.0])
def test_agrees_with_the_definition(kind, scale, centre_scale, hardness):
    rng = np.random.default_rng(0)
    c, d, n = 9, 6, 20
    w = rng.normal(size=(c, d)).astype(np.float32)
    y = rng.integers(0, c, n) if kind != "one class" else np.full(n, 3)
    x = rng.normal(size=(n, d))
    if kind in ("aligned", "opposite"):
        x = w[y] * (1 if kind == "aligned" else -1)
    x = (x * {"tiny": 1e-4, "huge": 1e4}.get(kind, 1.0)).astype(np.float32)
    head = EqM(c, d, scale=scale, centre_scale=centre_scale, hardness=hardness)
    with torch.no_grad():
        head.centres.copy_(torch.from_numpy(w))
    loss = head(torch.from_numpy(x), torch.from_numpy(y))
    settings = {"l": 0.6, "u": 0.2, "lam": 1.0, "v": head.centre_upper, "g": 30.0}
    sample, centre, total = slow_eqm(x, w, y.tolist(), s=scale, t=centre_scale, h=hardness, **settings)
    assert float(loss.detach()) == pytest.approx(total, rel=1e-5)
    assert float(head.terms["sample"]) == pytest.approx(sample, rel=1e-5)
    assert float(head.terms["centre"]) == pytest.approx(centre, rel=1e-5)


def at_angles(head, x, w, y):
    with torch.no_grad():
        head.centres.copy_(torch.tensor(w, dtype=torch.float32))
    return float(head(torch.tensor(x, dtype=torch.float32), torch.tensor(y)))


def test_known_angle_by_hand():
    """One sample on its centre, the other centre at 90 degrees, s = 1, t = 2, l = .6, u = .2, v = -1."""
    head = EqM(2, 2, scale=1.0, gain=1.0, lower=0.6, centre_weight=0.5, centre_scale=2.0)
    assert head.centre_upper == -1.0
    loss = at_angles(head, [[3.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]], [0])
    sample = math.log(1 + math.exp(-0.4) * (1 + math.exp(-0.2)))
    centre = math.log(1 + math.exp(2.0)) / 2
    assert loss == pytest.approx(sample + 0.5 * centre, rel=1e-6)


def test_the_centre_term_moves_the_centres_present_alone():
    """Its gradient is that of the definition with every w_j a constant; the centres not present have none."""
    head = EqM(9, 6, centre_scale=8.0, centre_weight=0.5).double()
    with torch.no_grad():
        head.centres.normal_()
    x, y = torch.randn(5, 6, dtype=torch.float64), torch.tensor([0, 3, 3, 7, 0])
    both = torch.autograd.grad(head(x, y), head.centres)[0]
    head.centre_weight = 0.0
    found = both - torch.autograd.grad(head(x, y), head.centres)[0]

    centres = head.centres.detach().clone().requires_grad_()
    w = torch.nn.functional.normalize(centres)
    each = []
    for k in (0, 3, 7):
        cosines = torch.cat([w[k] @ w[j].detach()[:, None] for j in range(9) if j != k])
        each.append(torch.log1p(torch.exp(8.0 * (cosines - head.centre_upper)).sum()))
    (expected,) = torch.autograd.grad(0.5 * 30.0 / 8.0 * sum(each) / 3, centres)
    torch.testing.assert_close(found, expected)
    assert (expected[[1, 2, 4, 5, 6, 8]] == 0).all() and (expected[[0, 3, 7]] != 0).any(dim=1).all()


def test_centre_term_off_leaves_the_sample_term():
    head = EqM(3, 4, centre_weight=0.0)
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    loss = head(x, y)
    assert torch.equal(head.terms["sample"], loss.detach()) and head.terms["centre"] == 0


def test_repeating_a_class_does_not_raise_its_weight():
    """Every class present counts the same: copies of one class's samples change nothing."""
    torch.manual_seed(0)
    head = EqM(4, 8)
    x, y = torch.randn(6, 8), torch.tensor([0, 0, 1, 2, 3, 3])
    more = torch.cat([x, x[:2], x[:2]]), torch.cat([y, y[:2], y[:2]])
    torch.testing.assert_close(head(*more), head(x, y))


def test_harder_sample_pulls_harder():
    torch.manual_seed(0)
    head = EqM(2, 2, hardness=1.0)
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    angles = torch.tensor([1.2, 1.4])
    x = torch.stack([angles.cos(), angles.sin()], dim=1).requires_grad_()
    head(x, torch.tensor([0, 0])).backward()
    pull = x.grad.norm(dim=1)
    # Weights exp(-h s cos) at these angles differ by exp(32 (cos 1.2 - cos 1.4)) = 544; slopes barely do.
    assert pull[1] > 100 * pull[0]


@pytest.mark.parametrize("scale", [8.0, 32.0, 128.0])
def test_gradient_of_a_far_stray_does_not_follow_the_scale(scale):
    """Far below the lower limit dL/dcosine is -gain, whatever the scale."""
    head = EqM(2, 2, scale=scale, gain=30.0, centre_weight=0.0).double()
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    angle = torch.tensor(2.3, dtype=torch.float64, requires_grad=True)  # cosine -0.67
    head(torch.stack([angle.cos(), angle.sin()])[None], torch.tensor([0])).backward()
    slope = angle.grad / -math.sin(2.3)
    assert slope == pytest.approx(-30.0, rel=1e-3)
