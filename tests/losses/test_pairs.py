"""The losses over pairs, against loops over the batch and an independent implementation."""

import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning import distances, reducers
from pytorch_metric_learning import losses as oracle

from evenface import losses
from evenface.losses import Contrastive, NPair, Triplet

PAIR_LOSSES = ("contrastive", "triplet", "npair")


def data(seed=0, n=18, classes=6, size=5):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, size, generator=g, dtype=torch.float64), torch.randint(classes, (n,), generator=g)


def value(head, x, y):
    return float(head.double()(x, y))


def distance_matrix(x):
    unit = [row / np.linalg.norm(row) for row in x.numpy()]
    return [[float(np.linalg.norm(a - b)) for b in unit] for a in unit]


def slow_contrastive(x, y, margin):
    d, genuine, impostor = distance_matrix(x), [], []
    for i in range(len(y)):
        for j in range(i):
            if y[i] == y[j]:
                genuine.append(d[i][j] ** 2 / 2)
            else:
                impostor.append(max(0.0, margin - d[i][j]) ** 2 / 2)
    return np.mean(genuine) + np.mean(impostor)


def chosen_triplets(x, y):
    """(anchor, positive, negative) of every anchor-positive pair that has a negative."""
    d, chosen = distance_matrix(x), []
    for a in range(len(y)):
        for p in range(len(y)):
            if a == p or y[a] != y[p]:
                continue
            others = [n for n in range(len(y)) if y[n] != y[a]]
            further = [n for n in others if d[a][n] > d[a][p]]
            if further:
                chosen.append((a, p, min(further, key=lambda n, a=a: d[a][n])))
            elif others:
                chosen.append((a, p, max(others, key=lambda n, a=a: d[a][n])))
    return chosen


def slow_npair(x, y, norm_weight):
    x, y, pairs = x.numpy(), y.tolist(), []
    for k in sorted(set(y)):
        members = [i for i, label in enumerate(y) if label == k]
        if len(members) > 1:
            pairs.append((x[members[0]], x[members[1]]))
    total = 0.0
    for i, (anchor, positive) in enumerate(pairs):
        rivals = [
            math.exp(anchor @ other - anchor @ positive) for j, (_, other) in enumerate(pairs) if j != i
        ]
        total += math.log(1 + sum(rivals)) / len(pairs)
    length = np.mean([vector @ vector for pair in pairs for vector in pair])
    return total, total + norm_weight / 2 * length


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.0, 1.0, 2.0])
def test_contrastive_is_its_definition_and_agrees_with_an_oracle(seed, margin):
    x, y = data(seed)
    head = Contrastive(6, 5, margin=margin)
    assert value(head, x, y) == pytest.approx(slow_contrastive(x, y, margin), rel=1e-9)
    peer = oracle.ContrastiveLoss(
        neg_margin=margin,
        distance=distances.LpDistance(normalize_embeddings=True),
        reducer=reducers.DoNothingReducer(),
    )
    parts = [
        part["losses"] for part in peer(x, y).values()
    ]  # of each pair d or max(0, margin - d), no squares
    assert len(parts) == 2
    assert value(head, x, y) == pytest.approx(sum(float((p**2).mean()) / 2 for p in parts), rel=1e-6)


def test_contrastive_at_known_angles():
    """Unit vectors at 0, 90 and 60 degrees: chords sqrt 2, 1 and 2 sin 15 degrees."""
    x = torch.tensor([[2.0, 0.0], [0.0, 3.0], [0.5, math.sqrt(0.75)]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1])
    impostors = ((1.5 - 1.0) ** 2 + (1.5 - 2 * math.sin(math.radians(15))) ** 2) / 2 / 2
    assert value(Contrastive(2, 2, margin=1.5), x, y) == pytest.approx(2 / 2 + impostors, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.0, 0.2, 3.0])
