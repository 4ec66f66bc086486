"""Whether the class centres learn, and how far apart they are."""

from collections.abc import Callable

from torch import Tensor

from evenface.geometry import angle, nearest, spread
from evenface.losses import CentreHead, FaceLoss

_MOST = 5_000  # classes up to which the angles between all centres take no time beside a step's
_FALLEN = 0.2  # of the angle between centres at first: no training that we saw was near it and came back


class Turned:
    """How far the centres of a loss have turned since this was made, and how evenly they lie.

    Args:
        head: the loss, of which a loss without class centres has nothing to tell.
        known: whether its centres are where they started.
    """

    def __init__(self, head: FaceLoss, *, known: bool = True):
        self._head = head if isinstance(head, CentreHead) else None
        self._start = self._directions(self._head) if self._head and known else None
        self._apart = 0.0  # the centres in the first call, or when it was last remarked on

    def __call__(self, say: Callable[[str], None] | None = None) -> dict[str, float]:
        """{} without centres; otherwise, in degrees, rounded to 0.001; all processes call this:

        - centres_turned: mean angle to where they started, of up to 5,000 of those that this process holds.
          Near 0 they do not learn. Absent where it holds none, or the start is not known.
        - centres_nearest, centres_nearest_sd: of the angle to the nearest other centre, over the classes; up
          to 5,000 classes. Once they have fallen to a fifth of what they were, the user is told by `say`.
        """
        if self._head is None:
            return {}
        now, values = self._directions(self._head), dict[str, float]()
        if len(now) and self._start is not None:
            values["centres_turned"] = float(angle(now, self._start).mean())
        if self._head.num_classes <= _MOST:
            apart = spread(nearest(self._head.classes.whole(now))[0])
            values |= {"centres_nearest": apart.mean, "centres_nearest_sd": apart.sd}
            self._apart = self._apart or apart.mean
            if say and apart.mean < _FALLEN * self._apart:
                say(
                    f"the class centres have fallen together: {apart.mean:.1f} degrees to the nearest other, "
                    f"{self._apart:.1f} before. All faces come to lie at one place. Stop this run, and begin "
                    "another with a smaller loss.margin or train.learning_rate; docs/training.md says why"
                )
                self._apart = apart.mean
        return {name: round(value, 3) for name, value in values.items()}

    @staticmethod
    def _directions(head: CentreHead) -> Tensor:
        """Every n-th that this process holds, (P,) to (5000, D): a copy of all would double their memory."""
        every = max(1, -(-len(head.classes) // _MOST))
        return head.directions(every).detach()
