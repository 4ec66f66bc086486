"""The regularisers, against loops over their definitions; alone, and added to every loss with centres."""

import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.regularizers import RegularFaceRegularizer

from evenface import losses
from evenface.errors import UserError
from evenface.losses import regularisers
from evenface.losses.regularisers import IAM, REGULARISERS, CenterLoss, RegularFace, UniformFace

C, D, N = 5, 4, 12
CENTRE_LOSSES = sorted(n for n, kind in losses.LOSSES.items() if issubclass(kind, losses.CentreHead))


def head_and_data(name="cosface"):
    torch.manual_seed(0)
    head = losses.create(name, C, D).double()
    return head, torch.randn(N, D, dtype=torch.float64), torch.randint(C - 1, (N,))  # class C-1 is absent


def directions_of(head):
    return [row / np.linalg.norm(row) for row in head.centres.detach().numpy()]


def centres_at(*angles):
    head = losses.create("cosface", len(angles), 2).double()
    at = torch.deg2rad(torch.tensor(angles, dtype=torch.float64))
    with torch.no_grad():
        head.centres.copy_(torch.stack([at.cos(), at.sin()], dim=1) * torch.arange(1, len(at) + 1)[:, None])
    return head


def test_center_loss_and_its_centres_over_three_steps():
    head, _, _ = head_and_data()
    loss = CenterLoss(C, D, alpha=0.3).double()
    centres = np.zeros((C, D))
    for step in range(3):
        g = torch.Generator().manual_seed(step)
        x, y = torch.randn(N, D, generator=g, dtype=torch.float64), torch.randint(C - 1, (N,), generator=g)
        wanted = sum(float(np.sum((row - centres[k]) ** 2)) / 2 for row, k in zip(x.numpy(), y, strict=True))
        assert float(loss(x, y, head)) == pytest.approx(wanted / N, rel=1e-12)
        for k in range(C):
            members = x.numpy()[y.numpy() == k]
            centres[k] -= 0.3 * np.sum(centres[k] - members, axis=0) / (1 + len(members))
        np.testing.assert_allclose(loss.centres.numpy(), centres, rtol=1e-12)
    assert not centres[C - 1].any() and centres[: C - 1].any(axis=1).all()


def test_center_loss_pulls_by_the_difference_and_rests_in_evaluation():
    head, x, y = head_and_data()
    loss = CenterLoss(C, D).double()
    loss(x, y, head)
    before = loss.centres.clone()
    x = x.clone().requires_grad_()
    loss.eval()(x, y, head).backward()
    torch.testing.assert_close(x.grad, (x.detach() - before[y]) / N)  # eq. 3, of the mean
    assert torch.equal(loss.centres, before) and not loss.centres.requires_grad


def test_regularface_at_known_angles_and_against_an_oracle():
    """Centres at 0, 20, 60 and 180 degrees: nearest 20, 20, 40 and 120 degrees away."""
    head = centres_at(0, 20, 60, 180)
    wanted = np.mean([math.cos(math.radians(a)) for a in (20, 20, 40, 120)])
    assert float(RegularFace(4, 2)(None, None, head)) == pytest.approx(wanted, rel=1e-12)
    head, _, _ = head_and_data()
    peer = RegularFaceRegularizer()(head.centres.detach())
    assert float(RegularFace(C, D)(None, None, head)) == pytest.approx(float(peer), rel=1e-6)


