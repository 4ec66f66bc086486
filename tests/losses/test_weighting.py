"""SphereFace2, AdaCos, P2SGrad, the focal and the Circle loss, each against loops in Python floats."""

import math
import statistics

import pytest
import torch
from pytorch_metric_learning import losses as oracle

from evenface import losses
from evenface.errors import UserError
from evenface.losses import AdaCos, Circle, Focal, SphereFace2

C, D, N = 6, 4, 25


def head_and_data(name, samples=N, **options):
    torch.manual_seed(0)
    head = losses.create(name, C, D, **options).double().eval()
    with torch.no_grad():
        head.centres.normal_()
    return head, torch.randn(samples, D, dtype=torch.float64), torch.randint(C, (samples,))


def cosines(head, x):
    """Rows of cosines, Python floats."""

    def unit(v):
        length = math.sqrt(sum(a * a for a in v))
        return [a / length for a in v]

    w = [unit(c) for c in head.centres.tolist()]
    return [[sum(a * b for a, b in zip(unit(e), c, strict=True)) for c in w] for e in x.tolist()]


def cross_entropy(rows, labels):
    """Of each row, -log(softmax) of its own logit."""
    each = []
    for row, y in zip(rows, labels, strict=True):
        top = max(row)
        each.append(top - row[y] + math.log(sum(math.exp(z - top) for z in row)))
    return each


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def slope(head, turn, centres):
    """dL / dturn of the embedding (cos turn, sin turn) of class 0, its centres at the given angles."""
    head = head.double().eval()
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[math.cos(a), math.sin(a)] for a in centres]))
    at = torch.tensor(turn, dtype=torch.float64, requires_grad=True)
    loss = head(torch.stack([at.cos(), at.sin()])[None], torch.tensor([0]))
    return float(torch.autograd.grad(loss, at)[0])


def by_the_chain_rule(turn, centres, weights):
    """sum_j weights[j] dc_j / dturn, with c_j = cos(turn - centre_j)."""
    return sum(g * -math.sin(turn - c) for g, c in zip(weights, centres, strict=True))


CENTRES = [0.0, 2.0, -1.5]
TURNS = [0.1, 1.0, 2.9]


@pytest.mark.parametrize(
    ("scale", "margin", "exponent"), [(40.0, 0.4, 3.0), (8.0, 0.1, 1.0), (2.0, 0.0, 2.5)]
)
def test_sphereface2(scale, margin, exponent):
    options = {"scale": scale, "margin": margin, "exponent": exponent, "target_weight": 0.6, "gain": 7.0}
    head, x, y = head_and_data("sphereface2", **options)
    with torch.no_grad():
        head.bias.fill_(-0.5)
    target = rivals = 0.0
    for row, label in zip(cosines(head, x), y.tolist(), strict=True):
        for j, c in enumerate(row):
            g = 2 * ((c + 1) / 2) ** exponent - 1
            if j == label:
                target += math.log1p(math.exp(-scale * (g - margin) + 0.5))
            else:
                rivals += math.log1p(math.exp(scale * (g + margin) - 0.5))
    target, rivals = 7.0 / scale * 0.6 * target / N, 7.0 / scale * 0.4 * rivals / N
    assert float(head(x, y)) == pytest.approx(target + rivals, rel=1e-9)
    assert float(head.terms["target"]) == pytest.approx(target, rel=1e-9)
    assert float(head.terms["rivals"]) == pytest.approx(rivals, rel=1e-9)


@pytest.mark.parametrize("turn", TURNS)
def test_sphereface2_has_the_probabilities_of_g_and_the_slopes_of_the_cosine(turn):
    head = SphereFace2(3, 2, scale=5.0, margin=0.2, exponent=3.0, target_weight=0.7, gain=10.0)
    with torch.no_grad():
        head.bias.fill_(0.25)
    weights = []
    for j, centre in enumerate(CENTRES):
        g = 2 * ((math.cos(turn - centre) + 1) / 2) ** 3 - 1
        own = -0.7 * sigmoid(-5 * (g - 0.2) - 0.25)
        weights.append(10 * (own if j == 0 else 0.3 * sigmoid(5 * (g + 0.2) + 0.25)))
    assert slope(head, turn, CENTRES) == pytest.approx(by_the_chain_rule(turn, CENTRES, weights), rel=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 10, 10**6])
