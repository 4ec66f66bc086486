"""AgeDB-30: faces 30 years apart, 6,000 pairs in 10 folds of 300 + 300.

Moschoglou, Papaioannou, Sagonas, Deng, Kotsia and Zafeiriou, "AgeDB: the first manually collected,
in-the-wild age database", CVPR Workshops 2017.
"""

import re
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.images import Image
from evenface.evaluation.protocols.matfile import Value, read_variable
from evenface.evaluation.protocols.pairs import FOLDS, PairList, PairSet, read_lines, template_crop
from evenface.faces import TEMPLATE_112, read_image, similarity, warp

Crop = Literal["landmarks", "template"]

_NAME = re.compile(r"([^_/\\]+)_[^/\\]+")
_RULES = {
    "landmarks": {
        "crop": "the set's own 68 points",
        "points": "eyes the means of points 37-42 and 43-48, nose 31, mouth corners 49 and 55, from 1",
    },
    "template": {"crop": "pictures already on the template"},
}
_FIVE = (slice(36, 42), slice(42, 48), slice(30, 31), slice(48, 49), slice(54, 55))  # of the 68, from 0


def agedb(root: Path, crop: Crop = "landmarks", protocol: Path | None = None) -> PairSet:
    """The pairs of AgeDB's protocol of 30 years.

    Args:
        root: holds the pictures in `03_Protocol_Images` (where there is no such folder, `root` holds them
            itself) and, beside each `NAME.jpg`, its landmarks `NAME.pts`. The part of a name before its first
            `_` is the person.
        crop: "landmarks" aligns the original pictures by these files of 68 points; "template" takes pictures
            under the same names that are aligned to the 112x112 template already.
        protocol: the list; by default `root/04_FINAL_protocol_30_years.mat`. Its `splits` has a cell for each
            fold: a struct whose first field is a 2xP cell array, the pictures of P pairs, and whose second is
            their labels, 1 for a genuine and -1 for an impostor pair. A picture is a struct with the name
            (without .jpg) first.

    Raises:
        UserError: the list is broken, has not ten folds with as many genuine as impostor pairs, or a label
            does not agree with the names; missing landmarks; when a picture is loaded, landmarks or a size
            that do not fit.
    """
    if crop not in get_args(Crop):
        raise UserError(f"agedb.crop: {crop!r} is none of {', '.join(get_args(Crop))}")
    protocol = protocol or root / "04_FINAL_protocol_30_years.mat"
    folder = root / "03_Protocol_Images"
    table = PairList(folder if folder.is_dir() else root)
    splits = read_variable(protocol, "splits")
    if not isinstance(splits, list) or len(splits) != FOLDS:
        raise UserError(f"{protocol}: 'splits' is not a cell array of {FOLDS} folds; fetch it again")
    for number, split in enumerate(splits):
        _add_fold(table, f"{protocol}: fold {number + 1}", split, number)
    landmarks = [_landmarks(table.root / file) for file in table.index] if crop == "landmarks" else []
    for path in landmarks:
        if not path.is_file():
            raise UserError(
                f"{path}: missing, but the pairs in {protocol} need it; unpack the landmarks beside the "
                "pictures, or use crop 'template' for pictures that are 112x112 crops already"
            )
    load = partial(_load, aligned=crop == "template")
    return table.build("AgeDB-30", load, _RULES[crop], [protocol], landmarks)


def _add_fold(table: PairList, where: str, split: Value, fold: int) -> None:
    match _fields(split):
        case [list(pictures), np.ndarray() as labels, *_]:
            pass
        case _:
            raise UserError(f"{where}: expected a struct of a cell array and labels; fetch it again")
    genuine, impostors = int((labels == 1).sum()), int((labels == -1).sum())
    if not 0 < genuine == impostors == len(labels) / 2 == len(pictures) / 4:
        raise UserError(
            f"{where}: {genuine} labels 1 and {impostors} labels -1 of {len(labels)}, and {len(pictures)} "
            "pictures; expected as many of each label (300 in the official list) and two pictures a label; "
            "fetch it again"
        )
    for place, label in enumerate(labels):
        a, b = (_picture(where, entry) for entry in pictures[2 * place : 2 * place + 2])
        if (a[1] == b[1]) != (label == 1) or a == b:
            kind = "a genuine" if label == 1 else "an impostor"
            raise UserError(
                f"{where}: pair {place + 1}, {a[0]} and {b[0]}, cannot be {kind} pair; fetch it again"
            )
        table.add(a, b, bool(label == 1), fold)


def _picture(where: str, entry: Value) -> tuple[str, str]:
    """Its file, and the person."""
    match _fields(entry):
        case [str(name), *_] if name.isprintable() and (found := _NAME.fullmatch(name)):
            return f"{name}.jpg", found[1]
    raise UserError(f"{where}: expected a struct with a name 'PERSON_...', found {str(entry)[:100]}")


def _fields(value: Value) -> list[Value]:
    """Of a struct, in order: the order is what readers of the list go by."""
    return [*value.values()] if isinstance(value, dict) else []


def _landmarks(picture: Path) -> Path:
    return picture.with_suffix(".pts")


def _load(path: Path, aligned: bool) -> Image:
    """The aligned 112x112 RGB crop, uint8 (112, 112, 3), of a picture."""
    image = read_image(path)
    if aligned:
        return template_crop(image, path)
    file = _landmarks(path)
    try:
        return warp(image, similarity(_five_points(read_lines(file)), TEMPLATE_112))
    except ValueError as error:
        raise UserError(f"{file}: not 68 lines 'x y' in braces that mark a face ({error})") from None


def _five_points(lines: list[str]) -> NDArray[np.float64]:
    """(5, 2), in the template's order, from a .pts file: version, number, {, 68 lines `x y`, }."""
    points = np.array([[float(value) for value in line.split()] for line in lines[3:-1]])
    if points.shape != (68, 2) or (lines[2].strip(), lines[-1].strip()) != ("{", "}"):
        raise ValueError(f"shape {points.shape}")
    return np.stack([points[part].mean(axis=0) for part in _FIVE])
