"""Labeled Faces in the Wild, View 2: 6,000 pairs in 10 folds of 300 + 300 (Huang et al., 2007)."""

from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from evenface.errors import UserError
from evenface.evaluation.images import Image
from evenface.evaluation.protocols.pairs import PairList, PairSet, read_lines
from evenface.faces import TEMPLATE_112, read_image, similarity, warp

Crop = Literal["lfw-a", "template"]

LFW_A_POINTS = np.array([[54.7, 65.3], [101.0, 64.6], [79.3, 89.6], [60.3, 110.6], [98.7, 109.4]])
"""Median five points of LFW-a's pictures at 160x160 pixels; single faces lie 3 to 9 pixels around them."""
_LFW_A_TO_TEMPLATE = similarity(LFW_A_POINTS, TEMPLATE_112)
SIZE = {"lfw-a": 160, "template": 112}
CROP_RULE = {"lfw-a": "LFW-a fixed crop", "template": "pictures already on the template"}


def lfw(root: Path, crop: Crop = "lfw-a", pairs: Path | None = None) -> PairSet:
    """The pairs of LFW or of a set in its form.

    Args:
        root: holds `images/Name/Name_0001.jpg`, or, where there is no folder `images`, `Name/Name_0001.jpg`.
        crop: "lfw-a" takes the 160x160 LFW-a pictures to the template by one fixed similarity transform;
            "template" takes pictures that are aligned to the 112x112 template already.
        pairs: the list; by default `root/pairs.txt`. Its first line has the number of folds and of pairs of
            each kind in a fold. Then each fold has its genuine pairs, `Name 1 4`, and its impostor pairs,
            `Name 1 Other 4`, fields parted by tabs or spaces.

    Raises:
        UserError: a line that breaks these rules, with file and line; when a picture is loaded, one that is
            not of the crop's size.
    """
    if crop not in get_args(Crop):
        raise UserError(f"lfw.crop: {crop!r} is none of {', '.join(get_args(Crop))}")
    pairs = pairs or root / "pairs.txt"
    lines = read_lines(pairs)
    folds, each = _header(pairs, lines[0])
    if len(lines) != 1 + folds * 2 * each:
        raise UserError(
            f"{pairs}: its first line announces {folds} x ({each} + {each}) = {folds * 2 * each} pairs, "
            f"but {len(lines) - 1} lines follow; the file is cut short or its first line is wrong"
        )
    folder = root / "images" if (root / "images").is_dir() else root
    table = PairList(folder)
    for number, line in enumerate(lines[1:], start=2):
        fold, place = divmod(number - 2, 2 * each)
        same = place < each
        try:
            first, second = _pair(line, same)
            table.add((_file(*first), first[0]), (_file(*second), second[0]), same, fold)
        except ValueError as error:
            raise UserError(f"{pairs}:{number}: {error}, found {line!r}") from None
    return table.build("LFW", partial(load_crop, crop=crop), {"crop": CROP_RULE[crop]}, [pairs])


def _header(pairs: Path, line: str) -> tuple[int, int]:
    fields = line.split()
    # Five digits are more pairs than any such list has; Python refuses to read thousands of them.
    if len(fields) == 2 and all(f.isdecimal() and len(f) < 6 and int(f) > 0 for f in fields):
        return int(fields[0]), int(fields[1])
    raise UserError(
        f"{pairs}:1: expected two numbers, folds and pairs of a kind (such as 10 300), found {line!r}"
    )


def _pair(line: str, same: bool) -> tuple[tuple[str, str], tuple[str, str]]:
    fields = line.split()
    if same and len(fields) == 3 and fields[1] != fields[2]:
        return (fields[0], fields[1]), (fields[0], fields[2])
    if not same and len(fields) == 4 and fields[0] != fields[2]:
        return (fields[0], fields[1]), (fields[2], fields[3])
    raise ValueError(
        "expected a genuine pair, 'Name 1 4'" if same else "expected an impostor pair, 'Name 1 Other 4'"
    )


def _file(name: str, number: str) -> str:
    if not (number.isdecimal() and len(number) < 6):
        raise ValueError(f"expected a picture's number in place of {number!r}")
    return f"{name}/{name}_{int(number):04d}.jpg"


def load_crop(path: Path, crop: Crop = "lfw-a") -> Image:
    """The aligned 112x112 RGB crop, uint8 (112, 112, 3), of a picture; UserError if it is of another size."""
    image = read_image(path)
    size = SIZE[crop]
    if image.shape[:2] != (size, size):
        raise UserError(
            f"{path}: is {image.shape[1]}x{image.shape[0]} pixels, but crop {crop!r} takes {size}x{size}; "
            f"choose the crop that fits the pictures ({', '.join(get_args(Crop))})"
        )
    return warp(image, _LFW_A_TO_TEMPLATE) if crop == "lfw-a" else image
