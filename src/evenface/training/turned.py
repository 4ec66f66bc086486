"""Whether the class centres learn, and how far apart they are."""

from torch import Tensor

from evenface.geometry import angle, nearest, spread
from evenface.losses import CentreHead, FaceLoss

_MOST = 5_000  # classes up to which the angles between all centres take no time beside a step's


class Turned:
    """How far the centres of a loss have turned since this was made, and how evenly they lie.

    Args:
        head: the loss, of which a loss without class centres has nothing to tell.
        known: whether its centres are where they started.
    """

    def __init__(self, head: FaceLoss, *, known: bool = True):
        self._head = head if isinstance(head, CentreHead) else None
        self._start = self._directions(self._head) if self._head and known else None

    def __call__(self) -> dict[str, float]:
        """{} without centres; otherwise, in degrees, rounded to 0.001; all processes call this:

        - centres_turned: mean angle to where they started, of up to 5,000 of those that this process holds.
          Near 0 they do not learn. Absent where it holds none, or the start is not known.
        - centres_nearest, centres_nearest_sd: of the angle to the nearest other centre, over the classes; up
          to 5,000 classes.
        """
        if self._head is None:
            return {}
        now, values = self._directions(self._head), dict[str, float]()
        if len(now) and self._start is not None:
            values["centres_turned"] = float(angle(now, self._start).mean())
        if self._head.num_classes <= _MOST:
            apart = spread(nearest(self._head.classes.whole(now))[0])
            values |= {"centres_nearest": apart.mean, "centres_nearest_sd": apart.sd}
        return {name: round(value, 3) for name, value in values.items()}

    @staticmethod
    def _directions(head: CentreHead) -> Tensor:
        """Every n-th that this process holds, (P,) to (5000, D): a copy of all would double their memory."""
        every = max(1, -(-len(head.classes) // _MOST))
        return head.directions(every).detach()
