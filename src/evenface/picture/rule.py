"""One rule that sets every loss's margin for ten classes on a circle or a sphere.

With th the angle between neighbouring centres of the best layout, each loss's boundary lies where an image is
th / 4 from its own centre and 3 th / 4 from the next: half of the way to where it would be confused. Derived
here. The margins that are usual for faces need hundreds of dimensions; on a circle no layout satisfies them.
"""

import math
from typing import Any

from evenface.errors import UserError, unknown
from evenface.losses import LOSSES

NEIGHBOUR = {2: math.radians(36.0), 3: math.radians(66.1468)}
"""Largest possible least angle between ten directions: 2 pi / 10, and Tammes's problem for ten points."""
SCALE = 16.0
"""Of every loss that has one: e^3 between a centre and its neighbour on the circle, e^9.5 on the sphere."""


def options(loss: str, dimensions: int, steps: int) -> dict[str, Any]:
    """The keyword arguments of a loss; what is not said here keeps its default.

    Args:
        loss: a name of `LOSSES`.
        dimensions: 2 or 3.
        steps: of the training, over which SphereFace's annealing is stretched: its lambda falls from 1000
            to 0.1, so that the margin is there at the end.

    Raises:
        UserError: no such loss, or the rule says nothing about it.
    """
    if loss not in LOSSES:
        raise unknown("--losses", loss, LOSSES)
    between = NEIGHBOUR[dimensions]
    own, rival = math.cos(between / 4), math.cos(3 * between / 4)
    scale = {"scale": SCALE}
    cosine = {**scale, "margin": own - rival}
    angle = {**scale, "margin": between / 2}
    factor = {"margin": 3, "least_lambda": 0.0, "decay": 99 / steps, "power": 2.0}
    table: dict[str, dict[str, Any]] = {
        "softmax": {},
        "normalized-softmax": scale,
        "focal": scale,
        "adacos": {},
        "p2sgrad": {},
        "sphereface": factor,
        "lsoftmax": factor,
        "sphereface-r": {**scale, "margin": 3.0},
        "cosface": cosine,
        "mv-am-softmax": cosine,
        "uniface": cosine,
        "ldam": {**scale, "max_margin": own - rival},
        "arcface": angle,
        "subcentre-arcface": angle,
        "mv-arc-softmax": angle,
        "curricularface": angle,
        "unpg": angle,
        "eqm": {
            **scale,
            "lower": own,
            "upper": rival,
            # Classes get past each other on a circle only if their strays do not hold them back.
            "hardness": 0.0,
            "centre_upper": math.cos(between),
            "centre_weight": 2.0,
            "centre_scale": SCALE,
        },
    }
    if loss not in table:
        raise UserError(
            f"--losses: {loss} has no class centres, or its margin is not set by one boundary; "
            f"choose from {', '.join(table)}"
        )
    return table[loss]
