"""The digits, their long tail, and what is held back."""

import builtins

import pytest
import torch

from evenface.errors import UserError
from evenface.picture.digits import cut, digits, sizes


def test_balanced_and_nothing_is_on_both_sides():
    train, unseen = digits()
    assert train.labels.bincount().tolist() == [144] * 10
    assert unseen.labels.bincount().tolist() == [30] * 10
    assert train.images.shape == (1440, 64) and train.images.dtype == torch.float32
    assert float(train.images.min()) == -1 and float(train.images.max()) == 1
    # Some scans are equal, but none of a row of 30 is the start of what is trained on.
    for k in range(10):
        first = unseen.images[unseen.labels == k][-1]
        assert not (train.images[train.labels == k][0] == first).all()


def test_the_long_tail_is_geometric():
    counts = sizes(30)
    assert counts == [144, 99, 68, 46, 32, 22, 15, 10, 7, 5]
    assert sizes(1) == [144] * 10 and sizes(144)[-1] == 1
    train, _ = digits()
    tail = cut(train, counts)
    assert tail.labels.bincount().tolist() == counts
    nines = train.images[train.labels == 9]
    assert torch.equal(tail.images[tail.labels == 9], nines[:5])


@pytest.mark.parametrize("imbalance", [0.5, 145, float("nan")])
def test_an_impossible_imbalance_is_refused(imbalance):
    with pytest.raises(UserError, match="--imbalance"):
        sizes(imbalance)


def test_without_scikit_learn_the_cure_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **words):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest, **words)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match=r"pip install 'evenface\[demo\]'"):
        digits()
