"""From CFP's 30 fiducial points, which mark half a face, to the five points of the template."""

import numpy as np
from numpy.typing import ArrayLike

from evenface.errors import UserError
from evenface.faces.align import Points

_EYE = slice(12, 18)  # contour of the eye; 0-8 jaw from ear to chin, 9-11 brow
_NOSE_ROOT, _NOSE_TIP = 18, 21  # 18-21 bridge of the nose downwards, 22-24 its base outwards
_MOUTH_CORNER = 25
_UPPER_LIP, _MOUTH_INNER = 26, [27, 29]  # on the midline: upper lip's top, and the two lips' inner edges

_DEPTH = 1.25
"""How far the far side falls behind its mirror image, in units of how far the nose tip stands out sideways.

Fitted to the YuNet detector's five points on 1,000 frontal and 1,942 profile CFP pictures, without
identities: 1.24 at the eyes, 1.29 at the mouth. In lengths of the nose (points 18 to 22) the far points
differ from the detector's by rms 0.09 to 0.10 in frontal and 0.21 to 0.22 in profile pictures, by 0.05 or
less on average.
"""


def five_points_from_30(fiducials: ArrayLike) -> Points:
    """The template's five points, (5, 2) float64 x, y, left in the image first, of CFP's (30, 2) fiducials.

    CFP marks one side of the face and its midline, in frontal and profile pictures alike, so the other eye
    and mouth corner are inferred. Each is the marked one's mirror image in the midline, drawn back by the
    head's turn, which shows in how far the nose tip stands out beside the midline (nothing in a frontal
    picture). In full profile the hidden eye thus lies between the visible one and the nose's silhouette,
    about where landmark detectors put it.

    Raises:
        UserError: not 30 finite points, or a midline without length.
    """
    points = np.asarray(fiducials, dtype=np.float64)
    if points.shape != (30, 2) or not np.isfinite(points).all():
        raise UserError(f"fiducials: expected 30 finite x, y points, found shape {points.shape}")
    eye, corner = points[_EYE].mean(axis=0), points[_MOUTH_CORNER]
    root, tip, mouth = points[_NOSE_ROOT], points[_NOSE_TIP], points[_MOUTH_INNER].mean(axis=0)

    down = points[_UPPER_LIP] - root
    length = np.hypot(*down)
    if length == 0:
        raise UserError("fiducials: points 18 and 26, nose root and upper lip, coincide; check the file")
    across = np.array([down[1], -down[0]]) / length  # the face's own left to right, as seen in the picture
    turn = _DEPTH * (tip - root) @ across
    far_eye = eye + across * (2 * (root - eye) @ across - turn)
    far_corner = corner + across * (2 * (mouth - corner) @ across - turn)
    marked_left = (root - eye) @ across > 0
    if marked_left:
        return np.stack([eye, far_eye, tip, corner, far_corner])
    return np.stack([far_eye, eye, tip, far_corner, corner])
