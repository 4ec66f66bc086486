"""Text files: a list of labelled images, and lists of people to leave out."""

import csv
import io
import re
from pathlib import Path

from evenface.data.faceset import FaceSet
from evenface.data.pictures import Files
from evenface.errors import UserError


def read_list(file: Path, root: Path | None = None) -> FaceSet:
    """The images of a file with a line `path label` each.

    The label is the line's last field, any word or number; the path before it may hold spaces. Fields are
    parted by spaces or tabs. Blank lines and lines that begin with # are passed over. Paths start from
    `root`, or from the file's own folder.

    Raises:
        UserError: the file cannot be read, a line has no label, nothing is listed, or the first image is
            missing (the mark of a wrong `root`; any later one is met when it is read).
    """
    paths, names = [], []
    base = file.parent if root is None else root
    for number, line in _lines(file, "data.list"):
        fields = re.fullmatch(r"(.*[^ \t])[ \t]+([^ \t]+)", line)
        if fields is None:
            raise UserError(
                f"{file}, line {number}: expected an image's path, a space and a label; found {line!r}"
            )
        paths.append(fields[1])
        names.append(fields[2])
        if len(paths) == 1 and not (base / paths[0]).is_file():
            raise UserError(
                f"{file}, line {number}: there is no image {base / paths[0]}; paths start from {base}. "
                "Use --data.root DIR to start them from another folder"
            )
    if not paths:
        raise UserError(f"data.list: {file} lists no image; expected a line `path label` for each")
    return FaceSet.of(Files(paths, base), names)


def read_names(file: Path) -> set[str]:
    """The people and the images that a file of `data.exclude` names.

    A .csv whose first row has a column `identity` names that person in each row, or the image in its column
    `file` where that is there and filled; another .csv names those of its first column. Any other file has
    one name a line; blank lines and lines that begin with # are passed over.

    Raises:
        UserError: the file cannot be read, or is a .csv by name only.
    """
    if file.suffix.lower() != ".csv":
        return {line for _, line in _lines(file, "data.exclude")}
    text = io.StringIO(_text(file, "data.exclude"), newline="")
    try:
        rows = [[cell.strip(" \t") for cell in row] for row in csv.reader(text)]
    except csv.Error as error:
        raise UserError(f"data.exclude: {file}: not a .csv: {error}") from None
    header = rows[0] if rows else []
    if "identity" not in header:
        return {row[0] for row in rows if row and row[0]}
    columns = [header.index(name) for name in ("file", "identity") if name in header]
    cells = ([row[column] for column in columns if column < len(row)] for row in rows[1:])
    return {next(filter(None, row)) for row in cells if any(row)}


def _lines(file: Path, field: str) -> list[tuple[int, str]]:
    """Numbered lines without spaces around them, blanks and comments left out."""
    # Split and stripped at these characters only: a name may hold any other kind of blank or line separator.
    lines = [line.strip(" \t\r") for line in _text(file, field).split("\n")]
    return [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]


def _text(file: Path, field: str) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{field}: {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{field}: {file}, line {line}: not UTF-8; save the file as UTF-8") from None
