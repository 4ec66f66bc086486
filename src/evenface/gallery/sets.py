"""The labelled pictures that a threshold is calibrated on, and which pairs of them are compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from evenface.data import FaceSet, read_folder, read_list
from evenface.errors import UserError
from evenface.evaluation.images import Image, ImageSet
from evenface.evaluation.protocols import PairSet, cfp, lfw
from evenface.evaluation.protocols.cfp import Crop as CfpCrop
from evenface.evaluation.protocols.cfp import Kind as CfpKind
from evenface.evaluation.protocols.cfp import load_crop as load_cfp
from evenface.evaluation.protocols.lfw import Crop as LfwCrop
from evenface.evaluation.protocols.lfw import load_crop as load_lfw
from evenface.faces import read_image

Pairs = Literal["all", "official"]
"""All pairs of a set's pictures, or those that its protocol lists."""


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """M pictures of C people."""

    name: str
    """As printed: "LFW"."""
    images: ImageSet
    labels: NDArray[np.int64]
    """(M,) the person of each picture, 0 to C-1."""
    crop: str
    """How the pictures came to the template, in words."""
    pairs: NDArray[np.int64] | None = None
    """(P, 2) the pictures that are compared; None: all pairs."""
    sources: Sequence[Path] = ()
    """The files that say who is who and what is compared; none where folders do."""

    @property
    def people(self) -> int:
        """C."""
        return int(self.labels.max()) + 1


def people_set(root: Path | None, file: Path | None = None) -> LabelledSet:
    """A folder root/<person>/<image>, or the lines `path label` of a file, whose paths start from `root`.

    The pictures are taken as they are, as in training: aligned already.

    Raises:
        UserError: as `evenface.data.read_folder` and `read_list`, or a picture is listed twice.
    """
    if file is not None:
        faces = _read_list(file, root)
    elif root is not None:
        faces = read_folder(root, field="--people")
    else:
        raise UserError("--people, --list: name a folder of people or a list of pictures")
    paths = faces.paths  # once: it goes over all pictures
    names = [path.as_posix() for path in paths]
    if len(set(names)) < len(names):
        raise UserError(f"{file}: {next(n for n in names if names.count(n) > 1)} is listed more than once")
    return LabelledSet(
        name=str(file or root),
        images=ImageSet(Path(), names, lambda i: read_image(paths[i])),
        labels=faces.labels,
        crop="pictures as they are",
        sources=[file] if file else (),
    )


def lfw_set(root: Path, crop: LfwCrop = "lfw-a", pairs: Pairs = "all") -> LabelledSet:
    """LFW: all pairs of all its pictures, or the 6,000 of View 2.

    Raises:
        UserError: the set is not as `evenface.evaluation.protocols.lfw` describes it.
    """
    listed = lfw(root, crop)
    if pairs == "official":
        return _official("LFW", [listed], partial(load_lfw, crop=crop))
    faces = read_folder(listed.images.root, field="--lfw")
    paths = faces.paths
    names = [path.relative_to(listed.images.root).as_posix() for path in paths]
    images = ImageSet(listed.images.root, names, lambda i: load_lfw(paths[i], crop))
    return LabelledSet("LFW", images, faces.labels, listed.conventions["crop"])


def cfp_set(root: Path, crop: CfpCrop = "fiducials", pairs: Pairs = "all") -> LabelledSet:
    """CFP, frontal and profile: all pairs of all its pictures, or the 14,000 of CFP-FF and CFP-FP together.

    Raises:
        UserError: the set is not as `evenface.evaluation.protocols.cfp` describes it.
    """
    listed = [cfp(root, kind, crop) for kind in get_args(CfpKind)]
    if pairs == "official":
        return _official("CFP", listed, partial(load_cfp, crop=crop))
    paths = sorted((root / "Data/Images").glob("*/*/*.jpg"))
    faces = FaceSet.of(paths, [path.parents[1].name for path in paths])
    names = [path.relative_to(root).as_posix() for path in paths]
    images = ImageSet(root, names, lambda i: load_cfp(paths[i], crop))
    return LabelledSet("CFP", images, faces.labels, listed[0].conventions["crop"])


def _official(name: str, listed: Sequence[PairSet], load: Callable[[Path], Image]) -> LabelledSet:
    """The pairs of one protocol or more, each picture once."""
    root = listed[0].images.root
    names = list(dict.fromkeys(one for pairs in listed for one in pairs.images.names))
    place = {one: i for i, one in enumerate(names)}
    tables = []
    for pairs in listed:
        moved = np.array([place[one] for one in pairs.images.names])
        tables.append(moved[np.stack([pairs.first, pairs.second], axis=1)])
    # Both protocols' names have the person's folder: Name/Name_0001.jpg, Data/Images/001/frontal/01.jpg.
    who = [one.removeprefix("Data/Images/").split("/")[0] for one in names]
    return LabelledSet(
        name=name,
        images=ImageSet(root, names, lambda i: load(root / names[i])),
        labels=np.unique(who, return_inverse=True)[1].astype(np.int64),
        crop=listed[0].conventions["crop"],
        pairs=np.concatenate(tables),
        sources=list(dict.fromkeys(path for pairs in listed for path in pairs.sources)),
    )


def _read_list(file: Path, root: Path | None) -> FaceSet:
    """The set, or its error in the words of this command's options."""
    try:
        return read_list(file, root)
    except UserError as error:
        text = str(error).replace("data.list: ", "--list: ", 1)
        raise UserError(text.replace("Use --data.root", "Use --people")) from None
