"""Losses with a margin for each class: AdaptiveFace and LDAM, in plain Python."""

import math

import pytest
import torch

from evenface.errors import UserError
from evenface.losses import LDAM, AdaptiveFace

CENTRES = [0.0, 50.0, 110.0, 200.0]  # degrees
SAMPLES = [10.0, 350.0, 60.0, 100.0, 150.0, 205.0, 300.0]
LABELS = [0, 0, 1, 1, 2, 3, 0]


def points(degrees, length=1.0):
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return length * torch.stack([angles.cos(), angles.sin()], dim=1)


def on_circle(head):
    head = head.double()
    with torch.no_grad():
        head.centres.copy_(points(CENTRES, 3.0))
    return head


def losses_of_samples(scale, margins):
    """Of each sample -log p with its class's margin, by loops."""
    found = []
    for sample, label in zip(SAMPLES, LABELS, strict=True):
        c = [math.cos(math.radians(sample - w)) for w in CENTRES]
        own = c[label] - margins[label]
        found.append(math.log1p(sum(math.exp(scale * (r - own)) for j, r in enumerate(c) if j != label)))
    return found


@pytest.mark.parametrize("weight", [0.0, 5.0, 70.0])
def test_adaptiveface(weight):
    margins = [0.1, 0.35, 0.6, 0.9]
    head = on_circle(AdaptiveFace(4, 2, scale=10.0, margin_weight=weight))
    with torch.no_grad():
        head.margins.copy_(torch.tensor(margins))
    each = losses_of_samples(10.0, head.margins.tolist())
    loss = head(points(SAMPLES, 7.0), torch.tensor(LABELS))
    assert loss.item() == pytest.approx(sum(each) / 7 + weight * (1 - sum(margins) / 4), rel=1e-7)
    assert float(head.terms["softmax"]) == pytest.approx(sum(each) / 7, rel=1e-7)
    assert float(head.terms["margin"]) == pytest.approx(sum(margins) / 4, rel=1e-7)
    loss.backward()
    for k in range(4):
        push = sum(10.0 * (1 - math.exp(-v)) for v, label in zip(each, LABELS, strict=True) if label == k) / 7
        assert head.margins.grad[k].item() == pytest.approx(push - weight / 4, rel=1e-6)


def test_adaptiveface_holds_its_margins_within_0_and_1_when_training():
    head = on_circle(AdaptiveFace(4, 2, margin=0.2)).eval()
    assert head.margins.shape == (4,) and torch.allclose(head.margins, torch.tensor(0.2).double())
    with torch.no_grad():
        head.margins.copy_(torch.tensor([-0.3, 0.0, 0.5, 1.7]))
    x, y = points(SAMPLES), torch.tensor(LABELS)
    head(x, y)
    assert head.margins.tolist() == pytest.approx([-0.3, 0.0, 0.5, 1.7])  # measuring changes nothing
    head.train()(x, y)
    assert head.margins.tolist() == pytest.approx([0.0, 0.0, 0.5, 1.0])


def test_adaptiveface_widens_the_margins_of_small_classes():
    """150 steps: nine of ten images in class 0, whose margin ends the least."""
    torch.manual_seed(0)
    labels = torch.tensor([0] * 27 + [1, 2, 3])
    x = points([CENTRES[k] + 20.0 * math.sin(7 * i) for i, k in enumerate(labels.tolist())])
    head = on_circle(AdaptiveFace(4, 2, scale=10.0, margin_weight=5.0))
    optimizer = torch.optim.SGD([head.margins], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        head(x, labels).backward()
        optimizer.step()
    assert head.margins[0] < 0.5 and head.margins[1:].min() > 0.9


def test_ldam():
    head = on_circle(LDAM(4, 2, scale=10.0, max_margin=0.6))
    head.use_class_sizes(torch.tensor([1296, 256, 16, 81]))
    margins = [0.6 * 2 / 6, 0.6 * 2 / 4, 0.6, 0.6 * 2 / 3]  # by n^(1/4) = 6, 4, 2, 3
    assert head.margins().tolist() == pytest.approx(margins)
    loss = float(head(points(SAMPLES, 7.0), torch.tensor(LABELS)).detach())
    assert loss == pytest.approx(sum(losses_of_samples(10.0, margins)) / 7, rel=1e-9)


def test_ldam_without_sizes_takes_all_classes_as_alike():
    head = on_circle(LDAM(4, 2, scale=10.0))
    loss = float(head(points(SAMPLES, 7.0), torch.tensor(LABELS)).detach())
    assert loss == pytest.approx(sum(losses_of_samples(10.0, [0.5] * 4)) / 7, rel=1e-9)


def test_ldam_saves_the_sizes():
    head, other = LDAM(4, 2), LDAM(4, 2)
    head.use_class_sizes(torch.tensor([9, 1, 4, 16]))
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.class_sizes, torch.tensor([9, 1, 4, 16]))
    assert other.margins()[3].item() == pytest.approx(0.25)


def test_ldam_refuses_wrong_sizes_in_words():
    with pytest.raises(UserError, match=r"class sizes: expected one for each of 4 classes, got \(3,\)"):
        LDAM(4, 2).use_class_sizes(torch.tensor([1, 2, 3]))
    with pytest.raises(UserError, match="class sizes: class 2 has 0 images"):
        LDAM(4, 2).use_class_sizes(torch.tensor([1, 2, 0, 3]))
