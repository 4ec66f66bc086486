"""The gradient's norm and limit: of sparse and dense ones, in one process and of the classes of several."""

import pytest
import torch
from torch import nn

from evenface import losses
from evenface.training.gradients import clip_gradients


def made(*, sparse: bool) -> tuple[nn.Module, losses.FaceLoss]:
    """A network, one of whose weights has no gradient, and a head."""
    torch.manual_seed(0)
    net, head = nn.Linear(3, 4), losses.create("softmax", 6, 4)
    net.weight.grad = torch.randn(4, 3)
    rows = torch.randn(2, 4)
    # Row 4 stands twice, as gradients that were added up may have it.
    grad = torch.sparse_coo_tensor(torch.tensor([[4, 1, 4]]), rows[[0, 1, 0]], (6, 4), check_invariants=True)
    head.centres.grad = grad if sparse else grad.to_dense()
    head.bias.grad = torch.randn(6)
    return net, head


@pytest.mark.parametrize("limit", [0.0, 0.5, 1e3])
def test_sparse_gradients_are_as_dense_ones(limit: float):
    plain = made(sparse=False)
    weights = [p for module in plain for p in module.parameters()]
    norm = nn.utils.clip_grad_norm_(weights, limit or float("inf"))
    for sparse in (False, True):
        net, head = made(sparse=sparse)
        torch.testing.assert_close(clip_gradients(net, head, limit), norm)
        assert net.bias.grad is None and head.centres.grad.is_sparse == sparse
        for parameter, expected in zip([*net.parameters(), *head.parameters()], weights, strict=True):
            if expected.grad is not None:
                torch.testing.assert_close(parameter.grad.to_dense(), expected.grad)
    assert (limit == 0.5) == (float(weights[0].grad.abs().max()) < 0.5)


def test_each_class_counts_once_and_what_all_have_too(monkeypatch: pytest.MonkeyPatch):
    """As if another process had classes whose gradients have a sum of squares of 100."""
    net, head = made(sparse=False)
    before = clip_gradients(net, head, 0.0)
    monkeypatch.setattr(type(head.classes), "sum", lambda classes, value: value + 100.0)
    torch.testing.assert_close(clip_gradients(net, head, 0.0), (before.square() + 100).sqrt())


def test_a_loss_without_weights():
    net, _ = made(sparse=False)
    norm = clip_gradients(net, losses.create("triplet", 6, 4), 0.0)
    torch.testing.assert_close(norm, net.weight.grad.norm())
