"""How far the centres turned."""

import math

import pytest
import torch

from evenface import losses
from evenface.training.turned import Turned


@pytest.mark.parametrize("classes", [7, 5_000, 12_345])
def test_centres_that_all_turned_alike(classes: int):
    head = losses.create("cosface", classes, 2)
    turned = Turned(head)
    assert turned()["centres_turned"] == 0
    tenth = math.pi / 10
    rotation = torch.tensor([[math.cos(tenth), math.sin(tenth)], [-math.sin(tenth), math.cos(tenth)]])
    with torch.no_grad():
        head.centres.copy_(head.centres @ rotation)
    assert turned()["centres_turned"] == pytest.approx(18, abs=1e-3)
    assert ("centres_nearest" in turned()) == (classes <= 5_000)


def test_of_many_classes_some_are_kept_from_all_over():
    head = losses.create("cosface", 12_345, 2)
    turned = Turned(head)
    with torch.no_grad():
        head.centres[:6_000].neg_()
    assert turned()["centres_turned"] == pytest.approx(180 * 6_000 / 12_345, abs=0.1)
    assert len(turned._start) <= 5_000 and turned._start.untyped_storage().nbytes() <= 5_000 * 2 * 4


@pytest.mark.parametrize(
    ("spreads", "times"),
    [((1.0, 0.4, 0.1, 0.09), 1), ((0.1, 0.5, 2.0, 0.4), 0)],
)
def test_centres_that_fall_together_are_remarked_on(spreads: tuple[float, ...], times: int):
    head, said = losses.create("arcface", 50, 16), list[str]()
    turned = Turned(head)
    for apart in spreads:
        with torch.no_grad():
            head.centres.copy_(1.0 + apart * torch.randn(50, 16, generator=torch.Generator().manual_seed(0)))
        turned(said.append)
    assert len(said) == times and all("loss.margin or train.learning_rate" in words for words in said)
