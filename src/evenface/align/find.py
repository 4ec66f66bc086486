"""The methods: for each picture, where its face is."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.align.plan import Choice, Plan
from evenface.errors import UserError
from evenface.faces.align import Points
from evenface.faces.detect import DETECTORS, Detection, Detector
from evenface.faces.landmarks import read_points_file

Image = NDArray[np.uint8]
_BORDER = 0.25
"""On each side, as a fraction of the longer one."""


class Job(NamedTuple):
    """A picture to align."""

    name: str
    stem: str
    """Of the crop."""
    points: Points | None
    """From a list of them."""


class Found(NamedTuple):
    """The face of a picture that is cut out."""

    points: Points
    faces: int
    """How many there are."""
    box: NDArray[np.float64] | None = None
    score: float | None = None


class Skip(NamedTuple):
    """Why there is none."""

    status: str
    why: str = ""


Find = Callable[[Sequence[Job], Sequence[Image]], list[Found | Skip]]


def finder(plan: Plan) -> Find:
    """The plan's method.

    Raises:
        UserError: a detector cannot be loaded.
    """
    if plan.method == "points":
        return _listed if plan.points is None or plan.points.is_file() else _beside(plan)
    if plan.method == "fixed":
        return _fixed(plan)
    return _detect(plan)


def _listed(jobs: Sequence[Job], images: Sequence[Image]) -> list[Found | Skip]:
    return [
        Skip("no points", "not in the list") if job.points is None else Found(job.points, 1) for job in jobs
    ]


def _beside(plan: Plan) -> Find:
    """A file of points for each picture, of its name but for the suffix, in another folder."""
    folder = plan.points
    assert folder is not None

    def one(job: Job) -> Found | Skip:
        path = folder / Path(job.name).with_suffix(".txt")
        if not path.is_file():
            return Skip("no points", f"there is no {path}")
        try:
            return Found(read_points_file(path, plan.order), 1)
        except UserError as error:
            return Skip("bad points", str(error))

    return lambda jobs, images: [one(job) for job in jobs]


def _fixed(plan: Plan) -> Find:
    fixed = plan.fixed
    assert fixed is not None

    def one(image: Image) -> Found | Skip:
        if image.shape[:2] == (fixed.height, fixed.width):
            return Found(fixed.points, 1)
        size = "x".join(map(str, image.shape[:2]))
        return Skip("other size", f"{size}; the points are for {fixed.height}x{fixed.width}")

    return lambda jobs, images: [one(image) for image in images]


def _detect(plan: Plan) -> Find:
    if plan.method == "yunet":
        detector = DETECTORS["yunet"](weights=plan.weights, threshold=plan.score)
    else:
        detector = DETECTORS["mtcnn"](device=plan.device, thresholds=(0.6, 0.7, plan.score))
    lock = Lock()  # on a GPU, threads read and write while one of them detects

    def find(jobs: Sequence[Job], images: Sequence[Image]) -> list[Found | Skip]:
        small = [shrunk(image, plan.longest) for image in images]
        with lock:
            detected = look_twice(detector, small)
        found: list[Found | Skip] = []
        for image, seen, faces in zip(images, small, detected, strict=True):
            if not faces:
                found.append(Skip("no face"))
                continue
            best = chosen(faces, seen.shape[0], seen.shape[1], plan.face)
            ratio = np.array(image.shape[1::-1]) / seen.shape[1::-1]
            box = ((best.box.reshape(2, 2) + 0.5) * ratio - 0.5).reshape(4)
            found.append(Found((best.points + 0.5) * ratio - 0.5, len(faces), box, best.score))
        return found

    return find


def shrunk(image: Image, longest: int) -> Image:
    """A picture whose longer side has at most so many pixels, its pixels averaged over areas."""
    scale = longest / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def look_twice(detector: Detector, images: Sequence[Image]) -> list[list[Detection]]:
    """The faces of each picture; where there is none, those found with a black border around it.

    Detectors know faces in scenes, and miss some that fill a picture or are cut by its frame. A border from
    the start would cost time, and MTCNN some faces in profile.
    """
    faces = detector(images)
    missed = [number for number, found in enumerate(faces) if not found]
    edges = [round(_BORDER * max(images[number].shape[:2])) for number in missed]
    wider = [
        np.pad(images[number], ((edge, edge), (edge, edge), (0, 0)))
        for number, edge in zip(missed, edges, strict=True)
    ]
    for number, edge, found in zip(missed, edges, detector(wider), strict=True):
        faces[number] = [Detection(face.box - edge, face.points - edge, face.score) for face in found]
    return faces


def chosen(faces: Sequence[Detection], height: int, width: int, choice: Choice) -> Detection:
    """One of the faces of a (height, width) picture, at least one.

    "central" weighs a face's area, in pixels, against twice the squared distance of its box from the middle,
    the rule of facenet's and InsightFace's alignment scripts: pictures that were collected person by person
    show theirs in the middle, and a passer-by near the camera may be larger, or one in the crowd clearer.
    "largest" goes by the area alone, "surest" by the score.
    """
    if choice == "surest":
        return max(faces, key=lambda face: face.score)
    middle = (np.array([width, height]) - 1) / 2

    def weight(face: Detection) -> float:
        corner, other = face.box.reshape(2, 2)
        area = float(np.prod(other - corner))
        if choice == "largest":
            return area
        return area - 2 * float(((corner + other) / 2 - middle) @ ((corner + other) / 2 - middle))

    return max(faces, key=weight)
