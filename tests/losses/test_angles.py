"""L-Softmax, SphereFace-R, the combined margin and sub-centre ArcFace, against loops in Python floats."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as oracle

from evenface import losses
from evenface.losses import CombinedMargin, LSoftmax, SubcentreArcFace

C, D, N = 6, 4, 25


def head_and_data(name, **options):
    torch.manual_seed(0)
    head = losses.create(name, C, D, **options).double().eval()
    with torch.no_grad():
        for weight in head.parameters():
            weight.normal_()
    return head, torch.randn(N, D, dtype=torch.float64), torch.randint(C, (N,))


def dot(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def angle(a, b):
    return math.acos(dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)))


def cross_entropy(rows, labels):
    """The mean of -log(softmax) of each row's own logit."""
    each = [math.log(sum(math.exp(z - row[y]) for z in row)) for row, y in zip(rows, labels, strict=True)]
    return sum(each) / len(each)


def slope(head, turn, centres, label):
    """dL / dturn of the embedding (cos turn, sin turn), its centres at the given angles."""
    head = head.double().eval()
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[math.cos(a), math.sin(a)] for a in centres]))
    at = torch.tensor(turn, dtype=torch.float64, requires_grad=True)
    loss = head(torch.stack([at.cos(), at.sin()])[None], torch.tensor([label]))
    return float(torch.autograd.grad(loss, at)[0])


def psi(at, m):
    """The A-Softmax function on the piece [k pi / m, (k + 1) pi / m] of the angle."""
    k = next(k for k in range(m) if at <= (k + 1) * math.pi / m)
    return (-1) ** k * math.cos(m * at) - 2 * k


@pytest.mark.parametrize("margin", [1, 2, 3, 4, 7])
def test_lsoftmax(margin):
    head, x, y = head_and_data("lsoftmax", margin=margin, first_lambda=0.0, least_lambda=0.0)
    w = head.centres.tolist()
    rows = [[dot(e, c) for c in w] for e in x.tolist()]
    for e, row, label in zip(x.tolist(), rows, y.tolist(), strict=True):
        own = w[label]
        row[label] = math.sqrt(dot(e, e) * dot(own, own)) * psi(angle(e, own), margin)
    assert float(head(x, y)) == pytest.approx(cross_entropy(rows, y.tolist()), rel=1e-9)
    peer = oracle.LargeMarginSoftmaxLoss(C, D, margin=margin, scale=1).double()
    with torch.no_grad():
        peer.W.copy_(head.centres.T)
    assert float(head(x, y)) == pytest.approx(float(peer(x, y)), rel=1e-6)


def test_lsoftmax_anneals_by_a_power_and_mixes_the_plain_logit():
    head, x, y = head_and_data("lsoftmax", margin=3)
    assert isinstance(head, LSoftmax)
    head.step.fill_(1000)
    weight = 1000 / 1.025**35  # 421.3
    assert head.annealing() == pytest.approx(weight)
    w = head.centres.tolist()
    rows = [[dot(e, c) for c in w] for e in x.tolist()]
    for e, row, label in zip(x.tolist(), rows, y.tolist(), strict=True):
        length = math.sqrt(dot(e, e) * dot(w[label], w[label]))
        row[label] = (weight * row[label] + length * psi(angle(e, w[label]), 3)) / (1 + weight)
    assert float(head(x, y)) == pytest.approx(cross_entropy(rows, y.tolist()), rel=1e-9)
    head.step.fill_(10**15)
    assert head.annealing() == 5.0


def r_logits(version, turns, label, s, m):
    """SphereFace-R's logits where the angles to all centres are `turns`."""
    if version == "v1":
        return [s * math.cos(min(m * t, math.pi) if j == label else t) for j, t in enumerate(turns)]
    return [s * math.cos(t if j == label else t / m) for j, t in enumerate(turns)]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("margin", [1.0, 1.4, 3.0])
def test_sphereface_r(version, margin):
    head, x, y = head_and_data("sphereface-r", scale=10.0, margin=margin, version=version)
    w = head.centres.tolist()
    rows = [
        r_logits(version, [angle(e, c) for c in w], label, 10.0, margin)
        for e, label in zip(x.tolist(), y.tolist(), strict=True)
    ]
    assert float(head(x, y)) == pytest.approx(cross_entropy(rows, y.tolist()), rel=1e-9)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("turn", [0.1, 1.0, 2.9])
