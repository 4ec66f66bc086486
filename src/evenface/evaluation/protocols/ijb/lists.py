"""IJB-B and IJB-C on disk: which files make up the two protocols, in InsightFace's form and in NIST's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.images import Image, ImageSet
from evenface.evaluation.protocols.ijb.measure import check_mates
from evenface.evaluation.protocols.ijb.meta import (
    Gallery,
    read_faces,
    read_gallery,
    read_landmarks,
)
from evenface.evaluation.protocols.ijb.nist import CROP, crops, read_templates
from evenface.evaluation.protocols.ijb.pairs import TemplatePairs, read_matches, read_pairs
from evenface.evaluation.templates import Templates
from evenface.faces import TEMPLATE_112, read_image, similarity, warp

Part = Literal["ijbb", "ijbc"]


@dataclass(frozen=True, eq=False)
class Lists:
    """What the lists of one part say; at least one of the two protocols is there."""

    images: ImageSet
    """The M faces, each in one picture."""
    crop: str
    """The crop rule in words."""
    templates: Templates
    pairs: TemplatePairs | None
    """Of the 1:1 protocol; None where its list is missing."""
    galleries: Sequence[Gallery]
    """Of the 1:N protocol, two; none where one of its lists is missing."""
    probes: Gallery | None
    detector: NDArray[np.float64] | None
    """(M,) the detector's score of each face; None where the lists have none."""
    left_out: str
    """Which protocol cannot be measured, and for want of which file; empty where both can."""
    sources: Sequence[Path]
    """The files read."""


def insightface_lists(root: Path, part: Part) -> Lists:
    """`root/meta` and `root/loose_crop`; UserError as `evenface.evaluation.protocols.ijb.ijb`."""
    meta, pictures = root / "meta", root / "loose_crop"
    faces, points = meta / f"{part}_face_tid_mid.txt", meta / f"{part}_name_5pts_score.txt"
    labels, searches = meta / f"{part}_template_pair_label.txt", _search_files(meta, part)
    left_out = _left_out(labels, searches)
    names, templates = read_faces(faces)
    landmarks = read_landmarks(points, names)
    pairs = read_pairs(labels, templates.ids) if labels.is_file() else None

    def aligned(index: int) -> Image:
        path = pictures / names[index]
        try:
            matrix = similarity(landmarks.points[index], TEMPLATE_112)
        except UserError as error:
            raise UserError(f"{points}: picture {names[index]}: {error}") from None
        return warp(read_image(path), matrix)

    return Lists(
        ImageSet(pictures, names, aligned, landmarks=[points]),
        "similarity transform of the five listed points",
        templates,
        pairs,
        *_searched(searches, templates.ids),
        landmarks.scores,
        left_out,
        [faces, points, *_there([labels]), *_there(searches)],
    )


def nist_lists(root: Path, part: Part) -> Lists:
    """NIST's csv files and `root/crops`; UserError as `evenface.evaluation.protocols.ijb.ijb`.

    The 1:N files list the faces of both protocols, so without them there is neither.
    """
    folder = next((root / name for name in ("protocol", "protocols") if (root / name).is_dir()), None)
    if folder is None:
        raise UserError(
            f"{root}: has neither meta/, as in InsightFace's distribution, nor protocol/, as in NIST's"
        )
    searches = _search_files(folder, part)
    one, two = (path.stem.rpartition("_")[2] for path in searches[:2])
    matches = folder / f"{part}_11_{one}_{two}_matches.csv"
    pictures: dict[str, int] = {}
    templates, subjects = read_templates(searches, pictures)
    return Lists(
        crops(root / "crops", pictures),
        CROP,
        templates,
        read_matches(matches, templates.ids, subjects) if matches.is_file() else None,
        *_searched(searches, templates.ids),
        None,
        _left_out(matches, searches),
        [*searches, *_there([matches])],
    )


def _search_files(folder: Path, part: Part) -> list[Path]:
    """The two galleries and the probes; the galleries are S1 and S2 in IJB-B, G1 and G2 in IJB-C."""
    usual, other = ("S", "G") if part == "ijbb" else ("G", "S")
    letter = other if (folder / f"{part}_1N_gallery_{other}1.csv").is_file() else usual
    kinds = (f"gallery_{letter}1", f"gallery_{letter}2", "probe_mixed")
    return [folder / f"{part}_1N_{kind}.csv" for kind in kinds]


def _there(paths: Sequence[Path]) -> Sequence[Path]:
    """The paths, if there is a file at each, otherwise none."""
    return paths if all(path.is_file() for path in paths) else []


def _left_out(pairs: Path, searches: Sequence[Path]) -> str:
    absent = [path for path in searches if not path.is_file()]
    if absent and not pairs.is_file():
        raise UserError(
            f"{pairs}, {absent[0]}: missing, so neither 1:1 nor 1:N can be measured; unpack all lists there"
        )
    if absent:
        return f"1:N, as {absent[0].name} is missing"
    return "" if pairs.is_file() else f"1:1, as {pairs.name} is missing"


def _searched(searches: Sequence[Path], ids: NDArray[np.int64]) -> tuple[list[Gallery], Gallery | None]:
    if not _there(searches):
        return [], None
    *galleries, probes = (read_gallery(path, ids) for path in searches)
    for path, gallery in zip(searches, galleries, strict=False):
        both = np.intersect1d(gallery.templates, probes.templates)
        if len(both):
            raise UserError(f"{path}: template {ids[both[0]]} is among the probes too; fetch the lists again")
        check_mates(path, gallery.subjects, probes.subjects)
    return galleries, probes
