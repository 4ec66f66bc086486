"""One panel: ten classes on a circle, or on a sphere."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from torch import Tensor

from evenface.picture.digits import Digits
from evenface.picture.trainer import Moment

# Tol's muted colours and black, which people who see few colours tell apart too.
COLOURS = (
    *("#332288", "#cc6677", "#88ccee", "#117733", "#ddcc77"),
    *("#882255", "#44aa99", "#999933", "#aa4499", "#000000"),
)
Rows = NDArray[np.floating]
_RGBA = np.array([to_rgba(colour) for colour in COLOURS])
_UNSEEN = 1.15  # radius of the outer ring
_TILT = 25.0  # degrees from which a sphere is seen from above


def turn(centres: Rows) -> Rows:
    """The rotation (D, D) after which digit 0 lies along the first axis, and in 3-D digit 1 beside it.

    Angles stay; panels that differ by a rotation alone become the same. Rows are rotated by `rows @ turn`.
    """
    dimensions = centres.shape[1]
    axes, corner = np.linalg.qr(centres[: dimensions - 1].T.astype(np.float64), mode="complete")
    axes[:, :-1] *= np.where(np.diag(corner) < 0, -1.0, 1.0)
    axes[:, -1] *= np.linalg.det(axes)
    return axes


def circle(axes: Axes, moment: Moment, train: Digits, unseen: Digits, rotation: Rows) -> None:
    """Centres as spokes, scopes as arcs; images trained on lie on the circle, the others on a ring."""
    _blank(axes, 1.42)
    angles = [_angles(x.numpy() @ rotation) for x in (moment.centres, moment.seen, moment.unseen)]
    centres, seen, others = angles
    for radius in (1.0, _UNSEEN):
        axes.add_patch(Circle((0, 0), radius, fill=False, color="#dddddd", lw=0.8, zorder=0))
    tips = _on_circle(centres)
    axes.add_collection(LineCollection([[(0, 0), tip] for tip in tips], colors=_RGBA, linewidths=1.6))
    off = np.abs((seen - centres[train.labels] + np.pi) % (2 * np.pi) - np.pi)
    scope = np.bincount(train.labels, off) / np.bincount(train.labels)
    arcs = [_on_circle(c + np.linspace(-s, s, 61)) for c, s in zip(centres, scope, strict=True)]
    axes.add_collection(
        LineCollection(arcs, colors=_RGBA, linewidths=6, alpha=0.35, capstyle="butt", zorder=2)
    )
    _dots(axes, _on_circle(seen), train.labels, 7, 0.7, 3)
    _dots(axes, _UNSEEN * _on_circle(others), unseen.labels, 3, 0.7, 3)
    for digit, (x, y) in enumerate(1.31 * _on_circle(apart(centres, np.radians(15)))):
        _number(axes, x, y, digit, COLOURS[digit], 1.0, 3)


def sphere(
    axes: Axes, moment: Moment, train: Digits, unseen: Digits, rotation: Rows, longitude: float = 0.0
) -> None:
    """Centres as pins with a cap of their scope; the far side shines through. Unseen images are small.

    Args:
        longitude: from where the sphere is seen, degrees.
    """
    _blank(axes, 1.08)
    view = rotation @ _view(longitude)
    axes.add_patch(Circle((0, 0), 1, facecolor="#f7f7f7", edgecolor="#bbbbbb", lw=0.8, zorder=0))
    for far in (True, False):
        _grid(axes, _view(longitude), far)
        faint, order = (0.16, 1) if far else (1.0, 3)
        for rows, labels, size, alpha in (
            (moment.unseen, unseen.labels, 3, 0.45),
            (moment.seen, train.labels, 7, 0.8),
        ):
            points = rows.numpy() @ view
            side = (points[:, 2] < 0) == far
            _dots(axes, points[side, :2], labels[side], size, faint * alpha, order)
        centres = moment.centres.numpy() @ view
        own = (moment.seen * moment.centres[train.labels]).sum(dim=1).clamp(-1, 1).arccos().numpy()
        scope = np.bincount(train.labels, own) / np.bincount(train.labels)
        for digit in np.flatnonzero((centres[:, 2] < 0) == far).tolist():
            rim = _cap(centres[digit], scope[digit])
            axes.plot(*rim[:, :2].T, color=COLOURS[digit], alpha=faint, lw=1.2, zorder=order)
            x, y = centres[digit, :2]
            _number(axes, x, y, digit, "#111111", 0.4 if far else 1.0, order + 3)


def apart(angles: Rows, least: float) -> Rows:
    """Angles moved as little as needed for neighbours round the circle to differ by `least`; radians.

    Neighbours that are too near are pushed apart again and again, half by each: for labels, not for figures.
    """
    moved = angles.astype(np.float64).copy()
    order = np.argsort(moved)
    for _ in range(500):
        now = moved[order]
        short = np.maximum(0.0, least - (np.append(now[1:], now[0] + 2 * np.pi) - now))
        if short.max() < 1e-4:
            break
        moved[order] += (np.roll(short, 1) - short) / 2
    return moved


def _blank(axes: Axes, reach: float) -> None:
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.axis("off")


def _dots(axes: Axes, points: Rows, labels: Tensor, size: float, alpha: float, order: float) -> None:
    colours = _RGBA[labels.numpy()]
    axes.scatter(points[:, 0], points[:, 1], s=size, c=colours, alpha=alpha, linewidths=0, zorder=order)


def _number(axes: Axes, x: float, y: float, digit: int, colour: str, alpha: float, order: float) -> None:
    text = axes.text(x, y, str(digit), color=colour, alpha=alpha, fontsize=9, weight="bold", zorder=order)
    text.set(ha="center", va="center", path_effects=[withStroke(linewidth=2.5, foreground="white")])


def _angles(rows: Rows) -> Rows:
    """Of rows (N, 2), clockwise from the top, where the first axis points."""
    return np.asarray(np.arctan2(rows[:, 1], rows[:, 0]))


def _on_circle(angles: Rows) -> Rows:
    return np.stack([np.sin(angles), np.cos(angles)], axis=1)


def _view(longitude: float) -> Rows:
    """Rows (x, y, z) of the world, its first axis up, to (right, up, towards the eye)."""
    a, b = np.radians(longitude), np.radians(_TILT)
    right = [0.0, np.cos(a), np.sin(a)]
    eye = np.array([np.sin(b), np.cos(b) * np.sin(a), -np.cos(b) * np.cos(a)])
    return np.stack([right, np.cross(eye, right), eye], axis=1)


def _cap(centre: Rows, angle: float) -> Rows:
    """The rim (61, 3) of all directions `angle` radians from a centre (3,)."""
    other = np.eye(3)[np.abs(centre).argmin()]
    first = np.cross(centre, other)
    first /= np.linalg.norm(first)
    second = np.cross(centre, first)
    t = np.linspace(0, 2 * np.pi, 61)[:, None]
    return np.asarray(np.cos(angle) * centre + np.sin(angle) * (np.cos(t) * first + np.sin(t) * second))


def _grid(axes: Axes, view: Rows, far: bool) -> None:
    t = np.radians(np.linspace(0, 360, 121))
    lines = [
        np.stack([np.cos(t), np.sin(t) * np.cos(a), np.sin(t) * np.sin(a)], 1)
        for a in np.radians([0, 45, 90, 135])
    ]
    for height in np.sin(np.radians([-45, 0, 45])):
        ring = np.sqrt(1 - height**2)
        lines.append(np.stack([np.full_like(t, height), ring * np.cos(t), ring * np.sin(t)], 1))
    for line in lines:
        seen = line @ view
        seen[(seen[:, 2] < 0) != far] = np.nan
        axes.plot(*seen[:, :2].T, color="#cccccc" if not far else "#ececec", lw=0.5, zorder=0.5)
