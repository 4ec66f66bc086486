"""Losses whose margin follows the norm of the embedding: MagFace and AdaFace, in plain Python."""

import math
import statistics

import pytest
import torch

from evenface.losses import AdaFace, MagFace

CENTRES = [0.0, 50.0, 110.0, 200.0]  # degrees
SAMPLES = [10.0, 350.0, 60.0, 100.0, 150.0, 205.0, 330.0]
LABELS = [0, 0, 1, 1, 2, 3, 2]  # the last lies 140 degrees off
NORMS = [4.0, 10.5, 60.0, 85.0, 109.0, 300.0, 20.0]


def points(degrees, norms):
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.tensor(norms, dtype=torch.float64)[:, None] * torch.stack(
        [angles.cos(), angles.sin()], dim=1
    )


def on_circle(head):
    head = head.double()
    with torch.no_grad():
        head.centres.copy_(points(CENTRES, [3.0] * 4))
    return head


def mean_loss(scale, owns, samples=SAMPLES, labels=LABELS):
    """Softmax of each sample by loops, its target's cosine replaced by the one given."""
    total = 0.0
    for sample, label, own in zip(samples, labels, owns, strict=True):
        rivals = [math.cos(math.radians(sample - w)) for j, w in enumerate(CENTRES) if j != label]
        total += math.log1p(sum(math.exp(scale * (c - own)) for c in rivals))
    return total / len(samples)


def angles():
    """The angle of each sample to its centre, radians."""
    return [math.acos(math.cos(math.radians(a - CENTRES[k]))) for a, k in zip(SAMPLES, LABELS, strict=True)]


def test_magface():
    head = on_circle(MagFace(4, 2, scale=10.0))
    held = [10.0, 10.5, 60.0, 85.0, 109.0, 110.0, 20.0]
    margins = [0.45 + 0.35 * (a - 10) / 100 for a in held]
    assert head.margins(torch.tensor(held)).tolist() == pytest.approx(margins)
    assert margins[2] == pytest.approx(0.625)
    owns = [
        math.cos(t + m) if t + m < math.pi else math.cos(t) - m * math.sin(m)
        for t, m in zip(angles(), margins, strict=True)
    ]
    g = sum(1 / a + a / 110**2 for a in held) / 7
    softmax = mean_loss(10.0, owns)
    loss = float(head(points(SAMPLES, NORMS), torch.tensor(LABELS)).detach())
    assert loss == pytest.approx(softmax + 35 * g, rel=1e-9)
    assert float(head.terms["softmax"]) == pytest.approx(softmax, rel=1e-9)
    assert float(head.terms["magnitude"]) == pytest.approx(g, rel=1e-9)


def test_magface_beyond_pi_and_its_gradient():
    """A sample opposite to its centre takes the other branch; both agree with finite differences."""
    head = on_circle(MagFace(4, 2, scale=3.0))
    x = points([10.0, 60.0, 280.0], [30.0, 60.0, 90.0]).requires_grad_()
    loss = head(x[2:], torch.tensor([2]))
    m, t = 0.45 + 0.35 * 0.8, math.radians(170)
    own = math.cos(t) - m * math.sin(m)
    expected = mean_loss(3.0, [own], [280.0], [2]) + 35 * (1 / 90 + 90 / 110**2)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert torch.autograd.gradcheck(lambda e: head(e, torch.tensor([0, 1, 2])), x, atol=1e-6)


def test_magface_moves_norms_only_within_the_limits():
    head = on_circle(MagFace(4, 2))
    x = points([200.0, 200.0, 200.0], [5.0, 50.0, 200.0]).requires_grad_()
    head(x, torch.tensor([3, 3, 3])).backward()
    radial = (x.grad * x.detach()).sum(dim=1) / x.detach().norm(dim=1)
    assert radial.tolist()[::2] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert radial[1].item() == pytest.approx(35 / 3 * (1 / 110**2 - 1 / 50**2), rel=1e-6)  # g alone: outwards


def test_magface_gives_easy_samples_the_larger_norm():
    """The norm of the least loss, over a grid, falls as the sample nears its rival at 50 degrees."""
    head = on_circle(MagFace(4, 2))
    grid = [10.0 + i for i in range(101)]
    best = []
    for degrees in (-5.0, 1.0, 5.0):
        each = [head(points([degrees], [a]), torch.tensor([0])).item() for a in grid]
        best.append(grid[each.index(min(each))])
    assert 110 > best[0] > best[1] > best[2] > 10


def own_cosines(qualities, margin=0.4):
    found = []
    for t, q in zip(angles(), qualities, strict=True):
        angle = min(max(t - margin * q, 0.0), math.pi)
        found.append(math.cos(angle) - (margin * q + margin))
    return found


