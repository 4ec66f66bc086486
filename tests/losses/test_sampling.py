"""A part of the rival classes, drawn anew at each call (Partial FC)."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evenface import losses
from evenface.errors import UserError
from evenface.losses import regularisers, rivals
from evenface.losses.classes import Classes

WITH_CENTRES = sorted(n for n, kind in losses.LOSSES.items() if issubclass(kind, losses.CentreHead))
C, D, N = 40, 6, 9


def made(name: str, sample: float, **options: object) -> losses.CentreHead:
    torch.manual_seed(0)
    head = losses.create(name, C, D, **options).double()
    with torch.no_grad():
        head.centres.normal_()
    head.sample = sample
    return head


def batch() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(N, D, generator=g, dtype=torch.float64), torch.randint(C // 2, (N,), generator=g)


def drawn_by(seed: int, y: Tensor, sample: float) -> Tensor:
    """The classes that a head draws with this seed: those of the batch, and each other one by a throw."""
    torch.manual_seed(seed)
    chosen = torch.rand(C) < sample
    chosen[y] = True
    return torch.nonzero(chosen).flatten()


@pytest.mark.parametrize("name", WITH_CENTRES)
@pytest.mark.parametrize("width", [1000, 4])
def test_only_rows_that_were_drawn_have_a_gradient(name: str, width: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rivals, "block_width", lambda rows, device: width)
    head, (x, y) = made(name, 0.3), batch()
    drawn = drawn_by(7, y, 0.3)
    assert len(y.unique()) < len(drawn) < C - 5
    torch.manual_seed(7)
    head(x.requires_grad_(), y).backward()
    for parameter in (head.centres, *([head.bias] if name == "softmax" else [])):
        assert parameter.grad.is_sparse and parameter.grad.shape == parameter.shape
        gradient = parameter.grad.coalesce()
        assert torch.equal(gradient.indices()[0], drawn)
        assert (gradient.values().abs().view(len(drawn), -1).sum(dim=1) > 0).all()
    assert torch.isfinite(x.grad).all() and (x.grad.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("name", WITH_CENTRES)
def test_all_drawn_is_the_plain_loss_and_so_is_evaluation(name: str):
    head, (x, y) = made(name, 1.0), batch()
    plain = head.eval()(x, y)
    head.sample = 0.2
    assert torch.equal(head(x, y), plain)
    head.train()
    head.sample = 1.0 - 1e-9  # every throw is below it
    other = made(name, 1.0).train()
    loss, expected = head(x, y), other(x, y)
    loss.backward(), expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(head.centres.grad.to_dense(), other.centres.grad, rtol=1e-6, atol=1e-8)


def test_cosface_by_hand():
    """Rivals that were drawn by a throw count 1 / sample times, those that are in the batch once."""
    head, (x, y) = made("cosface", 0.4, scale=8.0), batch()
    x.requires_grad_()
    torch.manual_seed(3)
    loss = head(x, y)
    loss.backward()
    drawn = drawn_by(3, y, 0.4)
    w = head.centres.detach()[drawn].requires_grad_()
    e = x.detach().requires_grad_()
    logits = 8 * F.normalize(e) @ F.normalize(w).T
    logits = logits - torch.where(torch.isin(drawn, y), 0.0, math.log(0.4))
    own = torch.searchsorted(drawn, y)
    logits = logits - 8 * 0.35 * F.one_hot(own, len(drawn))
    expected = F.cross_entropy(logits, own)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(x.grad, e.grad)
    torch.testing.assert_close(head.centres.grad.to_dense()[drawn], w.grad)


def test_eqm_sums_over_rivals_are_right_on_average():
    """Both terms: the sum of exponentials over the rivals of each sample and of each centre in the batch."""
    head, (x, y) = made("eqm", 0.25), batch()
    rows = torch.cat([F.normalize(x), F.normalize(head.centres.detach()[y.unique()])])
    classes = torch.cat([y, y.unique()])

    def sums() -> Tensor:
        with torch.no_grad(), head.reading(y):
            return head.rivals(rows, classes, lambda cosine: 4 * cosine).exp()

    exact = sums() if head.eval() else None
    head.train()
    throws = torch.stack([sums() for _ in range(4000)])
    error = (throws.mean(dim=0) - exact) / (throws.std(dim=0) / math.sqrt(len(throws)))
    assert error.abs().max() < 4.5 and throws.std(dim=0).min() > 0.1


@pytest.mark.parametrize("name", ["p2sgrad", "sphereface2", "uniface"])
def test_losses_that_add_over_rivals_have_the_right_gradient_on_average(name: str):
    head, (x, y) = made(name, 0.25), batch()
    x.requires_grad_()
    exact = torch.autograd.grad(head.eval()(x, y), x)[0]
    head.train()
    throws = torch.stack([torch.autograd.grad(head(x, y), x)[0] for _ in range(1500)])
    error = (throws.mean(dim=0) - exact) / (throws.std(dim=0) / math.sqrt(len(throws)))
    assert error.abs().max() < 4.5


@pytest.mark.parametrize("name", WITH_CENTRES)
def test_no_rival_drawn_is_no_error(name: str):
    head, x = made(name, 1e-9), batch()[0].requires_grad_()
    loss = head(x, torch.zeros(N, dtype=torch.int64))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(x.grad).all()
    assert torch.isfinite(head.centres.grad.to_dense()).all()


def test_no_rival_drawn_is_nothing_to_learn():
    head, x = made("cosface", 1e-9), batch()[0].requires_grad_()
    regularisers.add(head, "iam")
    loss = head(x, torch.zeros(N, dtype=torch.int64))
    loss.backward()
    assert float(loss) == 0.0 and torch.equal(x.grad, torch.zeros_like(x))
    assert torch.equal(head.centres.grad.to_dense(), torch.zeros_like(head.centres))


def test_no_rival_drawn_by_any_process_is_nothing_to_learn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.distributed.all_reduce", lambda *_: None)  # the other one has nothing to add
    value = torch.tensor([-torch.inf, -2e4, 3.0], dtype=torch.float64, requires_grad=True)
    total = Classes(10, 0, 5, processes=2).logsumexp(value)
    total[1:].sum().backward()
    assert torch.equal(total, value) and torch.equal(value.grad, torch.tensor([0.0, 1.0, 1.0]).double())


@pytest.mark.parametrize("name", ["regularface", "uniformface"])
def test_what_compares_all_centres_refuses(name: str):
    head, (x, y) = made("cosface", 0.5), batch()
    regularisers.add(head, name)
    with pytest.raises(
        UserError, match=r"train\.sample: 0\.5 leaves centres out, and a regulariser compares"
    ):
        head(x, y)