@pytest.mark.parametrize(("scale", "margin"), [(1.0, 0.0), (40.0, 0.4), (500.0, 1.0)])
def test_sphereface2_bias_starts_at_the_least_loss_of_right_angles(classes, scale, margin):
    head = SphereFace2(2, 2, scale=scale, margin=margin)
    head.num_classes = classes  # not the centres of a million classes
    first = head.first_bias()

    def softplus(z):
        return max(z, 0.0) + math.log1p(math.exp(-abs(z)))

    def loss(b):
        g = 2 * 0.5**3 - 1
        own = 0.7 * softplus(-scale * (g - margin) - b)
        return own + 0.3 * (classes - 1) * softplus(scale * (g + margin) + b)

    assert loss(first) < min(loss(first - 0.01), loss(first + 0.01))


@pytest.mark.parametrize("samples", [24, 25])
def test_adacos_follows_its_recurrence_in_training_only(samples):
    head, x, y = head_and_data("adacos", samples)
    assert isinstance(head, AdaCos)
    rows = cosines(head, x)
    pairs = list(zip(rows, y.tolist(), strict=True))
    scale = math.sqrt(2) * math.log(C - 1)
    for step in range(4):
        if step:
            head.train()
            others = [sum(math.exp(scale * c) for c in row) - math.exp(scale * row[k]) for row, k in pairs]
            median = statistics.median(math.acos(row[k]) for row, k in pairs)
            scale = math.log(sum(others) / samples) / math.cos(min(math.pi / 4, median))
        logits = [[scale * c for c in row] for row in rows]
        expected = sum(cross_entropy(logits, y.tolist())) / samples
        assert float(head(x, y)) == pytest.approx(expected, rel=1e-6)  # the first scale is a float32
        assert float(head.scale) == pytest.approx(scale, rel=1e-6)
        assert float(head.terms["scale"]) == float(head.scale)


@pytest.mark.parametrize("turns", [[0.3], [0.1, 2.0, 0.5], [2.0, 0.1, 0.5, 0.3]])
def test_adacos_takes_the_median_angle_where_it_is_below_45_degrees(turns):
    head = AdaCos(3, 2).double()
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[math.cos(a), math.sin(a)] for a in CENTRES]))
    first = float(head.scale)
    x = torch.tensor([[math.cos(t), math.sin(t)] for t in turns], dtype=torch.float64)
    head(x, torch.zeros(len(turns), dtype=torch.int64))
    rivals = sum(math.exp(first * math.cos(t - c)) for t in turns for c in CENTRES[1:])
    expected = math.log(rivals / len(turns)) / math.cos(statistics.median(turns))
    assert float(head.scale) == pytest.approx(expected)


def test_adacos_refuses_two_classes_and_its_scale_stays_positive():
    with pytest.raises(UserError, match=r"loss\.num_classes: 2 is outside"):
        AdaCos(2, 4)
    head = AdaCos(3, 2)
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]]))
    head(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))  # log(2 exp(-0.98)) < 0
    assert float(head.scale) == pytest.approx(1e-3)


def test_p2sgrad():
    head, x, y = head_and_data("p2sgrad")
    errors = []
    for row, label in zip(cosines(head, x), y.tolist(), strict=True):
        errors += [(c - (j == label)) ** 2 for j, c in enumerate(row)]
    assert float(head(x, y)) == pytest.approx(sum(errors) / 2 / N, rel=1e-9)
    peer = oracle.P2SGradLoss(D, C).double()
    with torch.no_grad():
        peer.weight.copy_(head.centres.T)
    assert float(head(x, y)) == pytest.approx(C / 2 * float(peer(x, y)), rel=1e-6)  # it takes the mean over C


