"""Optimizer, schedule, saved model."""

import math

import pytest
import torch
from torch import nn

from evenface import losses
from evenface.backbones.saved import CARD, WEIGHTS, Card, load_model, save_model
from evenface.errors import UserError
from evenface.faces import InputFormat
from evenface.training.config import TrainConfig
from evenface.training.optimizer import learning_rate, make_optimizer, parameter_groups


def test_norms_biases_and_prelu_do_not_decay():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.PReLU(8), nn.PReLU(), nn.Flatten(), nn.Linear(8, 4)
    )
    head = losses.Softmax(5, 4)
    decays, free = parameter_groups([net, head], 0.1)
    assert {id(p) for p in decays["params"]} == {id(net[0].weight), id(net[5].weight), id(head.centres)}
    everything = {id(p) for module in (net, head) for p in module.parameters()}
    assert {id(p) for p in free["params"]} == everything - {id(p) for p in decays["params"]}
    assert decays["weight_decay"] == 0.1 and free["weight_decay"] == 0.0


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_shrinks_only_what_decays(name):
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    first = 1.9 if name == "sgd" else 1.0  # Nesterov momentum takes the first step 1 + 0.9 times
    before = {k: v.clone() for k, v in net.state_dict().items()}
    optimizer = make_optimizer([net], TrainConfig(optimizer=name, learning_rate=0.1, weight_decay=0.5))
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(net[0].weight.detach(), before["0.weight"] * (1 - 0.1 * 0.5 * first))
    assert torch.equal(net[0].bias, before["0.bias"]) and torch.equal(net[1].weight, before["1.weight"])


def test_cosine_schedule_at_known_steps():
    config = TrainConfig(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_step_schedule_at_known_steps():
    config = TrainConfig(learning_rate=1.0, warmup=0.0, schedule="step", milestones=(0.5, 0.75))
    rates = [learning_rate(config, step, 100) for step in (0, 49, 50, 74, 75, 99)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_no_warmup_starts_at_the_top():
    assert learning_rate(TrainConfig(learning_rate=2.0, warmup=0.0), 0, 10) == 2.0


def test_saved_model_comes_back(tmp_path):
    card = Card("tiny", {"embedding_size": 8}, InputFormat(32, 48, "gray", "128"), {"step": 1})
    net = card.create().eval()
    save_model(tmp_path, net, card)
    loaded, read = load_model(tmp_path)
    assert read == card and not loaded.training
    x = torch.randn(2, 1, 32, 48)
    assert torch.equal(net(x), loaded(x))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([CARD, WEIGHTS])


def test_saved_model_that_is_not_one_is_named(tmp_path):
    with pytest.raises(UserError, match="no trained model here"):
        load_model(tmp_path)
    card = Card("tiny", {"embedding_size": 8}, InputFormat(32, 32, "gray"))
    save_model(tmp_path, card.create(), card)
    (tmp_path / CARD).write_text(
        (tmp_path / CARD).read_text().replace('"embedding_size": 8', '"embedding_size": 9')
    )
    with pytest.raises(UserError, match="not the weights of tiny"):
        load_model(tmp_path)
    (tmp_path / CARD).write_text("{}")
    with pytest.raises(UserError, match="not a model's card"):
        load_model(tmp_path)
