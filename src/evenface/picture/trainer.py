"""Trains a small network on the digits, and keeps what it looked like on the way."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface import losses
from evenface.data import BatchPlan
from evenface.errors import UserError
from evenface.losses import CentreHead
from evenface.picture import rule
from evenface.picture.digits import CLASSES, Digits
from evenface.training.config import TrainConfig
from evenface.training.optimizer import learning_rate, make_optimizer


@dataclass(frozen=True, eq=False)
class Moment:
    """Where everything lies after some steps; rows of length 1, float32."""

    step: int
    seen: Tensor
    """Embeddings of the images trained on, (N, D)."""
    unseen: Tensor
    """Embeddings of the others, (300, D)."""
    centres: Tensor
    """(10, D)."""


def network(dimensions: int) -> nn.Sequential:
    """(N, 64) pixels to (N, dimensions) embeddings, not normalised."""
    return nn.Sequential(
        nn.Linear(64, 128, bias=False),
        nn.BatchNorm1d(128),
        nn.PReLU(128),
        nn.Linear(128, 128, bias=False),
        nn.BatchNorm1d(128),
        nn.PReLU(128),
        nn.Linear(128, dimensions),
    )


def fit(
    loss: str, dimensions: int, train: Digits, unseen: Digits, steps: int, seed: int, shown: Sequence[int]
) -> list[Moment]:
    """Train, and look at the steps `shown`: rising, from 0 (nothing learned) to `steps`.

    Network, weights at the start, order of the images and steps are the same for every loss.

    Raises:
        UserError: no rule for this loss, or it became NaN or infinite.
    """
    # Ten classes on a circle get past each other only while the rate is high: it rises for half the training.
    config = TrainConfig(
        optimizer="adamw", learning_rate=5e-3, warmup=0.5, weight_decay=0.05, batch_size=128, seed=seed
    )
    torch.manual_seed(seed)
    net = network(dimensions)
    head = losses.create(loss, CLASSES, dimensions, **rule.options(loss, dimensions, steps))
    assert isinstance(head, CentreHead)
    head.use_class_sizes(torch.bincount(train.labels))
    optimizer = make_optimizer([net, head], config)
    plan = BatchPlan(train.labels.numpy(), config.batch_size, "random", seed)
    moments = []
    for step in range(steps + 1):
        if step in shown:
            moments.append(_look(net, head, step, train, unseen))
        if step == steps:
            break
        epoch, within = divmod(step, plan.steps_per_epoch)
        start = within * config.batch_size
        batch = torch.from_numpy(plan.order(epoch)[start : start + config.batch_size])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step, steps)
        optimizer.zero_grad(set_to_none=True)
        value = head(net(train.images[batch]), train.labels[batch])
        if not bool(torch.isfinite(value)):
            raise UserError(
                f"{loss} became NaN or infinite at step {step} of {steps}; leave it out of --losses, "
                "or try another --seed"
            )
        value.backward()
        optimizer.step()
    return moments


@torch.no_grad()
def _look(net: nn.Sequential, head: CentreHead, step: int, train: Digits, unseen: Digits) -> Moment:
    net.eval()
    seen, other = (F.normalize(net(digits.images)) for digits in (train, unseen))
    net.train()
    return Moment(step, seen, other, head.directions().clone())