def test_adaface_over_three_steps():
    head = on_circle(AdaFace(4, 2, scale=10.0, momentum=0.25))
    mean, std = 20.0, 100.0
    for factor in (1.0, 0.3, 2.0):
        norms = [min(factor * a, 100.0) for a in NORMS]
        mean = 0.25 * sum(norms) / 7 + 0.75 * mean
        std = 0.25 * statistics.stdev(norms) + 0.75 * std
        qualities = [min(max(0.333 * (a - mean) / (std + 1e-3), -1.0), 1.0) for a in norms]
        loss = float(head(points(SAMPLES, [factor * a for a in NORMS]), torch.tensor(LABELS)).detach())
        assert loss == pytest.approx(mean_loss(10.0, own_cosines(qualities)), rel=1e-9)
        assert float(head.norm_mean) == pytest.approx(mean, rel=1e-9)
        assert float(head.norm_std) == pytest.approx(std, rel=1e-9)
    head.eval()
    assert float(head(points(SAMPLES, [2.0 * a for a in NORMS]), torch.tensor(LABELS)).detach()) == loss
    assert float(head.norm_mean) == pytest.approx(mean, rel=1e-9)  # measuring does not move it


def test_adaface_at_its_ends_is_arcface_cosface_and_a_negative_angle():
    """Quality -1: cos(t + m). 0: cos(t) - m. 1: cos(t - m) - 2 m, the angle held at 0."""
    head = on_circle(AdaFace(4, 2, scale=10.0, concentration=1.0)).eval()
    head.norm_mean.fill_(50.0)
    head.norm_std.fill_(10.0 - 1e-3)
    norms = [20.0, 50.0, 80.0, 55.0, 40.0, 60.0, 100.0]
    qualities = [-1.0, 0.0, 1.0, 0.5, -1.0, 1.0, 1.0]
    assert head.quality(points(SAMPLES, norms)).flatten().tolist() == pytest.approx(qualities, abs=1e-9)
    loss = float(head(points(SAMPLES, norms), torch.tensor(LABELS)).detach())
    t = angles()
    owns = [
        math.cos(t[0] + 0.4),
        math.cos(t[1]) - 0.4,
        math.cos(0.0) - 0.8,  # 10 degrees are less than 0.4
        math.cos(t[3] - 0.2) - 0.6,
        math.cos(t[4] + 0.4),
        math.cos(0.0) - 0.8,
        math.cos(t[6] - 0.4) - 0.8,
    ]
    assert loss == pytest.approx(mean_loss(10.0, owns), rel=1e-9)


def test_adaface_holds_the_angle_at_pi():
    head = on_circle(AdaFace(4, 2, scale=1.0, concentration=1.0)).eval()
    loss = float(head(points([170.0], [1.0]), torch.tensor([0])).detach())
    q = (1 - 20) / (100 + 1e-3)
    assert loss == pytest.approx(
        mean_loss(1.0, [math.cos(math.radians(170) - 0.4 * q) - 0.4 * (1 + q)], [170.0], [0])
    )
    head.norm_mean.fill_(1000.0)
    loss = float(head(points([170.0], [1.0]), torch.tensor([0])).detach())
    assert loss == pytest.approx(mean_loss(1.0, [-1.0], [170.0], [0]))


def test_adaface_gradient_takes_the_quality_as_a_constant():
    """Along the circle the slope is that of the loss at fixed quality; along the radius there is none."""
    head = on_circle(AdaFace(4, 2, scale=5.0, concentration=1.0)).eval()
    norms = [30.0 + 5 * i for i in range(7)]
    x = points(SAMPLES, norms).requires_grad_()
    head(x, torch.tensor(LABELS)).backward()
    assert (x.grad * x.detach()).sum(dim=1).tolist() == pytest.approx([0.0] * 7, abs=1e-9)
    tangent = (x.grad * points([a + 90 for a in SAMPLES], norms)).sum(dim=1)
    qualities = head.quality(x).flatten().tolist()
    for i, label in enumerate(LABELS):

        def loss_at(degrees, i=i, label=label):
            t = math.acos(math.cos(math.radians(degrees - CENTRES[label])))
            q = qualities[i]
            own = math.cos(min(max(t - 0.4 * q, 0.0), math.pi)) - 0.4 * (1 + q)
            return mean_loss(5.0, [own], [degrees], [label]) / 7

        step = 1e-4
        numeric = (loss_at(SAMPLES[i] + step) - loss_at(SAMPLES[i] - step)) / math.radians(2 * step)
        assert tangent[i].item() == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def test_adaface_leaves_its_statistics_for_one_sample():
    head = on_circle(AdaFace(4, 2, momentum=1.0))
    assert torch.isfinite(head(points([10.0], [70.0]), torch.tensor([0])))
    assert float(head.norm_mean) == 20.0 and float(head.norm_std) == 100.0
    assert torch.isfinite(head(points([10.0, 20.0], [70.0, 70.0]), torch.tensor([0, 1])))
    assert float(head.norm_mean) == pytest.approx(70.0) and float(head.norm_std) == pytest.approx(
        0.0, abs=1e-9
    )
