"""MTCNN: a cascade of three small networks (Zhang et al., IEEE Signal Processing Letters 2016)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenface.errors import UserError, require_range
from evenface.faces.detect.detector import Detection
from evenface.faces.detect.mtcnn_nets import Stage, load_published, normalise

Floats = NDArray[np.float64]
Pictures = Sequence[NDArray[np.uint8]]

_WINDOW, _STRIDE = 12, 2  # of P-Net, pixels
_PASS: Final = 2**18  # pixels that go through a network at once; its first map then takes 30 MB


@dataclass(frozen=True, eq=False)
class Candidates:
    """N boxes in a batch of pictures. Here x and y start at the picture's edge: pixel i covers i to i + 1."""

    picture: NDArray[np.int64]
    """(N,) its number in the batch."""
    box: Floats
    """(N, 4) left, top, right, bottom, pixels."""
    score: Floats
    """(N,) probability of a face, by the latest network."""
    points: Floats
    """(N, K, 2) x, y, pixels; K is 5 after O-Net, 0 before."""

    def __getitem__(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))


class MTCNN:
    """Finds faces and their five points, with the published weights (`load_published`)."""

    name: Final = "mtcnn"

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        smallest: float = 40,
        thresholds: Sequence[float] = (0.6, 0.7, 0.7),
        factor: float = 0.709,
    ):
        """Load the networks. The thresholds and the factor are the authors'.

        Args:
            device: where they run.
            smallest: side of the smallest face looked for, pixels, 12 to 10,000. Time and memory grow with
                (picture's side / smallest)^2, so raise it for large pictures.
            thresholds: the probability of a face that passes P-, R- and O-Net, 0.1 to 1.
            factor: size of one level of the pyramid of scaled pictures over that of the one before, 0.3 to
                0.95. 0.8 finds a few more faces in profile, in two fifths more time.

        Raises:
            UserError: an argument out of its range, or the weights are not there (`load_published`).
        """
        require_range("mtcnn.smallest", smallest, _WINDOW, 10_000)
        require_range("mtcnn.factor", factor, 0.3, 0.95)
        if len(thresholds) != 3:
            raise UserError(f"mtcnn.thresholds: {len(thresholds)} values; give three, of P-, R- and O-Net")
        for value in thresholds:
            require_range("mtcnn.thresholds", value, 0.1, 1)
        self.smallest, self.thresholds, self.factor = smallest, tuple(thresholds), factor
        self.device = torch.device(device)
        self._pnet, self._rnet, self._onet = (net.to(self.device) for net in load_published())

    @torch.inference_mode()
    def __call__(self, images: Pictures) -> list[list[Detection]]:
        """Of each RGB picture, (h, w, 3) of any sizes, the faces found, the surest first.

        A picture gets what it would get alone, up to rounding; one with a side below `smallest` gets none.
        Windows lie within the picture, so some faces that fill it are missed; a border around it helps.
        Takes about 50 bytes of memory for each pixel of the batch.

        Raises:
            UserError: an array that is no such picture.
        """
        for number, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
                raise UserError(
                    f"mtcnn: picture {number} is {image.dtype} of shape {image.shape}; "
                    "give uint8 RGB, (height, width, 3)"
                )
        faces: list[list[Detection]] = [[] for _ in images]
        found = self._propose(images)
        if len(found.box):
            sums = AreaSums(images, self.device)
            found = nms(self._refine(self._rnet, 24, self.thresholds[1], sums, squares(found)), 0.7)
            found = self._refine(self._onet, 48, self.thresholds[2], sums, squares(found))
            found = nms(found, 0.7, of_smaller=True)
            for i in np.argsort(-found.score, kind="stable"):
                face = Detection(found.box[i] - 0.5, found.points[i] - 0.5, float(found.score[i]))
                faces[found.picture[i]].append(face)
        return faces

    def _propose(self, images: Pictures) -> Candidates:
        """P-Net's windows at all scales, moved by its offsets."""
        levels: dict[tuple[int, int], list[int]] = {}  # pictures that are scaled to one size go in together
        for number, image in enumerate(images):
            for size in pyramid(image.shape[0], image.shape[1], self.smallest, self.factor):
                levels.setdefault(size, []).append(number)
        parts = [Candidates(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0), np.zeros((0, 0, 2)))]
        for (height, width), numbers in levels.items():
            for some in _passes(len(numbers), height * width):
                parts.append(self._windows(images, numbers[some], height, width))
        columns = (np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(Candidates))
        return nms(Candidates(*columns), 0.7)

    def _windows(self, images: Pictures, numbers: list[int], height: int, width: int) -> Candidates:
        """Those in the pictures of these numbers, scaled to this size."""
        scaled = [cv2.resize(images[i], (width, height), interpolation=cv2.INTER_AREA) for i in numbers]
        batch = torch.from_numpy(normalise(np.stack(scaled))).to(self.device).permute(0, 3, 1, 2)
        probability, offsets = self._pnet(batch)
        which, row, column = torch.nonzero(probability > self.thresholds[0], as_tuple=True)
        score = _float64(probability[which, row, column])
        picture = np.array(numbers)[which.cpu().numpy()]

        corner = _STRIDE * torch.stack([column, row], dim=1).cpu().numpy()
        box = np.hstack([corner, corner + _WINDOW]) + _WINDOW * _float64(offsets[which, :, row, column])
        sizes = np.array([image.shape[1::-1] for image in images])
        box *= np.tile(sizes[picture] / [width, height], 2)
        return nms(Candidates(picture, box, score, np.zeros((len(box), 0, 2))), 0.5)

    def _refine(
        self, net: Stage, size: int, threshold: float, sums: "AreaSums", found: Candidates
    ) -> Candidates:
        """Those of square candidates that pass R- or O-Net, moved by its offsets."""
        outputs = [
            net(sums.crops(found.picture[some], found.box[some], size))
            for some in _passes(len(found.box), size**2)
        ]
        score, offsets, *points = (_float64(torch.cat(parts)) for parts in zip(*outputs, strict=True))
        corner, side = found.box[:, None, :2], np.diff(found.box[:, [0, 2]])
        moved = replace(found, box=found.box + side * offsets, score=score)
        if points:
            xy = points[0].reshape(-1, 2, 5).transpose(0, 2, 1)
            moved = replace(moved, points=corner + side[:, None] * xy)
        return moved[score > threshold]


