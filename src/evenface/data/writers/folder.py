"""A folder of people, written: DST/<identity>/<name>, whatever the names are."""

import json
import os
import re
import unicodedata
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from evenface.data.finished import CHECKSUM, JOURNAL
from evenface.errors import UserError

RENAMED = "renamed.jsonl"
"""A line {"stored": ..., "was": ...} for each person's folder and picture that could not keep its name."""
BESIDE = (CHECKSUM, JOURNAL, RENAMED)
"""Files that a conversion keeps beside the people's folders; no person's folder is called so."""
LONGEST = 200
"""Bytes of a stored name; file systems take 255, and a number may follow."""

# Separators, control characters, text that is no Unicode, and the dot of hidden files and of "..".
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\\ud800-\udfff]|^\.")
_ESCAPED = re.compile(r"[%\x00-\x1f\x7f/\\\ud800-\udfff]|^\.")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}$")


class FolderWriter:
    """Writes each picture as a file of its own. Pictures come person by person, in the labels' order.

    A picture keeps the last part of its name, a person theirs. What a file system could misread is
    percent-encoded, a name that is too long is cut and given a digest, and one that is taken gets a number
    (~2); names that differ in case or in Unicode composition only count as the same, since elsewhere they
    are. `RENAMED` tells of each of these. So nothing is written outside of the folder, nor over another.

    Args:
        path: the folder; made if it is not there.
        identities: the names of the people, by label.
        state: what `state` gave, to go on from there; what was written after it is written again.

    Raises:
        UserError: `state` is given and `RENAMED` is not as it was.
    """

    def __init__(self, path: Path, identities: Sequence[str], state: dict[str, Any] | None = None):
        self._root = path
        self._taken: dict[str, int] = {}
        self._label = -1
        self._log: BinaryIO | None = None
        path.mkdir(parents=True, exist_ok=True)
        reserved = {_key(name): 1 for name in BESIDE}
        self._folders = [_free(_safe(identity, ""), "", reserved) for identity in identities]
        if state is None:
            for folder, identity in zip(self._folders, identities, strict=True):
                if folder != identity:
                    self._renamed(folder, identity)
        else:
            self._label, self._taken = state["label"], dict(state["taken"])
            self._truncate(state["renamed"])

    def add(self, label: int, name: str, content: bytes) -> None:
        """Write picture `name` of person `label`; raises ValueError if an earlier person returns."""
        folder = self._folders[label]
        if label != self._label:
            if label < self._label:
                raise ValueError(f"person {label} comes after person {self._label}")
            self._label, self._taken = label, {}
            (self._root / folder).mkdir(exist_ok=True)
        own = name.rpartition("/")[2]
        stem, suffix = _parts(own)
        stored = _free(_safe(stem, suffix), suffix, self._taken)
        (self._root / folder / stored).write_bytes(content)
        if stored != own:
            self._renamed(f"{folder}/{stored}", own)

    def state(self) -> dict[str, Any]:
        """Where the writing stands, once all of it is on the disk."""
        size = 0
        if self._log is not None:
            self._log.flush()
            size = self._log.tell()
        os.sync()  # thousands of small files: one by one they would take longer than all that the disk holds
        return {"label": self._label, "taken": self._taken, "renamed": size}

    def close(self) -> None:
        """Finish."""
        if self._log is not None:
            self._log.close()

    def _renamed(self, stored: str, was: str) -> None:
        if self._log is None:
            self._log = (self._root / RENAMED).open("wb")
        self._log.write(json.dumps({"stored": stored, "was": was}).encode() + b"\n")

    def _truncate(self, size: int) -> None:
        path = self._root / RENAMED
        if size == 0:
            path.unlink(missing_ok=True)
            return
        if not path.is_file() or path.stat().st_size < size:
            raise UserError(f"{path}: shorter than it was; delete {self._root} and begin anew")
        self._log = path.open("r+b")
        self._log.truncate(size)
        self._log.seek(size)


def read_renamed(folder: Path) -> dict[str, str]:
    """What the people's folders and pictures, `folder` and `folder/file`, were called; {} if all kept names.

    Raises:
        UserError: the file is not as `FolderWriter` writes it.
    """
    path = folder / RENAMED
    try:
        lines = path.read_bytes().splitlines()
        found = {line["stored"]: line["was"] for line in map(json.loads, lines)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path}: damaged; convert the set again") from None
    if not all(isinstance(one, str) for pair in found.items() for one in pair):
        raise UserError(f"{path}: damaged; convert the set again")
    return found


def _parts(name: str) -> tuple[str, str]:
    """A name without its suffix, and the suffix, such as .jpg."""
    found = _SUFFIX.search(name)
    return (name[: found.start()], found[0]) if found else (name, "")


def _safe(stem: str, suffix: str) -> str:
    """The name, or one that is safe in its place; a safe one stays as it is, % too."""
    name = stem
    if not name or _UNSAFE.search(name):
        name = _ESCAPED.sub(_percent, name) or "%"
    encoded = name.encode()
    if len(encoded) + len(suffix) > LONGEST:
        digest = sha256(stem.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        name = encoded[: LONGEST - len(suffix) - 17].decode(errors="ignore") + "~" + digest
    return name + suffix


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


def _free(name: str, suffix: str, taken: dict[str, int]) -> str:
    """`name`, with a number if it is taken; it is taken from now on."""
    first = _key(name)
    if first not in taken:
        taken[first] = 1
        return name
    while True:
        taken[first] += 1
        free = f"{name.removesuffix(suffix)}~{taken[first]}{suffix}"
        if _key(free) not in taken:
            taken[_key(free)] = 1
            return free


def _key(name: str) -> str:
    """The same for names that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
