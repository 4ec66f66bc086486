"""One command at a time in a folder."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evenface.errors import UserError, make_folder


@contextmanager
def alone(folder: Path, command: str) -> Iterator[None]:
    """Hold the folder, made if absent, so that a second such command does not write into it meanwhile.

    The system lets go of it however the process ends. A folder in which nothing was written is removed.

    Args:
        folder: of a run, or of a comparison.
        command: as the user calls it, such as `evenface train`.

    Raises:
        UserError: another one holds it, or it cannot be written.
    """
    make_folder("-o", folder)
    with open(folder / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another {command} is at work here; let it end first") from None
        try:
            yield
        finally:
            if [path.name for path in folder.iterdir()] == ["lock"]:
                shutil.rmtree(folder)
