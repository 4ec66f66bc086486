"""Test sets as InsightFace packs them, `lfw.bin`, `agedb_30.bin`, `cfp_fp.bin` and others."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.data.plain_pickle import ByteArray, load_plain
from evenface.errors import UserError
from evenface.evaluation.images import Image, ImageSet
from evenface.evaluation.protocols.pairs import FOLDS, PairSet, check_kinds, template_crop
from evenface.faces import decode_image

_NAMES = {
    "lfw": "LFW",
    "agedb_30": "AgeDB-30",
    "calfw": "CALFW",
    "cplfw": "CPLFW",
    "cfp_ff": "CFP-FF",
    "cfp_fp": "CFP-FP",
    "vgg2_fp": "VGG2-FP",
}


def insightface_bin(path: Path) -> PairSet:
    """The pairs of a `.bin` file: a pickle of 2P encoded pictures, 112x112 on the template, and P flags.

    Pictures 2i and 2i + 1 are pair i. The folds are 10 blocks of pairs in the file's order, the first ones a
    pair longer where the number is no multiple of 10. The pickle's code is never run (`load_plain`). The
    file's pictures stay in memory as they are encoded.

    Raises:
        UserError: the file is missing, or no such pickle, or not every fold can have a threshold; when a
            picture is loaded, one that cannot be decoded or is of another size.
    """
    pictures, same = read_bin(path)
    fold = np.repeat(np.arange(FOLDS), [len(part) for part in np.array_split(same, FOLDS)])
    check_kinds(path, same, fold)
    one_kind = sum(len(set(same[fold == number].tolist())) < 2 for number in range(FOLDS))
    dealing = f"{FOLDS} blocks in the file's order"
    if one_kind:
        dealing += f", {one_kind} of them with pairs of one kind only"
    first = np.arange(0, len(pictures), 2)

    def read(index: int) -> Image:
        name = f"{path}: picture {index}"
        return template_crop(decode_image(pictures[index], name), name)

    names = [str(index) for index in range(len(pictures))]
    return PairSet(
        name=f"{_NAMES.get(path.stem, path.stem)} (bin)",
        images=ImageSet(path.parent, names, read, inside=path),
        first=first,
        second=first + 1,
        same=same,
        fold=fold,
        conventions={"crop": "pictures already on the template", "dealing": dealing},
        sources=[path],
    )


def read_bin(path: Path) -> tuple[list[bytes], NDArray[np.bool_]]:
    """The encoded pictures, two for each pair, and of each pair whether it is one person.

    Raises:
        UserError: as `insightface_bin`.
    """
    try:
        pictures, flags = _parts(load_plain(path.read_bytes()))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give one of InsightFace's .bin files") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}; fetch the file from InsightFace's dataset zoo again") from None
    return pictures, flags


def _parts(value: Any) -> tuple[list[bytes], NDArray[np.bool_]]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("not a pair of a list of pictures and a list of flags")
    pictures, flags = value
    if isinstance(flags, ByteArray) and flags.kind == "b1":
        flags = list(flags.content)
    if not isinstance(pictures, list | tuple) or not isinstance(flags, list | tuple):
        raise ValueError("not a pair of a list of pictures and a list of flags")
    if len(pictures) != 2 * len(flags) or len(flags) < FOLDS:
        raise ValueError(
            f"{len(pictures):,} pictures and {len(flags):,} flags; expected two a flag, {FOLDS} or more flags"
        )
    for index, flag in enumerate(flags):
        if not isinstance(flag, int) or flag not in (0, 1):
            raise ValueError(f"flag {index} is neither True nor False")
    encoded = []
    for index, picture in enumerate(pictures):
        content = picture.content if isinstance(picture, ByteArray) else picture
        if not isinstance(content, bytes) or not content:
            raise ValueError(f"picture {index} is not an encoded picture")
        encoded.append(content)
    return encoded, np.array(flags, dtype=np.bool_)
