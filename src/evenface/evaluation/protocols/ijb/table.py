"""Text files of one kind of line, and csv files: read fast, errors named by file and line."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from evenface.errors import UserError
from evenface.evaluation.protocols.pairs import read_lines

DIGITS = 7
"""The most that a whole number of these lists has; IJB-C's have 6."""
WHOLE = rf"[0-9]{{1,{DIGITS}}}"
"""The pattern of one."""


def read_table(path: Path, row: DTypeLike, example: str, pattern: str) -> NDArray[Any]:
    """A structured array (N,), of lines such as the example, fields parted by spaces or by one comma.

    Empty lines are passed over, and lines may end in CRLF.

    Args:
        row: the names and types of the fields.
        pattern: of a right line, without the spaces around it, to find a wrong one by.

    Raises:
        UserError: a wrong line, with file and line; the file is missing or empty.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            separator = "," if "," in example else None
            return np.loadtxt(path, row, comments=None, delimiter=separator, encoding="utf-8", ndmin=1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; the protocol needs this file") from None
    except UserWarning:  # that there is no line
        raise UserError(f"{path}: empty; fetch the protocol file again") from None
    except (ValueError, DeprecationWarning) as error:
        _name_wrong_line(path, example, re.compile(pattern), str(error))


def _name_wrong_line(path: Path, example: str, pattern: re.Pattern[str], problem: str) -> NoReturn:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line, text in enumerate(file, start=1):
            found = text.strip()
            if found and not pattern.fullmatch(found):
                raise UserError(f"{path}:{line}: expected a line such as {example!r}, found {found[:100]!r}")
    raise UserError(f"{path}: {problem[:200]}; expected lines such as {example!r}")


def refuse(path: Path, wrong: NDArray[np.bool_], what: str, values: NDArray[Any]) -> None:
    """Raise UserError for the first row (N,) that is wrong, if any: its line, what is wrong, its value."""
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(f"{path}:{line_of(path, row)}: {what} {values[row]!s}")


def line_of(path: Path, row: int) -> int:
    """The line of a row that `read_table` read."""
    with path.open("rb") as file:
        lines = (line for line, text in enumerate(file, start=1) if text.strip())
        return next(line for place, line in enumerate(lines) if place == row)


def read_csv(path: Path, *columns: str) -> Iterator[tuple[int, list[str]]]:
    """Number and chosen fields of each line below the header.

    Args:
        columns: names of the header, each perhaps with another for want of it: "MEDIA_ID|SIGHTING_ID".

    Raises:
        UserError: a column is missing, there is no line, or a line has too few fields.
    """
    lines = read_lines(path)
    header = [field.strip() for field in lines[0].split(",")]
    places = []
    for column in columns:
        there = [header.index(name) for name in column.split("|") if name in header]
        if not there:
            raise UserError(
                f"{path}:1: expected a header with {', '.join(columns)}, found {lines[0][:200]!r}"
            )
        places.append(there[0])
    if len(lines) == 1:
        raise UserError(f"{path}: has a header and no lines; fetch it again")
    for line, text in enumerate(lines[1:], start=2):
        fields = text.split(",")
        if len(fields) <= max(places):
            raise UserError(f"{path}:{line}: has {len(fields)} fields where the header has {len(header)}")
        yield line, [fields[place].strip() for place in places]


def whole(path: Path, line: int, text: str) -> int:
    """A number of at most `DIGITS` digits; UserError with file and line otherwise."""
    if not re.fullmatch(WHOLE, text):
        raise UserError(
            f"{path}:{line}: expected a whole number of at most {DIGITS} digits, found {text[:60]!r}"
        )
    return int(text)
