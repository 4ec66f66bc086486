"""Whether the class centres learn."""

import torch

from evenface.losses import CentreHead, FaceLoss


class Turned:
    """How far the centres of a loss have turned since this was made.

    Args:
        head: the loss, of which a loss without class centres has nothing to tell.
    """

    def __init__(self, head: FaceLoss):
        self._head = head if isinstance(head, CentreHead) else None
        self._start = self._head.directions().detach() if self._head else None

    def __call__(self) -> dict[str, float]:
        """{"centres_turned": mean angle to where they started, degrees: near 0 they do not learn}, or {}."""
        if self._head is None or self._start is None:
            return {}
        cosine = (self._head.directions().detach() * self._start).sum(dim=1).clamp(-1, 1)
        return {"centres_turned": round(float(torch.rad2deg(cosine.acos()).mean()), 3)}
