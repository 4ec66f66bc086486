"""One command at a time in a folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evenface.errors import UserError


@contextmanager
def alone(folder: Path, command: str) -> Iterator[None]:
    """Hold the folder, made if absent, so that a second such command does not write into it meanwhile.

    The system lets go of it however the process ends.

    Args:
        folder: of a run, or of a comparison.
        command: as the user calls it, such as `evenface train`.

    Raises:
        UserError: another one holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another {command} is at work here; let it end first") from None
        yield
