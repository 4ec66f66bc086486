"""The one exception for a mistake that the user can mend, and the sentences that recur."""

from collections.abc import Iterable
from difflib import get_close_matches


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
