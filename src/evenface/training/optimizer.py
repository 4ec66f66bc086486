"""The optimizer and its learning rate at every step."""

import math

import torch
from torch import nn

from evenface.training.config import TrainConfig
from evenface.training.row_optimizer import RowAdamW, RowSGD


def parameter_groups(modules: list[nn.Module], weight_decay: float) -> list[dict[str, object]]:
    """Two groups: weights and centres decay; norms, biases and PReLU slopes (all 1-D) do not."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def make_optimizer(modules: list[nn.Module], config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum 0.9, or AdamW, over the weights of all the modules.

    Of a parameter with a sparse gradient (the centres of a head that samples classes) only the rows that
    were drawn move.
    """
    kind = RowSGD if config.optimizer == "sgd" else RowAdamW
    return kind(parameter_groups(modules, config.weight_decay), lr=config.learning_rate)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0, of `steps`: of the step alone, so that it resumes."""
    warmup = config.warmup * steps
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    if config.schedule == "cosine":
        progress = (step - warmup) / max(steps - warmup, 1)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * 0.1 ** sum(step >= m * steps for m in config.milestones)
