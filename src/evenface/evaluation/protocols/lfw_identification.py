"""LFW as a 1:N set, by a rule of our own over all of its pictures.

It is not the protocol of Best-Rowden et al. (TIFS 2014; 4,249 people in the gallery, 3,143 probes): we know
of no public copy of its lists, and they do not follow from LFW's names.
"""

from pathlib import Path
from typing import get_args

import numpy as np

from evenface.errors import UserError
from evenface.evaluation.images import ImageSet
from evenface.evaluation.protocols.identification import IdentificationSet, Search
from evenface.evaluation.protocols.lfw import CROP_RULE, Crop, load_crop
from evenface.evaluation.protocols.pairs import read_lines


def lfw_identification(root: Path, crop: Crop = "lfw-a", people: Path | None = None) -> IdentificationSet:
    """Two searches among all pictures of LFW.

    Closed set: the gallery has the first picture of every person; every other picture is a probe. Open set:
    the gallery has the first picture of everybody with two or more; their second ones are the mated probes,
    the pictures of people with one picture the non-mated ones.

    Args:
        root: holds `images/Name/Name_0001.jpg`, or, where there is no folder `images`, `Name/Name_0001.jpg`.
        crop: as of `lfw`.
        people: LFW's list of people, a line `Name 4` each, the number of pictures; by default
            `root/lfw-names.txt` where there is one, otherwise the folder says who there is.

    Raises:
        UserError: a broken line, a picture missing in a person's numbers, or nobody with two pictures or
            nobody with one; when a picture is loaded, one that is not of the crop's size.
    """
    if crop not in get_args(Crop):
        raise UserError(f"lfw_identification.crop: {crop!r} is none of {', '.join(get_args(Crop))}")
    folder = root / "images" if (root / "images").is_dir() else root
    if people is None and (root / "lfw-names.txt").is_file():
        people = root / "lfw-names.txt"
    pictures = _from_folder(folder) if people is None else _from_list(people)
    count = np.array(list(pictures.values()))
    if not (count > 1).any() or not (count == 1).any():
        raise UserError(
            f"{people or folder}: the rule needs people with two or more pictures and people with one; "
            "measure on the whole of LFW, or on the folder as people of your own"
        )
    names = [f"{name}/{name}_{i:04d}.jpg" for name, n in pictures.items() for i in range(1, n + 1)]
    first, everyone = np.cumsum(count) - count, np.repeat(np.arange(len(count)), count)
    several = first[count > 1]
    closed = {"gallery": "picture 0001 of every person", "probes": "every other picture"}
    opened = {
        "gallery": "picture 0001 of everybody with two or more",
        "probes": "mated: picture 0002 of these people; non-mated: the people with one picture",
    }
    return IdentificationSet(
        name="LFW 1:N",
        images=ImageSet(folder, names, lambda i: load_crop(folder / names[i], crop)),
        people=everyone,
        searches=[
            Search("LFW 1:N closed set", first, np.delete(np.arange(len(names)), first), closed),
            Search("LFW 1:N open set", several, np.append(several + 1, first[count == 1]), opened),
        ],
        conventions={"crop": CROP_RULE[crop]},
        sources=[] if people is None else [people],
    )


def _from_list(file: Path) -> dict[str, int]:
    """Name -> number of pictures."""
    found: dict[str, int] = {}
    for number, line in enumerate(read_lines(file), start=1):
        fields = line.split()
        if len(fields) != 2 or not fields[1].isdecimal() or not 1 <= int(fields[1]) <= 9999:
            raise UserError(f"{file}:{number}: expected a name and a number of pictures, found {line!r}")
        if fields[0] in found:
            raise UserError(f"{file}:{number}: {fields[0]} stands there twice; fetch the list again")
        found[fields[0]] = int(fields[1])
    return dict(sorted(found.items()))


def _from_folder(folder: Path) -> dict[str, int]:
    """Name -> number of pictures, which must be numbered from 0001 on without a gap."""
    found = {}
    for person in sorted(path for path in folder.glob("*") if path.is_dir()):
        there = {path.name for path in person.glob("*.jpg")}
        for i in range(1, len(there) + 1):
            if (name := f"{person.name}_{i:04d}.jpg") not in there:
                raise UserError(
                    f"{person / name}: missing among {len(there)} pictures; unpack the whole of LFW there, "
                    "or measure on the folder as people of your own"
                )
        if there:
            found[person.name] = len(there)
    if not found:
        raise UserError(f"{folder}: no Name/Name_0001.jpg in it; give the folder of LFW")
    return found
