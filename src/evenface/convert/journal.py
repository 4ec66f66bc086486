"""How far a conversion has come, so that one that was killed goes on."""

import json
import os
from pathlib import Path
from typing import Any
from zlib import crc32

from evenface.errors import UserError


class Journal:
    """A file of JSON lines: what is converted, then each position, each safely on the disk.

    `positions` are those noted so far, by earlier processes too. Each line has the CRC-32 of the rest of it;
    a last line that was cut short by the end of the process or of the machine is dropped.

    Args:
        path: the file; made if it is not there.
        about: what is converted and how.
        output: what is written, for errors.

    Raises:
        UserError: the file is about something else, or is no journal.
    """

    def __init__(self, path: Path, about: dict[str, Any], output: Path):
        self.positions: list[dict[str, Any]] = []
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole:
            self._go_on(path, whole, about, output)
        self._file = path.open("r+b" if content else "wb")
        self._file.truncate(len(whole))
        self._file.seek(len(whole))
        if not whole:
            self._write(about)

    def note(self, position: dict[str, Any]) -> None:
        """Append a position."""
        self._write(position)
        self.positions.append(position)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _go_on(self, path: Path, whole: bytes, about: dict[str, Any], output: Path) -> None:
        try:
            before, *positions = map(_read, whole.splitlines())
        except (ValueError, RecursionError):
            raise UserError(
                f"{path}: not a conversion's journal, or damaged; delete {output} and it, and begin anew"
            ) from None
        other = [key for key in about if about[key] != before.get(key)]
        if other:
            raise UserError(
                f"-o: {output} holds another conversion, of another {', '.join(other)} ({path} says which); "
                f"repeat that call to go on with it, delete {output}, or name another place"
            )
        self.positions = positions

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps({"crc": _crc(line), **line}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _crc(line: dict[str, Any]) -> int:
    return crc32(json.dumps(line).encode())


def _read(line: bytes) -> dict[str, Any]:
    """What a line notes; raises ValueError."""
    found = json.loads(line)
    if not isinstance(found, dict) or found.pop("crc", None) != _crc(found):
        raise ValueError("not a whole line")
    return found
