"""Losses that change or add rivals: MV-Softmax, CurricularFace and UNPG, on the circle in plain Python."""

import math

import pytest
import torch

from evenface.losses import UNPG, CurricularFace, MVAMSoftmax, MVArcSoftmax

CENTRES = [0.0, 40.0, 95.0, 170.0, 260.0]  # degrees
SAMPLES = [3.1, 25.7, 80.3, 50.9, 100.2, 151.4, 240.8, 200.6, 312.5, 91.9]
LABELS = [0, 0, 0, 1, 2, 3, 4, 1, 1, 4]  # the last three lie 161, 88 and 168 degrees off


def points(degrees, length=1.0):
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return length * torch.stack([angles.cos(), angles.sin()], dim=1)


def on_circle(head):
    head = head.double()
    with torch.no_grad():
        head.centres.copy_(points(CENTRES, 3.0))
    return head


def call(head, samples=SAMPLES, labels=LABELS):
    return float(head(points(samples, 7.0), torch.tensor(labels)).detach())


def cosine(one, other):
    return math.cos(math.radians(one - other))


def arc(c, margin):
    angle = math.acos(c)
    return math.cos(angle + margin) if angle + margin < math.pi else c - margin * math.sin(margin)


def mean_loss(scale, own_of, rival_of, extra=(), samples=SAMPLES, labels=LABELS):
    """Softmax of each sample, with `own_of(c_y)` for its target and `rival_of(c_j, own)` for its rivals."""
    total = 0.0
    for sample, label in zip(samples, labels, strict=True):
        own = own_of(cosine(sample, CENTRES[label]))
        rivals = [rival_of(cosine(sample, w), own) for j, w in enumerate(CENTRES) if j != label]
        total += math.log1p(sum(math.exp(scale * (c - own)) for c in [*rivals, *extra]))
    return total / len(samples)


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("emphasis", [0.0, 0.2, 0.5])
@pytest.mark.parametrize(("kind", "margin"), [(MVAMSoftmax, 0.35), (MVArcSoftmax, 0.5), (MVArcSoftmax, 1.2)])
def test_mv_softmax(kind, margin, emphasis, adaptive):
    head = on_circle(kind(5, 2, scale=8.0, margin=margin, emphasis=emphasis, adaptive=adaptive))
    winners = 0

    def raised(c, own):
        nonlocal winners
        if c <= own:
            return c
        winners += 1
        return (1 + emphasis) * c + emphasis if adaptive else c + emphasis

    expected = mean_loss(
        8.0, (lambda c: c - margin) if kind is MVAMSoftmax else lambda c: arc(c, margin), raised
    )
    assert call(head) == pytest.approx(expected, rel=1e-9)
    assert 5 < winners < 40  # rivals of both sorts


@pytest.mark.parametrize(("adaptive", "rival"), [(True, 1.2 * 0.5 + 0.2), (False, 0.5 + 0.2)])
def test_mv_softmax_by_hand(adaptive, rival):
    """Both centres 60 degrees off: cosine 0.5 for the rival, 0.15 for the target with its margin."""
    head = MVAMSoftmax(2, 2, scale=4.0, margin=0.35, emphasis=0.2, adaptive=adaptive).double()
    with torch.no_grad():
        head.centres.copy_(points([60.0, -60.0]))
    assert call(head, [0.0], [0]) == pytest.approx(math.log1p(math.exp(4 * (rival - 0.15))), rel=1e-9)


def test_mv_softmax_defaults_are_the_authors():
    am, angular = MVAMSoftmax(3, 4), MVArcSoftmax(3, 4)
    assert (am.scale, am.margin, am.emphasis, am.adaptive) == (32.0, 0.35, 0.2, True)
    assert (angular.scale, angular.margin, angular.emphasis, angular.adaptive) == (32.0, 0.5, 0.2, True)


@pytest.mark.parametrize("margin", [0.5, 1.2])
def test_curricularface_over_three_steps(margin):
    head = on_circle(CurricularFace(5, 2, scale=8.0, margin=margin, momentum=0.3))
    t = 0.0
    for count in (10, 4, 7):
        samples, labels = SAMPLES[:count], LABELS[:count]
        own = [cosine(a, CENTRES[k]) for a, k in zip(samples, labels, strict=True)]
        t = 0.3 * sum(own) / count + 0.7 * t
        expected = mean_loss(
            8.0,
            lambda c: arc(c, margin),
            lambda c, own, t=t: c * (t + c) if c > own else c,
            samples=samples,
            labels=labels,
        )
        assert call(head, samples, labels) == pytest.approx(expected, rel=1e-9)
        assert float(head.t) == pytest.approx(t, rel=1e-12)
    head.eval()
    assert call(head, samples, labels) == pytest.approx(expected, rel=1e-9)
    assert float(head.t) == pytest.approx(t, rel=1e-12)  # measuring does not move it