def _passes(count: int, pixels: int) -> list[slice]:
    """Slices, at least one, of `count` crops or pictures of so many pixels, few enough to go in at once."""
    step = max(_PASS // pixels, 1)
    return [slice(start, start + step) for start in range(0, max(count, 1), step)]


def _float64(values: Tensor) -> Floats:
    return np.asarray(values.double().cpu().numpy())


def pyramid(height: int, width: int, smallest: float, factor: float) -> Iterator[tuple[int, int]]:
    """Heights and widths, pixels, to which a picture is scaled, the largest first.

    In the first a face of `smallest` pixels fills P-Net's window, in each other one larger by 1 / `factor`,
    as long as that is no larger than the picture.
    """
    side = smallest
    while side <= min(height, width):
        yield round(height * _WINDOW / side), round(width * _WINDOW / side)
        side /= factor


def nms(found: Candidates, most: float, of_smaller: bool = False) -> Candidates:
    """Non-maximum suppression: without those that overlap a surer kept one of their picture too much.

    Args:
        found: of equal scores the first is the surer.
        most: how much may overlap, 0 to 1, as a fraction of the union of two boxes.
        of_smaller: of the smaller box instead.
    """
    order = np.lexsort((-found.score, found.picture))
    kept = [order[:0]]
    while len(order):  # each turn keeps the surest box left of every picture
        first = np.diff(found.picture[order], prepend=-1) != 0
        kept.append(order[first])
        surest = order[first][np.cumsum(first) - 1]
        order = order[~first & (overlap(found.box[order], found.box[surest], of_smaller) <= most)]
    return found[np.concatenate(kept)]


def overlap(a: Floats, b: Floats, of_smaller: bool) -> Floats:
    """Area that boxes (N, 4) share, pair by pair, as a fraction of their union or of the smaller one."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    area_a, area_b = (np.prod(box[:, 2:] - box[:, :2], axis=1) for box in (a, b))
    return np.asarray(shared / (np.minimum(area_a, area_b) if of_smaller else area_a + area_b - shared))


def squares(found: Candidates) -> Candidates:
    """With square boxes: the longer side, the same centre."""
    corners = found.box.reshape(-1, 2, 2)
    half = np.max(corners[:, 1] - corners[:, 0], axis=1, keepdims=True) / 2
    centre = corners.mean(axis=1)
    return replace(found, box=np.hstack([centre - half, centre + half]))


class AreaSums:
    """Sums over any rectangle of a batch of pictures, for crops whose every pixel is a mean over its area.

    A crop costs the same however large its box is, boxes need no rounding to pixels, and one lookup serves
    candidates of all pictures, on any device. Crops scaled one by one with cv2.INTER_AREA, as ports of the
    original do, were no faster and no better on 1,000 face pictures of about 200 pixels.
    """

    def __init__(self, images: Pictures, device: torch.device):
        tables = [cv2.integral(normalise(image), sdepth=cv2.CV_64F).reshape(-1, 3) for image in images]
        self._table = torch.from_numpy(np.concatenate(tables)).to(device)
        self._start = np.cumsum([0, *map(len, tables)])
        self._size = np.array([image.shape[1::-1] for image in images])

    def crops(self, picture: NDArray[np.int64], box: Floats, side: int) -> Tensor:
        """(N, 3, side, side) float32, normalised and 0 beyond the border, of (N, 4) boxes."""
        device = self._table.device
        size = torch.from_numpy(self._size[picture]).to(device)[:, None]
        start = torch.from_numpy(self._start[picture]).to(device)[:, None, None]
        corners = torch.from_numpy(box.reshape(-1, 2, 2)).to(device)
        part = torch.linspace(0, 1, side + 1, dtype=torch.float64, device=device)[:, None]
        edges = (
            torch.lerp(corners[:, :1], corners[:, 1:], part).clamp(min=0).minimum(size)
        )  # (N, side + 1, 2)

        # Between the whole pixels the sum up to an edge is linear in x and in y.
        whole = edges.long().minimum(size - 1)
        x, y = (edges - whole).unbind(-1)
        x, y = x[:, None, :, None], y[:, :, None, None]
        row = size[..., :1] + 1
        index = start + row * whole[..., 1:] + whole[:, None, :, 0]
        above = torch.lerp(self._table[index], self._table[index + 1], x)
        below = torch.lerp(self._table[index + row], self._table[index + row + 1], x)
        total = torch.lerp(above, below, y).diff(dim=1).diff(dim=2)
        area = ((corners[:, 1] - corners[:, 0]) / side).prod(dim=1)
        return (total / area[:, None, None, None]).permute(0, 3, 1, 2).float()
