"""MegaFace's lists: the probes, the sets of distractors, and the pictures that others found mislabelled."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.protocols.pairs import read_lines

PROBES, DISTRACTORS = "facescrub", "megaface"
"""The folders, of pictures or of features, below the set's root."""

_PARTS = {PROBES: 2, DISTRACTORS: 3}  # Name/Name_1.png and 375/37531198@N00/4174611825_0.jpg
_LIST = re.compile(r"megaface_features_list\.json_([1-9]\d{0,8})_([1-9]\d{0,3})")
_SUFFIXES = (".jpg", ".png", ".jpeg")


@dataclass(frozen=True, eq=False)
class DistractorList:
    """One list of distractors."""

    size: int
    number: int
    """Of the set: there may be several random lists of a size."""
    index: NDArray[np.int32]
    """(size,) places among all distractors."""
    path: Path


def read_probes(path: Path) -> list[str]:
    """The probes' names, such as `facescrub/Adam_Brody/Adam_Brody_136.png`, of facescrub_features_list.json.

    Raises:
        UserError: no such list; a name that is not of this form, or twice there.
    """
    return [f"{PROBES}/{name}" for name in _read_list(path, PROBES)]


def read_distractors(
    folder: Path, sets: Collection[int] | None = None
) -> tuple[list[str], list[DistractorList]]:
    """The distractors' names and the lists `megaface_features_list.json_{size}_{set}` of a folder.

    The first set's smallest list comes first, then what the next size adds, and so on, so that the nested
    lists of that set are the beginnings of the whole.

    Args:
        sets: the numbers of the sets to read; by default all that are there.

    Raises:
        UserError: no list, none of a set that is asked for, or a list that is broken or of another length
            than its file name says.
    """
    found = sorted(
        (int(match[2]), int(match[1]), path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := _LIST.fullmatch(path.name))
    )
    there = {number for number, _, _ in found}
    absent = sorted(set(sets) - there) if sets is not None else []
    if not found or absent:
        raise UserError(
            f"{folder}: no megaface_features_list.json_SIZE_{absent[0] if absent else 'SET'}; "
            "copy the development kit's templatelists there"
        )
    place: dict[str, int] = {}
    lists = []
    for number, size, path in found:
        if sets is not None and number not in sets:
            continue
        names = _read_list(path, DISTRACTORS)
        if len(names) != size:
            raise UserError(
                f"{path}: has {len(names):,} pictures where its name says {size:,}; copy it again"
            )
        index = np.fromiter((place.setdefault(name, len(place)) for name in names), np.int32, size)
        lists.append(DistractorList(size, number, index, path))
    return [f"{DISTRACTORS}/{name}" for name in place], lists


def read_noises(path: Path, names: Sequence[str]) -> NDArray[np.bool_]:
    """(N,) which of the names stand in one of InsightFace's noise lists.

    A line is a picture's name, in megaface_noises.txt with its two folders and perhaps after a number and a
    tab; lines that begin with # are not read. Endings such as .png do not count.

    Raises:
        UserError: the list is missing, empty or not text.
    """
    lines = [line for line in read_lines(path) if not line.startswith("#")]
    noisy = {_stem(line.split("\t")[-1].strip()) for line in lines}
    inner = 2 if names[0].startswith(PROBES) else 1  # facescrub_noises.txt has no folders
    return np.array([_stem(name.split("/", inner)[-1]) in noisy for name in names])


def locate(root: Path, name: str, ending: str = "") -> Path:
    """The file of a listed picture, or of its feature: `root / name`, or the first other spelling there is.

    FaceScrub is found with spaces in place of underscores, and any picture as .jpg, .png or .jpeg, whatever
    the list says.
    """
    return next(
        (p for one in _spellings(name) if (p := root / (one + ending)).is_file()), root / (name + ending)
    )


def _spellings(name: str) -> Iterator[str]:
    folder, _, number = name.rpartition("_")
    for spelled in (name, f"{folder.replace('_', ' ')}_{number}") if name.startswith(PROBES) else (name,):
        yield spelled
        yield from (spelled.rpartition(".")[0] + suffix for suffix in _SUFFIXES)


def _stem(name: str) -> str:
    """Without the ending, with underscores for spaces."""
    return name.rpartition(".")[0].replace(" ", "_")


def _read_list(path: Path, kind: str) -> list[str]:
    """The names of a list of the development kit, as `_name` makes them, each once."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; copy the development kit's templatelists there") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); copy it again") from None
    paths = found.get("path") if isinstance(found, dict) else None
    if not isinstance(paths, list) or not paths:
        raise UserError(f'{path}: has no pictures; expected {{"path": ["...", ...]}}')
    names: dict[str, None] = {}
    for number, one in enumerate(paths):
        name = _name(one, kind)
        if name is None or name in names:
            what = (
                "expected a picture such as " + "/".join(["..."] * _PARTS[kind])
                if name is None
                else "twice there"
            )
            raise UserError(f"{path}: path {number}: {what}, found {str(one)[:80]!r}")
        names[name] = None
    return list(names)


def _name(path: object, kind: str) -> str | None:
    """The last folders and the file, FaceScrub's with underscores; None for what is no picture's path."""
    if not isinstance(path, str):
        return None
    parts = path.split("/")[-_PARTS[kind] :]
    good = (
        len(parts) == _PARTS[kind] and not any(part.strip(".") == "" for part in parts) and path.isprintable()
    )
    if not good or not parts[-1].rpartition(".")[0]:
        return None
    name = "/".join(parts)
    return name.replace(" ", "_") if kind == PROBES else name
