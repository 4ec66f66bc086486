"""A list of pairs of one's own: pictures that are aligned already, in the form of a text file or a CSV."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError, unknown
from evenface.evaluation.images import Image
from evenface.evaluation.protocols.pairs import (
    FOLDS,
    PairList,
    PairSet,
    check_kinds,
    read_lines,
    template_crop,
)
from evenface.faces import read_image

_COLUMNS = ("a", "b", "same", "fold", "person_a", "person_b")

_Pair = tuple[tuple[str, str], tuple[str, str], bool]


def listed(pairs: Path, root: Path | None = None) -> PairSet:
    """The pairs of a file, named after it.

    Blank lines and lines that begin with # are passed over. A `.csv` has the columns a, b, same (1 or 0) and
    perhaps fold, person_a and person_b, in any order under a first row with these names; without one they
    are a,b,same or a,b,same,fold. Any other file has a line `a b 1` or `a b 0` for each pair, parted by
    spaces or tabs.

    Without a column fold, pairs are dealt to 10 folds by turns within each kind: the first genuine pair to
    the first fold, the second to the second; the same for impostor pairs. With fewer than 10 of a kind there
    are no folds, hence no accuracy.

    Args:
        pairs: the file.
        root: what the pictures' paths are relative to; by default the file's folder. They are 112x112 crops
            on the template.

    Raises:
        UserError: a line that breaks these rules or contradicts another one, with file and line; or the
            folds, or the file as a whole, lack a kind of pair; when a picture is loaded, one of another size.
    """
    found: list[_Pair] = []
    numbers: list[int] = []
    folds: list[int] = []
    people: dict[str, str] = {}
    for number, row in _rows(pairs):
        try:
            found.append(_pair(row, people))
            numbers.append(number)
            if "fold" in row:
                folds.append(_fold(row["fold"]))
        except ValueError as error:
            raise UserError(f"{pairs}:{number}: {error}") from None
    if not found:
        raise UserError(f"{pairs}: lists no pair; expected a line 'a b 1' or 'a b 0' for each")
    same = np.array([pair[2] for pair in found], dtype=np.bool_)
    fold, dealing = _deal(same, folds)
    check_kinds(pairs, same, fold)
    table = PairList(root or pairs.parent)
    for pair, place in zip(found, fold, strict=True):
        table.add(*pair, int(place))
    said = {"crop": "pictures already on the template", "dealing": dealing}
    built = table.build(pairs.stem, _load, said, [pairs])
    _refuse_contradiction(pairs, built, numbers)
    return built


def _refuse_contradiction(file: Path, pairs: PairSet, numbers: list[int]) -> None:
    """UserError if two lines, of these numbers (P,), have the same two pictures and another `same`."""
    low, high = np.minimum(pairs.first, pairs.second), np.maximum(pairs.first, pairs.second)
    order = np.lexsort((high, low))
    alike = (np.diff(low[order]) == 0) & (np.diff(high[order]) == 0)
    wrong = np.flatnonzero(alike & (np.diff(pairs.same[order].astype(np.int8)) != 0))
    if len(wrong):
        before, after = sorted(order[wrong[0] : wrong[0] + 2])
        one, two = (pairs.images.names[i] for i in (pairs.first[after], pairs.second[after]))
        raise UserError(
            f"{file}:{numbers[after]}: same is {int(pairs.same[after])} of {one!r} and {two!r}, "
            f"but {int(pairs.same[before])} on line {numbers[before]}"
        )


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Number and columns of each line that has a pair."""
    lines = [(n, line.strip()) for n, line in enumerate(read_lines(file), start=1)]
    lines = [(n, line) for n, line in lines if line and not line.startswith("#")]
    if file.suffix.lower() != ".csv":
        return [(n, _named(file, n, line.split(), _COLUMNS[:3])) for n, line in lines]
    cells = [(n, _cells(file, n, line)) for n, line in lines]
    if not cells or "same" not in cells[0][1]:
        columns = _COLUMNS[:4] if cells and len(cells[0][1]) == 4 else _COLUMNS[:3]
        return [(n, _named(file, n, row, columns)) for n, row in cells]
    (number, header), *rest = cells
    for name in header:
        if name not in _COLUMNS:
            raise unknown(f"{file}:{number}: column", name, _COLUMNS)
    if len(set(header)) < len(header) or not set(_COLUMNS[:3]) <= set(header):
        raise UserError(f"{file}:{number}: expected the columns a, b and same, each once, found {header}")
    if ("person_a" in header) != ("person_b" in header):
        raise UserError(f"{file}:{number}: expected both person_a and person_b, or neither, found {header}")
    return [(n, _named(file, n, row, tuple(header))) for n, row in rest]


def _cells(file: Path, number: int, line: str) -> list[str]:
    try:
        (row,) = csv.reader([line], skipinitialspace=True, strict=True)
    except csv.Error as error:
        raise UserError(f"{file}:{number}: not a line of a CSV ({error})") from None
    return [cell.strip() for cell in row]


def _named(file: Path, number: int, row: list[str], columns: tuple[str, ...]) -> dict[str, str]:
    if len(row) != len(columns):
        raise UserError(
            f"{file}:{number}: expected {len(columns)} fields ({', '.join(columns)}), found {row}"
        )
    return dict(zip(columns, row, strict=True))


def _pair(row: dict[str, str], people: dict[str, str]) -> _Pair:
    """A line's pair; `people` has who is on each picture so far, and learns who is on these."""
    if row["same"] not in ("0", "1"):
        raise ValueError(f"same: expected 1 or 0, found {row['same']!r}")
    same = row["same"] == "1"
    sides = [(row[side], row.get(f"person_{side}", "")) for side in ("a", "b")]
    for (name, person), side in zip(sides, ("a", "b"), strict=True):
        if name.splitlines() != [name] or "\0" in name:
            raise ValueError(f"{side}: expected a picture's path, found {name!r}")
        if f"person_{side}" in row and not person:
            raise ValueError(f"person_{side}: empty; name the person, or leave both columns out")
        if people.setdefault(name, person) != person:
            raise ValueError(f"{name!r} shows {person!r} here and {people[name]!r} above")
    (a, who_a), (b, who_b) = sides
    if a == b:
        raise ValueError(f"{a!r} is paired with itself")
    if who_a and (who_a == who_b) != same:
        raise ValueError(f"same is {row['same']}, but the people are {who_a!r} and {who_b!r}")
    return (a, who_a), (b, who_b), same


def _fold(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"fold: expected a number such as 1, found {text!r}")
    return int(text)


def _deal(same: NDArray[np.bool_], given: list[int]) -> tuple[NDArray[np.int64], str]:
    """(P,) fold of each pair, and the rule in words."""
    if given:
        fold = np.unique(given, return_inverse=True)[1].astype(np.int64)
        return fold, "by the list's column fold" if fold.any() else "no folds: one value in the column fold"
    fold = np.zeros(len(same), dtype=np.int64)
    counts = [int(same.sum()), int((~same).sum())]
    if min(counts) < FOLDS:
        return fold, f"no folds: fewer than {FOLDS} pairs of a kind"
    for kind, count in zip((same, ~same), counts, strict=True):
        fold[kind] = np.arange(count) % FOLDS
    return fold, f"by turns to {FOLDS} folds within each kind"


def _load(path: Path) -> Image:
    return template_crop(read_image(path), path)
