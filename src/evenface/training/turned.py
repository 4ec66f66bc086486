"""Whether the class centres learn, and how far apart they are."""

from evenface.geometry import angle, nearest, spread
from evenface.losses import CentreHead, FaceLoss

_MOST = 5_000  # classes up to which the angles between all centres take no time beside a step's


class Turned:
    """How far the centres of a loss have turned since this was made, and how evenly they lie.

    Args:
        head: the loss, of which a loss without class centres has nothing to tell.
    """

    def __init__(self, head: FaceLoss):
        self._head = head if isinstance(head, CentreHead) else None
        self._start = self._head.directions().detach() if self._head else None

    def __call__(self) -> dict[str, float]:
        """{} without centres; otherwise, in degrees, rounded to 0.001:

        - centres_turned: mean angle to where they started. Near 0 they do not learn.
        - centres_nearest, centres_nearest_sd: of the angle to the nearest other centre, over the classes; up
          to 5,000 classes.
        """
        if self._head is None or self._start is None:
            return {}
        now = self._head.directions().detach()
        values = {"centres_turned": float(angle(now, self._start).mean())}
        if len(now) <= _MOST:
            apart = spread(nearest(now)[0])
            values |= {"centres_nearest": apart.mean, "centres_nearest_sd": apart.sd}
        return {name: round(value, 3) for name, value in values.items()}
