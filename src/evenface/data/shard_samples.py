"""The samples of a tar shard, in webdataset's layout: adjacent files of one key."""

import itertools
import json
import os
import re
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from evenface.data.readers.folder import SUFFIXES
from evenface.data.tar import BrokenTar, Member, members

PICTURES = {suffix.removeprefix(".") for suffix in SUFFIXES} | {"gif", "pnm", "ppm"}
"""The extensions of pictures."""
_MOST_LABEL = 1 << 20  # bytes of a label's file


class Sample(NamedTuple):
    """A picture in a shard."""

    name: str
    """What the sample's .json calls it as `file_name`, else its path in the archive."""
    identity: str
    """Who is on it."""
    start: int
    """The byte at which it begins."""
    size: int
    """Bytes."""


def samples(file: int, total: int) -> Iterator[Sample]:
    """The samples of an open archive of `total` bytes.

    The key of a file is its path up to the first dot of its last part, the rest is its extension. The person
    is what the sample's .cls says, else its .json as `identity`, `label` or `class`, else its .txt, else the
    folder of the picture. Samples without a picture and hidden files are passed over.

    Raises:
        BrokenTar: see `members`; or a sample has two pictures, no label or one that cannot be read; or comes
            twice; or a picture or label is a link or a sparse file.
    """
    keys, places = array("q"), array("q")
    for key, group in itertools.groupby(members(file, total), lambda member: _split(member)[0]):
        used = [(member, _split(member)[1]) for member in group if _is_used(member)]
        pictures = [found for found in used if found[1].rpartition(".")[2] in PICTURES]
        files = {extension: member for member, extension in used}
        if not files:
            continue
        keys.append(hash(key))
        places.append(used[0][0].at)
        if not pictures:
            continue
        # Of `x.jpg` and `x.mask.png` the first is the picture, but `x.v2.jpg` alone is one too.
        chosen = [found for found in pictures if found[1] in PICTURES] or pictures
        picture = chosen[0][0]
        if len(chosen) > 1:
            raise BrokenTar(
                f"{picture} and {chosen[1][0]} are two pictures of one sample, since the part before the "
                "first dot is the same; rename one"
            )
        yield _sample(file, picture, files)
    _require_distinct(keys, places, file, total)


def _split(member: Member) -> tuple[str, str]:
    folder, slash, last = member.name.rpartition("/")
    stem, _, extension = last.partition(".")
    return folder + slash + stem, extension.lower()


def _is_used(member: Member) -> bool:
    """Whether a member may be part of a sample; a picture or label that is no plain file is refused."""
    last = member.name.rpartition("/")[2]
    if last.startswith(".") or member.kind == "folder":
        return False
    extension = last.lower().rpartition(".")[2]
    if extension not in PICTURES and extension not in _LABELS:
        return False
    if member.kind != "file":
        raise BrokenTar(
            f"{member} is a {member.kind}, which is not read; make the archive with "
            "tar --dereference --hard-dereference, and without --sparse"
        )
    return True


def _sample(file: int, picture: Member, files: dict[str, Member]) -> Sample:
    found = (_read(file, files[extension]) for extension in _LABELS if extension in files)
    identity, name = next((one for one in found if one[0]), (picture.name.rpartition("/")[0], None))
    name = name or picture.name
    if not identity:
        raise BrokenTar(
            f"{picture} has no label; put a .cls, .json or .txt file of the same name next to it, "
            "or the picture into a folder with the person's name"
        )
    if "\0" in name + identity:
        raise BrokenTar(f"{picture}: the name {name + identity!r} has a NUL character; use another")
    return Sample(name, identity, picture.start, picture.size)


def _read(file: int, label: Member) -> "Label":
    if label.size > _MOST_LABEL:
        raise BrokenTar(f"{label} has {label.size} bytes, too many for a label; give it another name")
    try:
        return _LABELS[_split(label)[1]](os.pread(file, label.size, label.start).decode())
    except (ValueError, RecursionError) as error:
        raise BrokenTar(
            f"{label} cannot be read as a label: {error}; mend it and make the archive anew"
        ) from None


Label = tuple[str, str | None]  # the person, empty if it does not say; the picture's name, if it says


def _cls(text: str) -> Label:
    if not re.fullmatch(r"\s*[0-9]{1,18}\s*", text):
        raise ValueError(f"expected a number from 0, found {text[:40]!r} (names go into .txt)")
    return str(int(text)), None


def _json(text: str) -> Label:
    content = json.loads(text)
    if not isinstance(content, dict):
        return "", None
    name = content.get("file_name")
    for key in ("identity", "label", "class"):
        value = content.get(key)
        if isinstance(value, int | str) and not isinstance(value, bool) and value != "":
            return str(value), name if isinstance(name, str) else None
        if value is not None:
            raise ValueError(f"expected a number or a name as {key!r}, found {str(value)[:40]!r}")
    return "", None


def _txt(text: str) -> Label:
    if not (name := text.strip()) or "\n" in name:
        raise ValueError(f"expected one line with the person's name, found {text[:40]!r}")
    return name, None


_LABELS: dict[str, Callable[[str], Label]] = {"cls": _cls, "json": _json, "txt": _txt}


def _require_distinct(keys: "array[int]", places: "array[int]", file: int, total: int) -> None:
    order = np.argsort(np.array(keys), kind="stable")
    twice = np.flatnonzero(np.diff(np.array(keys)[order]) == 0)
    if len(twice):
        first, second = (places[order[twice[0] + i]] for i in (0, 1))
        name = next(member.name for member in members(file, total) if member.at == second)
        raise BrokenTar(
            f"{name!r} at byte {second} is of the same sample as the file at byte {first}, but the files of "
            "a sample lie next to each other; make the archive with tar --sort=name"
        )
