"""The lab's training loop, on tensors in memory."""

import torch
from torch import nn

from evenface import losses
from evenface.data import BatchPlan
from evenface.errors import UserError
from evenface.lab.config import LabConfig
from evenface.lab.network import network
from evenface.lab.sets import Faces
from evenface.losses import FaceLoss, regularisers
from evenface.training.optimizer import learning_rate, make_optimizer


def fit(config: LabConfig, train: Faces) -> tuple[nn.Module, FaceLoss]:
    """The network and the loss's head, trained on components (N, K) of C people.

    Everything that is drawn follows `train.seed`; one thread on one machine gives the same weights again.

    Raises:
        UserError: a setting does not fit the images, or the loss became NaN or infinite.
    """
    options = config.train.whole()
    torch.manual_seed(options.seed)
    net = network(config.network)
    sizes = torch.bincount(train.labels)
    head = losses.create(config.loss.name, len(sizes), config.network.embedding_size, **config.loss.options)
    for extra in config.regularisers:
        regularisers.add(head, extra.name, **extra.options)
    head.use_class_sizes(sizes)
    optimizer = make_optimizer([net, head], options)
    plan = BatchPlan(
        train.labels.numpy(),
        options.batch_size,
        config.lab.sampler,
        options.seed,
        config.lab.images_per_person,
    )
    steps = max(1, round(options.epochs * plan.steps_per_epoch))
    for step in range(steps):
        epoch, within = divmod(step, plan.steps_per_epoch)
        start = within * options.batch_size
        batch = torch.from_numpy(plan.order(epoch)[start : start + options.batch_size])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(options, step, steps)
        optimizer.zero_grad(set_to_none=True)
        loss = head(net(train.features[batch]), train.labels[batch])
        if not bool(torch.isfinite(loss)):
            raise UserError(
                f"the loss became NaN or infinite at step {step} of {steps}; lower train.learning_rate"
            )
        loss.backward()
        optimizer.step()
    return net.eval(), head.eval()
