"""`faces.csv`: a line for each picture, with which an alignment that was killed goes on."""

import csv
import fcntl
import io
import json
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from evenface.align.plan import Plan
from evenface.errors import UserError
from evenface.faces.landmarks import Names

TABLE, SETTINGS = "faces.csv", "align.json"
_CURE = "delete {output} and call again, or name a new folder"


class Row(NamedTuple):
    """What became of a picture; numbers as they stand in the file, empty where there are none."""

    file: str
    status: str
    """aligned, or why there is no crop: no face, unreadable, no points, bad points, other size."""
    crop: str
    method: str
    faces: str
    """How many were found."""
    score: str
    left: str
    top: str
    right: str
    bottom: str
    x1: str
    y1: str
    x2: str
    y2: str
    x3: str
    y3: str
    x4: str
    y4: str
    x5: str
    y5: str
    misfit: str
    """How far the points lie from the template: rms, pixels of a 112x112 crop."""
    why: str
    """More about a picture that has no crop; never holds a line break, so that a torn line is known."""


class Table:
    """The output folder's table, opened to go on with.

    Args:
        plan: what is done; must be what was begun there.

    Raises:
        UserError: the folder holds something else, or was begun with other settings.
    """

    def __init__(self, plan: Plan):
        self._path = plan.output / TABLE
        try:
            _begin(plan)
            self._file = self._path.open("ab")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size, digests = 0, array("Q")
            for row, end in read_rows(self._path):
                digests.append(Names.digest(row.file))
                size = end
            self._file.truncate(size)
        except BlockingIOError:
            raise UserError(
                f"DST: another `evenface align` is writing to {plan.output}; wait for it"
            ) from None
        except OSError as error:
            raise UserError(
                f"{error.filename}: {error.strerror}; name a folder that can be written"
            ) from None
        self.before = len(digests)
        """Lines that were there."""
        self._done = Names(digests)
        if size == 0:
            self._write([Row._fields])

    def __enter__(self) -> "Table":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def has(self, name: str) -> bool:
        """Whether a picture had a line when the table was opened."""
        return self._done.find(name) is not None

    def add(self, rows: Iterable[Row]) -> None:
        """Append, and hand over to the system."""
        self._write(rows)

    def _write(self, rows: Iterable[Iterable[str]]) -> None:
        text = io.StringIO()
        csv.writer(text).writerows(rows)  # its own line ends: with others, a \r in a name is not quoted
        try:
            self._file.write(text.getvalue().encode("utf-8", "surrogateescape"))
            self._file.flush()
        except OSError as error:
            raise UserError(f"{self._path}: {error.strerror}; call again to go on") from None


def read_rows(path: Path) -> Iterator[tuple[Row, int]]:
    """The rows of a table and where each ends, in bytes; a torn last line, and no table, are left out.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return
    damaged = f"{path}, line {{}}: damaged; " + _CURE.format(output=path.parent)
    end = 0

    def lines() -> Iterator[str]:
        nonlocal end
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                end += len(line)
                yield line.decode("utf-8", "surrogateescape")

    reader = csv.reader(lines())
    broken = None
    for number, fields in enumerate(reader):
        if broken or (number == 0 and tuple(fields) != Row._fields):
            raise UserError(damaged.format(broken or 1))
        if len(fields) != len(Row._fields):
            broken = reader.line_num  # torn within a name that holds a line break, if it is the last
        elif number:
            yield Row(*fields), end


def _begin(plan: Plan) -> None:
    """Make the folder, or compare its settings."""
    output, wanted = plan.output, plan.settings()
    file, new = output / SETTINGS, output / (SETTINGS + ".part")
    if not file.exists():
        if output.exists() and (not output.is_dir() or any(one != new for one in output.iterdir())):
            raise UserError(f"DST: {output} holds something else; name a new folder, or an empty one")
        output.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(wanted, indent=1) + "\n")
        new.replace(file)
        return
    try:
        before: dict[str, Any] = json.loads(file.read_bytes())
        other = [key for key in {**before, **wanted} if before.get(key) != wanted.get(key)]
    except (ValueError, TypeError, RecursionError):
        raise UserError(f"{file}: damaged; " + _CURE.format(output=output)) from None
    if other:
        raise UserError(
            f"DST: {output} was begun with another {', '.join(other)} ({file} says which); "
            "call as then to go on with it, delete it, or name a new folder"
        )