def test_uniformface_at_known_angles_and_by_loops():
    """Two opposite and one at a right angle: distances 2, sqrt 2, sqrt 2."""
    energy = (1 / 3 + 2 / (1 + math.sqrt(2))) / 3
    assert float(UniformFace(3, 2)(None, None, centres_at(0, 180, 90))) == pytest.approx(energy, rel=1e-12)
    head, _, _ = head_and_data()
    w = directions_of(head)
    each = [1 / (1 + np.linalg.norm(w[j] - w[k])) for j in range(C) for k in range(C) if j != k]
    assert float(UniformFace(C, D)(None, None, head)) == pytest.approx(np.mean(each), rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_iam_by_loops_and_its_other_form(scale):
    head, x, y = head_and_data()
    w, total, shares = directions_of(head), 0.0, []
    for row, k in zip(x.numpy(), y.tolist(), strict=True):
        powers = [math.exp(scale * float(row @ v) / np.linalg.norm(row)) for v in w]
        rivals = [p for j, p in enumerate(powers) if j != k]
        total += math.log(np.mean(rivals) / sum(powers)) / N
        shares.append(powers[k] / sum(powers))
    got = float(IAM(C, D, scale=scale)(x, y, head))
    assert got == pytest.approx(total, rel=1e-9)
    assert got == pytest.approx(np.mean(np.log1p(-np.array(shares))) - math.log(C - 1), rel=1e-6)


def test_iam_pushes_the_nearer_rival_more():
    head = centres_at(0, 40, 80)
    x = torch.tensor([[1.0, 0.2]], dtype=torch.float64)
    IAM(3, 2, scale=5.0)(x, torch.tensor([0]), head).backward()
    push = head.centres.grad.norm(dim=1) * head.centres.detach().norm(dim=1)
    assert push[1] > 2 * push[2] > 0


@pytest.mark.parametrize(("name", "rate"), [("regularface", 0.05), ("uniformface", 1.0)])
def test_descent_spreads_the_centres_to_the_simplex(name, rate):
    """Four centres in three dimensions end at the tetrahedron, every cosine -1/3."""
    torch.manual_seed(0)
    head = losses.create("cosface", 4, 3).double()
    regulariser = REGULARISERS[name](4, 3)
    optimizer = torch.optim.SGD(head.parameters(), lr=rate)
    with torch.no_grad():
        head.centres.copy_(torch.randn(4, 3))
    for _ in range(800):
        optimizer.zero_grad()
        regulariser(None, None, head).backward()
        optimizer.step()
    w = head.directions().detach()
    between = (w @ w.T)[~torch.eye(4, dtype=torch.bool)]
    torch.testing.assert_close(between, torch.full_like(between, -1 / 3), atol=0.05, rtol=0)


@pytest.mark.parametrize("name", sorted(REGULARISERS))
def test_gradient_agrees_with_finite_differences(name):
    head, x, y = head_and_data()
    regularisers.add(head, name, weight=2.0)
    head = head.double().eval()
    assert torch.autograd.gradcheck(lambda e: head(e, y), x.clone().requires_grad_(), atol=1e-5)
    far = torch.randn(C, D, dtype=torch.float64, requires_grad=True)
    call = torch.func.functional_call
    assert torch.autograd.gradcheck(lambda w: call(head, {"centres": w}, (x, y)), far, atol=1e-5)


@pytest.mark.parametrize("name", sorted(REGULARISERS))
def test_gradients_are_finite_where_centres_coincide_or_oppose(name):
    head = losses.create("normalized-softmax", 4, 3)
    with torch.no_grad():
        head.centres.copy_(torch.tensor([[1.0, 0, 0], [2, 0, 0], [-1, 0, 0], [0.6, 0.8, 0]]))
    regularisers.add(head, name)
    x = head.centres.detach().clone().requires_grad_()
    head(x, torch.arange(4)).backward()
    assert torch.isfinite(x.grad).all() and torch.isfinite(head.centres.grad).all()


@pytest.mark.parametrize("loss", CENTRE_LOSSES)
def test_every_loss_with_centres_takes_all_of_them(loss):
    head, x, y = head_and_data(loss)
    plain = float(head.eval()(x, y))
    weights = {"center": 0.1, "iam": 0.2, "regularface": 3.0, "uniformface": 4.0}
    assert weights.keys() == REGULARISERS.keys()
    for name, weight in weights.items():
        regularisers.add(head, name, weight=weight)
    head = head.double().eval()
    total = head(x, y)
    values = {name: float(head.terms[name]) for name in weights}
    assert float(total) == pytest.approx(plain + sum(weights[n] * values[n] for n in weights), rel=1e-9)
    for name, regulariser in head.regularisers.items():
        assert values[name] == pytest.approx(float(regulariser(x, y, head)), rel=1e-12)
    total.backward()
    assert torch.isfinite(head.centres.grad).all() and not head.terms["center"].requires_grad


def test_low_precision_and_autocast_change_nothing():
    head, x, y = head_and_data()
    head.float()
    for name in REGULARISERS:
        regularisers.add(head, name)
    head.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = head(x.bfloat16(), y)
    assert low.dtype == torch.float32 and torch.equal(low, head(x.bfloat16().float(), y))


def test_state_carries_the_moving_centres():
    head, x, y = head_and_data()
    regularisers.add(head, "center")
    head.double()(x, y)
    other, _, _ = head_and_data()
    regularisers.add(other, "center")
    other.double().load_state_dict(head.state_dict())
    assert head.regularisers["center"].centres.any()
    assert torch.equal(other(x, y), head(x, y))


@pytest.mark.parametrize(
    ("loss", "name", "options", "words"),
    [
        ("cosface", "centre", {}, "regularisers: 'centre' is not known; did you mean 'center'"),
        ("cosface", "center", {"weight": -1}, r"regularisers\.weight: -1 is outside"),
        ("cosface", "center", {"alpha": 1.5}, r"regularisers\.center\.alpha"),
        ("cosface", "iam", {"scale": 0}, r"regularisers\.iam\.scale"),
        (
            "triplet",
            "center",
            {},
            r"regularisers\.center: adds to a loss with class centres, and Triplet has",
        ),
    ],
)
def test_mistakes_name_the_field(loss, name, options, words):
    with pytest.raises(UserError, match=words):
        regularisers.add(losses.create(loss, C, D), name, **options)
