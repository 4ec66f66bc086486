"""The page that the demo ends with: one file, nothing loaded from elsewhere."""

import base64
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray

import evenface
from evenface.data import FaceSet
from evenface.evaluation.metrics import TarAtFar, auc, eer, roc, tar_at_far
from evenface.evaluation.plots import histogram_plot, roc_plot, strip_plot
from evenface.faces import read_image
from evenface.losses import least_largest_cosine


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one loss came to."""

    name: str
    scores: NDArray[np.float32]
    """(P,) cosines of all pairs of unseen people's pictures."""
    same: NDArray[np.bool_]
    """(P,)."""
    rank1: float
    """0 to 1."""
    nearest: NDArray[np.float64]
    """(C,) the angle from each trained person's centre to the nearest other, degrees."""
    similarity: NDArray[np.float32]
    """(N, N) cosines between the unseen people's pictures."""
    turned: float
    """Mean angle between the centres and where they started, degrees."""

    @cached_property
    def tar(self) -> TarAtFar:
        """TAR at FAR 1e-2."""
        return tar_at_far(self.scores, self.same, 1e-2)

    @cached_property
    def eer(self) -> float:
        """0 to 1."""
        return eer(self.scores, self.same)

    @cached_property
    def auc(self) -> float:
        """0 to 1."""
        return auc(self.scores, self.same)

    @property
    def spread(self) -> float:
        """Standard deviation over mean of `nearest`: 0 is perfectly even."""
        return float(self.nearest.std() / self.nearest.mean())


@dataclass(frozen=True)
class _Pair:
    first: str
    second: str
    cosine: float


def write_report(
    path: Path,
    outcomes: list[Outcome],
    known: FaceSet,
    unseen: FaceSet,
    epochs: float,
    seed: int,
    seconds: float,
) -> Path:
    """Write the page and return its path. The first outcome is the one whose pairs are shown."""
    ours = outcomes[0]
    curve = roc(ours.scores, ours.same)
    # Where as many impostor pairs pass as genuine ones fail, as shares of their kind.
    threshold = float(curve.thresholds[np.argmin(np.abs(curve.far - (1 - curve.tar)))])
    models = {o.name: (o.scores, o.same) for o in outcomes}
    dimensions = 128
    evenest = float(np.degrees(np.arccos(least_largest_cosine(len(known.identities), dimensions))))
    template = Environment(autoescape=True).from_string((files(__package__) / "report.html.j2").read_text())
    page = template.render(
        outcomes=outcomes,
        roc=roc_plot(models),
        histograms=histogram_plot(models),
        nearest=strip_plot(
            {o.name: o.nearest for o in outcomes}, "angle to the nearest other person, °", evenest
        ),
        pairs=_pairs(ours, unseen, threshold),
        threshold=threshold,
        known=known,
        unseen=unseen,
        epochs=epochs,
        seed=seed,
        seconds=seconds,
        genuine=int(ours.same.sum()),
        impostor=int((~ours.same).sum()),
        version=evenface.__version__,
        today=date.today().isoformat(),
    )
    path.write_text(page, encoding="utf-8")
    return path


def _pairs(outcome: Outcome, faces: FaceSet, threshold: float, count: int = 5) -> dict[str, list[_Pair]]:
    """The surest right answers and the worst wrong ones, no picture twice in a row of pairs."""
    i, j = np.triu_indices(len(faces), 1)
    cosine = outcome.similarity[i, j]
    same = faces.labels[i] == faces.labels[j]
    above = cosine >= threshold
    rows = {
        "One person, and the model says so": (same & above, -cosine),
        "Two people, and the model says so": (~same & ~above, cosine),
        "One person, and the model is wrong": (same & ~above, cosine),
        "Two people, and the model is wrong": (~same & above, -cosine),
    }
    shown: dict[str, list[_Pair]] = {}
    for title, (keep, order) in rows.items():
        used: set[int] = set()
        shown[title] = []
        for p in np.flatnonzero(keep)[np.argsort(order[keep])]:
            if len(shown[title]) == count:
                break
            if not {int(i[p]), int(j[p])} & used:
                used |= {int(i[p]), int(j[p])}
                pictures = (_png(faces.paths[i[p]]), _png(faces.paths[j[p]]))
                shown[title].append(_Pair(*pictures, float(cosine[p])))
    return shown


def _png(path: Path) -> str:
    """A picture as a data URI."""
    _, content = cv2.imencode(".png", read_image(path)[:, :, ::-1])
    return "data:image/png;base64," + base64.b64encode(content.tobytes()).decode()
