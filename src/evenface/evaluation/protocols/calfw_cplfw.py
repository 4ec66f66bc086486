"""CALFW and CPLFW, LFW's people across ages and poses: 6,000 pairs in 10 folds of 300 + 300.

Cross-Age LFW: Zheng, Deng and Hu, arXiv:1708.08197, the list of September 2018. Cross-Pose LFW: Zheng and
Deng, BUPT technical report 18-01, 2018.
"""

import re
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.images import Image
from evenface.evaluation.protocols.pairs import FOLDS, PairList, PairSet, read_lines, template_crop
from evenface.faces import TEMPLATE_112, read_image, similarity, warp

Crop = Literal["landmarks", "template"]

_LINE = re.compile(r"([^\s/\\\0]+)_[0-9]{1,9}\.jpg[ \t]+([0-9]{1,9})")
_FOLDERS = ("images", "images&landmarks/images&landmarks/images")  # CPLFW's archive, and CALFW's
_RULE = {"landmarks": "the set's own five points", "template": "pictures already on the template"}


def calfw(root: Path, crop: Crop = "landmarks", pairs: Path | None = None) -> PairSet:
    """The pairs of CALFW, from `root/pairs_CALFW.txt`; all else as for `cplfw`.

    Its landmarks lie in `CA_landmarks`, and the flag of its genuine pairs is 1 to 10.
    """
    return _read("CALFW", root, crop, pairs)


def cplfw(root: Path, crop: Crop = "landmarks", pairs: Path | None = None) -> PairSet:
    """The pairs of CPLFW.

    The list has all genuine pairs first, so its folds are not blocks of lines: fold k has the k-th tenth of
    the genuine and the k-th tenth of the impostor pairs, as FaceX-Zoo deals them. In CPLFW no person is then
    in two folds.

    Args:
        root: holds the pictures in `images` (or, as CALFW's archive unpacks, in
            `images&landmarks/images&landmarks/images`; where there is neither, `root` holds them itself) and,
            beside that folder, the landmarks `CP_landmarks/Name_1_5loc_attri.txt`.
        crop: "landmarks" aligns the original pictures by these files, five lines `x y` each, in the
            template's order; "template" takes pictures under the same names that are aligned to the 112x112
            template already. The folder `aligned images` of the archives is aligned in another way.
        pairs: the list; by default `root/pairs_CPLFW.txt`, perhaps with a first line `name same_person`. Two
            lines make a pair, each `Name_1.jpg FLAG`; 0 is an impostor pair, anything else a genuine one.

    Raises:
        UserError: a broken line, or one whose flag does not agree with the names, with file and line; not as
            many genuine as impostor pairs, or not a multiple of ten; missing landmarks; when a picture is
            loaded, landmarks or a size that do not fit.
    """
    return _read("CPLFW", root, crop, pairs)


def _read(name: str, root: Path, crop: Crop, pairs: Path | None) -> PairSet:
    if crop not in get_args(Crop):
        raise UserError(f"{name.lower()}.crop: {crop!r} is none of {', '.join(get_args(Crop))}")
    pairs = pairs or root / f"pairs_{name}.txt"
    rows = _pairs(pairs)
    fold = deal_tenths(pairs, np.array([same for *_, same in rows], dtype=np.bool_))
    images = next((root / folder for folder in _FOLDERS if (root / folder).is_dir()), root)
    table = PairList(images)
    for (first, second, same), number in zip(rows, fold, strict=True):
        table.add(first, second, same, int(number))
    marks = images.parent / f"{name[:2]}_landmarks"
    landmarks = [marks / _landmarks(file) for file in table.index] if crop == "landmarks" else []
    for path in landmarks:
        if not path.is_file():
            raise UserError(
                f"{path}: missing, but the pairs in {pairs} need it; unpack the landmarks there, or use crop "
                "'template' for pictures that are 112x112 crops already"
            )
    load = partial(load_crop, landmarks=marks if landmarks else None)
    said = {
        "crop": _RULE[crop],
        "dealing": "a tenth of the genuine and of the impostor pairs a fold, in order",
    }
    return table.build(name, load, said, [pairs], landmarks)


def _pairs(file: Path) -> list[tuple[tuple[str, str], tuple[str, str], bool]]:
    """(picture, person), (picture, person), same of each pair."""
    lines = list(enumerate(read_lines(file), start=1))
    if lines[0][1].split() == ["name", "same_person"]:
        del lines[0]
    if len(lines) % 2:
        raise UserError(f"{file}:{lines[-1][0]}: the last picture has no second one; the file is cut short")
    found = [(number, *_picture(file, number, line)) for number, line in lines]
    rows = []
    for (_, a, who_a, flag_a), (number, b, who_b, flag_b) in zip(found[::2], found[1::2], strict=True):
        if flag_a != flag_b:
            raise UserError(
                f"{file}:{number}: flag {flag_b}, but the pair's first line has flag {flag_a}; "
                "a line is missing or one too many"
            )
        if (who_a == who_b) != bool(flag_a) or a == b:
            kind = "a genuine" if flag_a else "an impostor"
            raise UserError(f"{file}:{number}: {a} and {b} cannot be {kind} pair; fetch the list again")
        rows.append(((a, who_a), (b, who_b), bool(flag_a)))
    return rows


def _picture(file: Path, number: int, line: str) -> tuple[str, str, int]:
    found = _LINE.fullmatch(line.strip(" \t"))
    if found is None:
        raise UserError(f"{file}:{number}: expected a picture and a flag, 'Name_1.jpg 1', found {line!r}")
    return line.split()[0], found[1], int(found[2])


def deal_tenths(file: Path, same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(P,) fold of each pair: the k-th tenth of the genuine and the k-th tenth of the impostor pairs.

    Raises:
        UserError: not as many pairs of one kind as of the other, or not a multiple of ten.
    """
    genuine = int(same.sum())
    if not genuine or genuine % FOLDS or 2 * genuine != len(same):
        raise UserError(
            f"{file}: {genuine:,} genuine and {len(same) - genuine:,} impostor pairs; expected as many of "
            "each, a multiple of ten (3,000 in the official list); fetch the list again"
        )
    fold = np.empty(len(same), dtype=np.int64)
    for kind in (same, ~same):
        fold[kind] = np.arange(genuine) * FOLDS // genuine
    return fold


def _landmarks(picture: str) -> str:
    return picture.removesuffix(".jpg") + "_5loc_attri.txt"


def load_crop(path: Path, landmarks: Path | None) -> Image:
    """The aligned 112x112 RGB crop, uint8 (112, 112, 3), of a picture: by its file in the folder `landmarks`.

    Raises:
        UserError: the picture or its landmarks do not fit; without landmarks, it is not 112x112.
    """
    image = read_image(path)
    if landmarks is None:
        return template_crop(image, path)
    file = landmarks / _landmarks(path.name)
    try:
        points = np.array([[float(value) for value in line.split()] for line in read_lines(file)])
        if points.shape != (5, 2):
            raise ValueError(f"shape {points.shape}")
        return warp(image, similarity(points, TEMPLATE_112))
    except ValueError as error:
        raise UserError(f"{file}: not five lines 'x y' that mark a face ({error})") from None