def test_triplet_is_its_definition_and_agrees_with_an_oracle(seed, margin):
    x, y = data(seed)
    d, chosen = distance_matrix(x), chosen_triplets(x, y)
    wanted = np.mean([max(0.0, d[a][p] ** 2 - d[a][n] ** 2 + margin) for a, p, n in chosen])
    got = value(Triplet(6, 5, margin=margin), x, y)
    assert got == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    peer = oracle.TripletMarginLoss(
        margin=margin,
        distance=distances.LpDistance(normalize_embeddings=True, power=2),
        reducer=reducers.MeanReducer(),
    )
    triplets = tuple(torch.tensor(column) for column in zip(*chosen, strict=True))
    assert got == pytest.approx(float(peer(x, y, triplets)), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("angles", "negative"),
    [
        ([0, 60, 30, 80, 120], 80),  # 30 is nearer than the positive (hard), 80 the nearest beyond it
        ([0, 60, 20, 30, 40], 40),  # all are nearer: the furthest
    ],
)
def test_triplet_takes_the_nearest_negative_beyond_the_positive(angles, negative):
    """The pair (0, 60 degrees) with the first as anchor; D = 2 - 2 cos."""
    at = torch.deg2rad(torch.tensor(angles, dtype=torch.float64))
    x, y = torch.stack([at.cos(), at.sin()], dim=1), torch.tensor([0, 0, 1, 2, 3])

    def cost(positive, chosen):
        return 2 * math.cos(math.radians(chosen)) - 2 * math.cos(math.radians(positive)) + 4.0

    other = [abs(60 - a) for a in angles[2:]]  # the same pair, with the second as anchor
    beyond = [a for a in other if a > 60] or [max(other)]
    loss = Triplet(4, 2, margin=4.0).double()(x, y)
    assert float(loss) == pytest.approx((cost(60, negative) + cost(60, min(beyond))) / 2, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("norm_weight", [0.0, 0.002, 1.0])
def test_npair_is_its_definition(seed, norm_weight):
    x, y = data(seed)
    head = NPair(6, 5, norm_weight=norm_weight)
    pairs, whole = slow_npair(x, y, norm_weight)
    assert value(head, x, y) == pytest.approx(whole, rel=1e-9)
    assert float(head.terms["pairs"]) == pytest.approx(pairs, rel=1e-9)


def test_npair_agrees_with_an_oracle_on_one_pair_of_each_class():
    x, _ = data(n=10)
    y = torch.tensor([4, 2, 0, 1, 3, 3, 1, 2, 0, 4])
    peer = oracle.NPairsLoss(distance=distances.DotProductSimilarity(normalize_embeddings=False))
    assert value(NPair(5, 5, norm_weight=0.0), x, y) == pytest.approx(float(peer(x, y)), rel=1e-9)


@pytest.mark.parametrize("name", PAIR_LOSSES)
@pytest.mark.parametrize("labels", [[0], [0, 1, 2, 3], [2, 2, 2]])
def test_without_a_valid_pair_the_loss_is_zero_and_so_is_the_gradient(name, labels):
    """One image; all of different classes; all of one class."""
    x = torch.ones(len(labels), 4) + torch.eye(len(labels), 4)
    head = losses.create(name, 4, 4, **({"norm_weight": 0.0} if name == "npair" else {"margin": 0.0}))
    x.requires_grad_()
    loss = head(x, torch.tensor(labels))
    loss.backward()
    if name == "contrastive" and labels == [2, 2, 2]:  # genuine pairs need no impostor
        assert loss > 0 and x.grad.abs().sum() > 0
    else:
        assert loss == 0 and torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("name", PAIR_LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_gradients_are_finite_where_embeddings_coincide_or_oppose(name, dtype):
    unit = torch.eye(3, 4)
    x = torch.cat([unit, unit, -unit, 2 * unit]).to(dtype).requires_grad_()
    y = torch.tensor([0, 1, 2, 0, 1, 1, 2, 2, 0, 0, 0, 1])
    loss = losses.create(name, 3, 4)(x, y)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("name", ["contrastive", "triplet"])
def test_length_does_not_matter_where_embeddings_are_normalised(name):
    x, y = data()
    head = losses.create(name, 6, 5)
    stretched = x * torch.linspace(0.1, 10, len(x), dtype=torch.float64)[:, None]
    assert value(head, stretched, y) == pytest.approx(value(head, x, y), rel=1e-9)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_descent_brings_each_image_nearest_to_its_own_class(name):
    g = torch.Generator().manual_seed(7)
    x = torch.nn.Parameter(torch.randn(24, 16, generator=g))
    y = torch.arange(6).repeat(4)
    head = losses.create(name, 6, 16)
    optimizer = torch.optim.SGD([x], lr=0.5, momentum=0.9)
    for step in range(300):
        optimizer.zero_grad()
        turn = torch.randperm(24, generator=torch.Generator().manual_seed(step))
        head(x[turn], y[turn]).backward()
        optimizer.step()
    d = torch.cdist(*[torch.nn.functional.normalize(x.detach())] * 2).fill_diagonal_(math.inf)
    assert (y[d.argmin(dim=1)] == y).all()
