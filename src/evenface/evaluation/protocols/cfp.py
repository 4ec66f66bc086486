"""Celebrities in Frontal-Profile: 7,000 pairs in 10 folds of 350 + 350 (Sengupta et al., WACV 2016)."""

import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.images import Image
from evenface.evaluation.protocols.pairs import PairList, PairSet, read_lines
from evenface.faces import TEMPLATE_112, five_points_from_30, read_image, similarity, warp

Kind = Literal["ff", "fp"]
Crop = Literal["fiducials", "template"]

_PICTURE = re.compile(r"\.\./Data/Images/[^/\s]+/(frontal|profile)/[^/\s]+")
_RULE = {"fiducials": "five points from CFP's 30 fiducials", "template": "pictures already on the template"}


def cfp(root: Path, kind: Kind = "ff", crop: Crop = "fiducials") -> PairSet:
    """The pairs of CFP's official protocol, frontal-frontal ("ff") or frontal-profile ("fp").

    Args:
        root: holds `Protocol/Pair_list_F.txt` and `Pair_list_P.txt` (a picture's number and its path as
            seen from `Protocol`), `Protocol/Split/{FF,FP}/01/{same,diff}.txt` and so on (two numbers a
            line, the first of a frontal picture, the second of a frontal one in FF and of a profile one
            in FP), `Data/Images` and, for crop "fiducials", `Data/Fiducials`.
        kind: which protocol.
        crop: "fiducials" aligns by `five_points_from_30`; "template" takes pictures under the same names
            that are aligned to the 112x112 template already.

    Raises:
        UserError: a broken line, folds of different sizes, or a missing file, with file, line and cure; when
            a picture is loaded, landmarks or a size that do not fit.
    """
    if kind not in get_args(Kind):
        raise UserError(f"cfp.kind: {kind!r} is none of {', '.join(get_args(Kind))}")
    if crop not in get_args(Crop):
        raise UserError(f"cfp.crop: {crop!r} is none of {', '.join(get_args(Crop))}")
    protocol = root / "Protocol"
    lists = [protocol / "Pair_list_F.txt", protocol / f"Pair_list_{kind[1].upper()}.txt"]
    first, second = (_pictures(path) for path in lists)
    table = PairList(root)
    lengths: dict[Path, int] = {}
    for fold, folder in enumerate(_folds(protocol / "Split" / kind.upper())):
        for same, file in ((True, folder / "same.txt"), (False, folder / "diff.txt")):
            lines = read_lines(file)
            lengths[file] = len(lines)
            for number, line in enumerate(lines, start=1):
                a, b = _numbers(file, number, line)
                for value, pictures, source in ((a, first, lists[0]), (b, second, lists[1])):
                    if value not in pictures:
                        raise UserError(f"{file}:{number}: picture {value} is not in {source}")
                one, other = _who(first[a]), _who(second[b])
                if (one[1] == other[1]) != same:
                    raise UserError(
                        f"{file}:{number}: pictures of people {one[1]} and {other[1]}; fetch the lists again"
                    )
                table.add(one, other, same, fold)
    _check_lengths(lengths)
    landmarks = [_fiducials(root / name) for name in table.index] if crop == "fiducials" else []
    for path in landmarks:
        if not path.is_file():
            raise UserError(
                f"{path}: missing, but the pairs under {protocol} need it; unpack the whole of CFP"
            )
    return table.build(
        f"CFP-{kind.upper()}",
        partial(load_crop, crop=crop),
        {"crop": _RULE[crop]},
        [*dict.fromkeys(lists), *lengths],
        landmarks,
    )


def _pictures(path: Path) -> dict[int, str]:
    """Number -> picture's name, of lines such as `1 ../Data/Images/001/frontal/01.jpg`."""
    pictures = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if len(fields) != 2 or not fields[0].isdecimal() or not _PICTURE.fullmatch(fields[1]):
            raise UserError(
                f"{path}:{number}: expected '1 ../Data/Images/001/frontal/01.jpg', found {line!r}"
            )
        pictures[int(fields[0])] = fields[1].removeprefix("../")
    return pictures


def _who(picture: str) -> tuple[str, str]:
    return picture, picture.split("/")[2]


def _folds(split: Path) -> list[Path]:
    folders = sorted(path for path in split.glob("*") if path.is_dir())
    if len(folders) < 2:
        raise UserError(
            f"{split}: expected the folds 01, 02, ... as folders, found {len(folders)}; unpack all of CFP"
        )
    return folders


def _numbers(file: Path, number: int, line: str) -> tuple[int, int]:
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != 2 or not all(field.isdecimal() for field in fields):
        raise UserError(f"{file}:{number}: expected two picture numbers such as 12,345, found {line!r}")
    return int(fields[0]), int(fields[1])


def _check_lengths(lengths: dict[Path, int]) -> None:
    usual = Counter(lengths.values()).most_common(1)[0][0]
    for file, length in lengths.items():
        if length != usual:
            raise UserError(
                f"{file}: has {length} pairs where the other files have {usual}; "
                "it is cut short or does not belong here; fetch it again"
            )


def _fiducials(image: Path) -> Path:
    person, pose = image.parent.parent.name, image.parent.name
    return image.parents[3] / "Fiducials" / person / pose / f"{image.stem}.txt"


def load_crop(path: Path, crop: Crop = "fiducials") -> Image:
    """The aligned 112x112 RGB crop, uint8 (112, 112, 3), of Data/Images/ID/{frontal,profile}/NN.jpg.

    Raises:
        UserError: the picture or its landmarks do not fit.
    """
    image = read_image(path)
    if crop == "fiducials":
        return warp(image, similarity(_five_points(_fiducials(path)), TEMPLATE_112))
    if image.shape[:2] != (112, 112):
        raise UserError(
            f"{path}: is {image.shape[1]}x{image.shape[0]} pixels, but crop 'template' takes 112x112; "
            "use crop 'fiducials' for the original pictures"
        )
    return image


def _five_points(path: Path) -> NDArray[np.float64]:
    lines = read_lines(path)
    try:
        return five_points_from_30([[float(value) for value in line.split(",")] for line in lines])
    except ValueError as error:
        raise UserError(f"{path}: not 30 lines of x,y that mark a face ({error})") from None