@pytest.mark.parametrize("turn", TURNS)
def test_p2sgrad_has_the_gradient_of_the_paper(turn):
    errors = [math.cos(turn - centre) - (j == 0) for j, centre in enumerate(CENTRES)]
    expected = by_the_chain_rule(turn, CENTRES, errors)
    assert slope(losses.create("p2sgrad", 3, 2), turn, CENTRES) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal(gamma):
    head, x, y = head_and_data("focal", scale=6.0, gamma=gamma)
    each = cross_entropy([[6.0 * c for c in row] for row in cosines(head, x)], y.tolist())
    expected = sum((1 - math.exp(-e)) ** gamma * e for e in each) / N
    assert float(head(x, y)) == pytest.approx(expected, rel=1e-9)


def test_focal_without_gamma_is_the_normalized_softmax():
    head, x, y = head_and_data("focal", gamma=0.0)
    peer = head_and_data("normalized-softmax")[0]
    assert float(head(x, y)) == pytest.approx(float(peer(x, y)), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_a_certain_sample_is_zero_with_a_finite_gradient(gamma):
    head = Focal(2, 2, scale=1000.0, gamma=gamma)
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    x = torch.tensor([[2.0, 0.0]], requires_grad=True)
    loss = head(x, torch.tensor([0]))
    loss.backward()
    assert loss == 0 and torch.equal(x.grad, torch.zeros(1, 2))


def circle_logits(row, label, s, m):
    return [
        s * max(0.0, 1 + m - c) * (c - (1 - m)) if j == label else s * max(0.0, c + m) * (c - m)
        for j, c in enumerate(row)
    ]


@pytest.mark.parametrize(("scale", "margin"), [(256.0, 0.25), (80.0, 0.4), (4.0, 0.0)])
def test_circle(scale, margin):
    head, x, y = head_and_data("circle", scale=scale, margin=margin)
    rows = [circle_logits(row, k, scale, margin) for row, k in zip(cosines(head, x), y.tolist(), strict=True)]
    each = cross_entropy(rows, y.tolist())
    assert float(head(x, y)) == pytest.approx(sum(each) / N, rel=1e-9)
    # As pairs of a sample and each centre, the pairwise form of the loss is the same; the peer's mean leaves
    # zeros out.
    peer = oracle.CircleLoss(m=margin, gamma=scale).double()
    pairs = float(peer(x, y, ref_emb=head.centres.detach(), ref_labels=torch.arange(C)))
    assert sum(each) / sum(e > 1e-12 for e in each) == pytest.approx(pairs, rel=1e-6)


@pytest.mark.parametrize("turn", TURNS)
def test_circle_has_the_gradient_of_the_paper(turn):
    """Eq. 10: s (c - (1 + m)) and s (c + m) times the errors of the probabilities, the weights constant."""
    s, m = 3.0, 0.25
    row = [math.cos(turn - centre) for centre in CENTRES]
    logits = circle_logits(row, 0, s, m)
    share = [math.exp(z) / sum(map(math.exp, logits)) for z in logits]
    weights = [(1 - share[0]) * s * (row[0] - 1 - m)]
    weights += [share[j] * s * max(0.0, row[j] + m) for j in (1, 2)]
    expected = by_the_chain_rule(turn, CENTRES, weights)
    assert slope(Circle(3, 2, scale=s, margin=m), turn, CENTRES) == pytest.approx(expected, rel=1e-6)


def test_circle_is_undecided_on_a_circle():
    head = Circle(2, 3, scale=100.0, margin=0.25)
    with torch.no_grad():
        head.centres.copy_(torch.eye(3)[:2])
    own = 0.9
    rival = math.sqrt(2 * 0.25**2 - (1 - own) ** 2)
    x = torch.tensor([[own, rival, math.sqrt(1 - own**2 - rival**2)]])
    assert float(head(x, torch.tensor([0]))) == pytest.approx(math.log(2), rel=1e-4)
