"""UniFace in plain Python."""

import math

import pytest
import torch

from evenface.losses import UniFace

CENTRES = [0.0, 50.0, 110.0, 200.0]  # degrees
SAMPLES = [10.0, 350.0, 60.0, 100.0, 150.0, 205.0]
LABELS = [0, 0, 1, 1, 2, 3]


def points(degrees, length=1.0):
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return length * torch.stack([angles.cos(), angles.sin()], dim=1)


def on_circle(head, bias):
    head = head.double()
    with torch.no_grad():
        head.centres.copy_(points(CENTRES, 3.0))
        head.bias.fill_(bias)
    return head


@pytest.mark.parametrize("margin", [0.0, 0.4])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_both_parts_and_the_slope_of_the_bias(margin, weight):
    head = on_circle(UniFace(4, 2, scale=6.0, margin=margin, rival_weight=weight), bias=2.5)
    target = rivals = slope = 0.0
    for sample, label in zip(SAMPLES, LABELS, strict=True):
        for j, centre in enumerate(CENTRES):
            c = math.cos(math.radians(sample - centre))
            if j == label:
                logit = 6.0 * (c - margin) - 2.5
                target += math.log(1 + math.exp(-logit)) / 6
                slope += 1 / (1 + math.exp(logit)) / 6
            else:
                logit = 6.0 * c - 2.5
                rivals += weight * math.log(1 + math.exp(logit)) / 6
                slope -= weight / (1 + math.exp(-logit)) / 6
    loss = head(points(SAMPLES, 7.0), torch.tensor(LABELS))
    assert loss.item() == pytest.approx(target + rivals, rel=1e-9)
    assert float(head.terms["target"]) == pytest.approx(target, rel=1e-9)
    assert float(head.terms["rivals"]) == pytest.approx(rivals, rel=1e-9)
    loss.backward()
    assert head.bias.grad.item() == pytest.approx(slope, rel=1e-9)


def test_starts_as_the_authors_code_does():
    head = UniFace(85, 8)
    assert (
        head.bias.item() == pytest.approx(math.log(850)) and head.bias.ndim < 2
    )  # so it has no weight decay
    assert (head.scale, head.margin, head.rival_weight) == (64.0, 0.4, 1.0)


def test_a_far_stray_has_the_whole_gradient():
    """170 degrees off at s = 64: the slope of the loss over the target's cosine is -s."""
    head = on_circle(UniFace(4, 2), bias=math.log(40))
    with torch.no_grad():
        head.centres.copy_(points([0.0, 300.0, 300.0, 300.0]))  # rivals far off too: 1e-20 of the gradient
    angle = torch.tensor(math.radians(170), dtype=torch.float64, requires_grad=True)
    head(torch.stack([angle.cos(), angle.sin()])[None], torch.tensor([0])).backward()
    assert angle.grad.item() == pytest.approx(64 * math.sin(math.radians(170)), rel=1e-9)


def test_learns_one_threshold_between_targets_and_rivals():
    """With fixed centres, the bias over the scale ends between the lowest target and the highest rival."""
    head = on_circle(UniFace(4, 2, scale=20.0, margin=0.0), bias=math.log(40))
    labels, x = torch.tensor([0, 1, 2, 3]), points([5.0, 55.0, 105.0, 205.0])
    optimizer = torch.optim.SGD([head.bias], lr=1.0)
    for _ in range(300):
        optimizer.zero_grad()
        head(x, labels).backward()
        optimizer.step()
    cosine = torch.nn.functional.normalize(x) @ head.directions().T
    lowest = cosine.diagonal().min()
    highest = (cosine - 2 * torch.eye(4)).max()
    assert highest < head.bias / head.scale < lowest