def test_curricularface_weakens_hard_rivals_at_first_and_strengthens_them_later():
    """Slope of a hard rival's logit: 2 c + t times s, below s at t = 0 for c < 0.5, above it at t = 1."""
    head = CurricularFace(2, 2, scale=1.0).eval().double()
    with torch.no_grad():
        head.centres.copy_(points([100.0, 70.0]))  # cosine of the rival 0.342, of the target below
    pulls = []
    for t in (0.0, 1.0):
        head.t.fill_(t)
        head.zero_grad()
        head(points([0.0]), torch.tensor([0])).backward()
        c, own = cosine(0.0, 70.0), arc(cosine(0.0, 100.0), 0.5)
        p = 1 / (1 + math.exp(own - c * (t + c)))
        along = (head.centres.grad[1] * points([160.0])[0]).sum().item()  # turning the rival away
        assert along == pytest.approx(p * (2 * c + t) * -math.sin(math.radians(70)), rel=1e-6)
        pulls.append(2 * c + t)
    assert pulls[0] < 1 < pulls[1]


def kept_pairs(samples, labels, whisker):
    every = sorted(
        cosine(a, b)
        for i, (a, k) in enumerate(zip(samples, labels, strict=True))
        for b, m in zip(samples[:i], labels[:i], strict=True)
        if k != m
    )
    first, third = every[int(0.25 * len(every))], every[int(0.75 * len(every))]
    low, high = first - whisker * (third - first), third + whisker * (third - first)
    return every, [c for c in every if low <= c <= high]


@pytest.mark.parametrize("whisker", [0.0, 0.1, 1.5])
def test_unpg(whisker):
    head = on_circle(UNPG(5, 2, scale=8.0, margin=0.5, whisker=whisker))
    every, kept = kept_pairs(SAMPLES, LABELS, whisker)
    assert len(every) == 45 - 3 - 3 - 1  # of ten samples, less the pairs within classes of 3, 3 and 2
    assert (len(kept) < len(every)) == (whisker < 1)
    got = head.rival_pairs(points(SAMPLES), torch.tensor(LABELS))
    assert sorted(got.tolist()) == pytest.approx(kept, rel=1e-9)
    expected = mean_loss(8.0, lambda c: arc(c, 0.5), lambda c, own: c, kept)
    assert call(head) == pytest.approx(expected, rel=1e-9)


def test_unpg_of_one_class_has_no_pairs():
    head = on_circle(UNPG(5, 2, scale=8.0))
    expected = mean_loss(8.0, lambda c: arc(c, 0.5), lambda c, own: c, (), SAMPLES[:3], LABELS[:3])
    assert call(head, SAMPLES[:3], LABELS[:3]) == pytest.approx(expected, rel=1e-9)


def test_unpg_pushes_samples_of_different_classes_apart():
    head = on_circle(UNPG(5, 2, scale=8.0, whisker=1000.0))
    with torch.no_grad():
        head.centres.copy_(points([20.0, 20.0, 20.0, 20.0, 20.0]))  # no centre tells the two samples apart
    x = points([10.0, 30.0]).requires_grad_()
    head(x, torch.tensor([0, 1])).backward()
    turn = -(x.grad * points([100.0, 120.0])).sum(dim=1)  # along the circle, downhill
    middle = arc(math.cos(math.radians(10)), 0.5)
    pair, near = cosine(10.0, 30.0), math.cos(math.radians(10))
    share = math.exp(8 * pair) / (math.exp(8 * middle) + 4 * math.exp(8 * near) + math.exp(8 * pair))
    own = math.exp(8 * middle) / (math.exp(8 * middle) + 4 * math.exp(8 * near) + math.exp(8 * pair))
    rivals = 1 - own - share
    # Half of each sample's loss: its own, and the pair's share in both. d cos(a)/da = -sin(a).
    centres = 8 / 2 * ((1 - own) * math.sin(math.radians(10) + 0.5) - rivals * math.sin(math.radians(10)))
    pairs = 8 / 2 * 2 * share * math.sin(math.radians(20))
    assert turn[0].item() == pytest.approx(centres - pairs, rel=1e-6)
    assert turn[1].item() == pytest.approx(-(centres - pairs), rel=1e-6)
    assert pairs > 0.3
