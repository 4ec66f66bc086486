"""Lists of template pairs, millions of lines long."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.protocols.ijb.table import WHOLE, line_of, read_table, refuse

Places = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TemplatePairs:
    """P pairs of templates, by their places among the protocol's templates."""

    first: Places
    """(P,)."""
    second: Places
    """(P,)."""
    same: NDArray[np.bool_]
    """(P,) whether both show one person."""


def read_pairs(path: Path, ids: NDArray[np.int64]) -> TemplatePairs:
    """The pairs of `ijbb_template_pair_label.txt`: lines `1 11065 1`, two templates and whether they match.

    Args:
        ids: (T,) rising, the templates that there are.

    Raises:
        UserError: a broken line, a template that is not in `ids`, a pair that is listed twice, or no pair of
            one kind.
    """
    row = [("first", "i4"), ("second", "i4"), ("label", "i4")]
    table = read_table(path, row, "1 11065 1", rf"{WHOLE}\s+{WHOLE}\s+[01]")
    label = table["label"]
    refuse(path, (label != 0) & (label != 1), "expected label 0 or 1, found", label)
    return _pairs(path, len(ids), *_places(path, ids, table), label == 1)


def read_matches(path: Path, ids: NDArray[np.int64], subjects: NDArray[np.int64]) -> TemplatePairs:
    """The pairs of NIST's `ijbb_11_S1_S2_matches.csv`: lines `1,11065` without a header.

    Args:
        ids: (T,) rising, the templates that there are.
        subjects: (T,) who each shows; by them a pair is genuine or not.

    Raises:
        UserError: as `read_pairs`.
    """
    table = read_table(path, [("first", "i4"), ("second", "i4")], "1,11065", f"{WHOLE},{WHOLE}")
    first, second = _places(path, ids, table)
    return _pairs(path, len(ids), first, second, subjects[first] == subjects[second])


def _places(path: Path, ids: NDArray[np.int64], table: NDArray[Any]) -> tuple[Places, Places]:
    """(P,) and (P,), where the templates of a table stand in `ids` (T,)."""
    known = np.full(int(ids[-1]) + 2, -1, np.int32)
    known[ids] = np.arange(len(ids))

    def place(templates: NDArray[np.int32]) -> Places:
        places = known[np.clip(templates, -1, len(known) - 1)]
        refuse(path, places < 0, "no face is listed of template", templates)
        return places

    return place(table["first"]), place(table["second"])


def _pairs(
    path: Path, templates: int, first: Places, second: Places, same: NDArray[np.bool_]
) -> TemplatePairs:
    key = first.astype(np.int64) * templates + second
    rising = np.sort(key)
    again = rising[1:] == rising[:-1]
    if again.any():
        rows = np.flatnonzero(key == rising[int(np.argmax(again))])
        before, after = (line_of(path, int(row)) for row in rows[:2])
        raise UserError(f"{path}:{after}: the pair of line {before} again; it would count twice")
    if same.all() or not same.any():
        raise UserError(f"{path}: has no {'impostor' if same.all() else 'genuine'} pairs; fetch it again")
    return TemplatePairs(first, second, same)
