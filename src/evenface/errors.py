"""The one exception for a mistake that the user can mend, and the sentences that recur."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class UserError(ValueError):
    """Bad input: its message names the field or file and the cure; the command line prints it alone."""


def unknown(field: str, value: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not in a table: says the nearest one, and all that there are."""
    names = list(known)
    near = get_close_matches(value, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"{field}: {value!r} is not known; {hint}choose from {', '.join(names)}")


def require_range(field: str, value: float, low: float, high: float) -> None:
    """Raise UserError unless low <= value <= high (which a NaN never is)."""
    if not low <= value <= high:
        raise UserError(f"{field}: {value} is outside its range, {low:g} to {high:g}")


def require_writable(field: str, path: Path) -> None:
    """Raise UserError unless a file can be written at `path`: before hours of work, not after."""
    if path.is_dir():
        raise UserError(f"{field}: {path} is a folder; name a file")
    if not path.parent.is_dir():
        raise UserError(f"{field}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UserError(f"{field}: {path} cannot be written; name another place, or change its permissions")


def make_folder(field: str, path: Path) -> None:
    """Make a folder to write in, or raise UserError: before hours of work, not after."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{field}: {path} cannot be made ({error.strerror}); name another place") from None
    if not os.access(path, os.W_OK):
        raise UserError(f"{field}: {path} cannot be written; name another place, or change its permissions")
