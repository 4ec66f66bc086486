"""Terms that add to any loss with class centres: `head.regularisers[name] = ...`, or `add`.

A new regulariser is one file and one line in `REGULARISERS`.
"""

from typing import Any

from evenface.errors import UserError, unknown
from evenface.losses.base import FaceLoss
from evenface.losses.centre_head import CentreHead
from evenface.losses.regularisers.base import Regulariser
from evenface.losses.regularisers.center import CenterLoss
from evenface.losses.regularisers.iam import IAM
from evenface.losses.regularisers.regularface import RegularFace
from evenface.losses.regularisers.uniformface import UniformFace

REGULARISERS: dict[str, type[Regulariser]] = {
    "center": CenterLoss,
    "iam": IAM,
    "regularface": RegularFace,
    "uniformface": UniformFace,
}


def add(head: FaceLoss, name: str, **options: Any) -> None:
    """Give a loss the regulariser called `name` in `REGULARISERS`, with `options` as its keyword arguments.

    Raises:
        UserError: no such regulariser, an option out of its range, or a loss without class centres.
    """
    if name not in REGULARISERS:
        raise unknown("regularisers", name, REGULARISERS)
    if not isinstance(head, CentreHead):
        raise UserError(
            f"regularisers.{name}: adds to a loss with class centres, and {type(head).__name__} has none; "
            "choose another loss, or leave the regulariser out"
        )
    head.regularisers[name] = REGULARISERS[name](head.num_classes, head.embedding_size, **options)


__all__ = [
    "IAM",
    "REGULARISERS",
    "CenterLoss",
    "RegularFace",
    "Regulariser",
    "UniformFace",
    "add",
]
