"""The figures of one panel."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from evenface.geometry import nearest, scopes, spread
from evenface.picture.digits import Digits
from evenface.picture.trainer import Moment


@dataclass(frozen=True)
class Figures:
    """How evenly a loss laid out ten classes; angles in degrees."""

    neighbours: list[float]
    """Ten angles: on the circle between centres that follow each other, on the sphere to the nearest."""
    spread: float
    """Standard deviation of these over their mean; 0 is even."""
    scopes: list[float]
    """Mean angle of each class's training images to its centre."""
    scope: float
    """Their mean over the classes."""
    unseen: float
    """Share of the unseen images whose nearest centre is their own, 0 to 1."""


def figures(moment: Moment, train: Digits, unseen: Digits) -> Figures:
    """What stands under a panel."""
    circle = moment.centres.shape[1] == 2
    between = around(moment.centres) if circle else nearest(moment.centres)[0]
    scope = scopes(moment.seen, train.labels, moment.centres).mean
    right = (moment.unseen @ moment.centres.T).argmax(dim=1) == unseen.labels
    return Figures(
        neighbours=[round(float(x), 3) for x in between],
        spread=round(spread(between).cv, 4),
        scopes=[round(float(x), 3) for x in scope],
        scope=round(float(scope.mean()), 3),
        unseen=round(float(right.double().mean()), 4),
    )


def around(directions: Tensor) -> Tensor:
    """Angles (C,) in degrees between directions (C, 2) that follow each other round the circle; sum 360."""
    angles = torch.atan2(directions[:, 1].double(), directions[:, 0].double()).sort().values
    return torch.rad2deg(torch.cat([angles[1:], angles[:1] + 2 * math.pi]) - angles)