def test_sphereface_r_has_the_probabilities_of_the_margin_and_the_slopes_of_none(version, turn):
    head = losses.create("sphereface-r", 3, 2, scale=4.0, margin=1.5, version=version)
    centres = [0.0, 2.0, -1.5]
    turns = [math.acos(math.cos(turn - c)) for c in centres]
    logits = r_logits(version, turns, 0, 4.0, 1.5)
    whole = sum(map(math.exp, logits))
    expected = sum(
        4.0 * (math.exp(z) / whole - (j == 0)) * -math.sin(turn - centre)
        for j, (z, centre) in enumerate(zip(logits, centres, strict=True))
    )
    assert slope(head, turn, centres, 0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("margins", [(1.0, 0.3, 0.2), (0.9, 0.4, 0.15), (2.5, 0.5, 0.1)])
def test_combined_margin_at_known_angles(margins):
    m1, m2, m3 = margins
    head = CombinedMargin(2, 2, angle_factor=m1, angle_margin=m2, cosine_margin=m3)
    angles = [0.01 + 0.03 * i for i in range(104)]
    got = head.target_cosine(torch.tensor(angles, dtype=torch.float64).cos())
    for at, value in zip(angles, got.tolist(), strict=True):
        phase, fallen = m1 * at + m2, 0.0
        while phase > math.pi:  # each half turn falls by 2, as the cosine does over the first
            phase, fallen = phase - math.pi, fallen + 2.0
        assert value == pytest.approx(math.cos(phase) - fallen - m3, abs=1e-9)
    assert (got.diff() < 0).all()


def test_combined_margin_holds_its_three_relatives():
    cosine = torch.linspace(-0.999, 0.999, 50, dtype=torch.float64)

    def combined(factor, angle_margin, cosine_margin):
        margins = {"angle_factor": factor, "angle_margin": angle_margin, "cosine_margin": cosine_margin}
        return losses.create("combined-margin", 2, 2, **margins).target_cosine(cosine)

    torch.testing.assert_close(combined(1.0, 0.0, 0.35), losses.CosFace(2, 2).target_cosine(cosine))
    torch.testing.assert_close(combined(4.0, 0.0, 0.0), losses.SphereFace(2, 2).psi(cosine))
    inside = cosine > -math.cos(0.5)
    arcface = losses.ArcFace(2, 2).target_cosine(cosine)
    torch.testing.assert_close(combined(1.0, 0.5, 0.0)[inside], arcface[inside])


@pytest.mark.parametrize("subcentres", [2, 3, 5])
def test_subcentre_arcface(subcentres):
    head, x, y = head_and_data("subcentre-arcface", scale=8.0, margin=0.3, subcentres=subcentres)
    every = head.centres
    rows = []
    for e, label in zip(x.tolist(), y.tolist(), strict=True):
        nearest = [min(angle(e, w) for w in group) for group in every.tolist()]
        assert nearest[label] < math.pi - 0.3  # where ArcFace goes on below is tested with ArcFace
        nearest[label] += 0.3
        rows.append([8.0 * math.cos(a) for a in nearest])
    assert float(head(x, y)) == pytest.approx(cross_entropy(rows, y.tolist()), rel=1e-9)
    degrees = math.degrees(0.3)
    peer = oracle.SubCenterArcFaceLoss(
        num_classes=C, embedding_size=D, margin=degrees, scale=8.0, sub_centers=subcentres
    ).double()
    with torch.no_grad():
        peer.W.copy_(every.flatten(0, 1).T)
    assert float(head(x, y)) == pytest.approx(float(peer(x, y)), rel=1e-6)


def test_only_the_nearest_subcentre_of_a_class_learns():
    head = SubcentreArcFace(2, 2, scale=4.0, subcentres=3).double()
    turns = [[0.0, 1.0, 2.0], [-1.0, -2.0, -3.0]]
    with torch.no_grad():
        every = torch.tensor([[[math.cos(t), math.sin(t)] for t in group] for group in turns])
        head.centres.copy_(every)
    x = torch.tensor([[math.cos(1.2), math.sin(1.2)]], dtype=torch.float64)  # near the second of class 0
    head(x, torch.tensor([0])).backward()
    moved = head.centres.grad.norm(dim=2) > 0
    assert moved.tolist() == [[False, True, False], [False, False, True]]  # 1.2 to -3.0 is 2.08, to -1.0 2.2


def test_the_direction_of_a_class_is_its_subcentre_chosen_most_often_in_training():
    head = SubcentreArcFace(2, 2, subcentres=2)
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[[1.0, 0.0], [0.0, 3.0]], [[0.0, -1.0], [-1.0, 0.0]]]))
    x = torch.tensor([[1.0, 0.1], [0.1, 1.0], [-0.1, 1.0], [0.2, -1.0]])
    y = torch.tensor([0, 0, 0, 1])
    head.eval()(x, y)
    assert head.chosen.sum() == 0
    head.train()(x, y)
    assert head.chosen.tolist() == [[1, 2], [1, 0]]
    assert head.directions().tolist() == [[0.0, 1.0], [0.0, -1.0]]
