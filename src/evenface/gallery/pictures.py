"""All pictures below a folder, whoever is on them."""

import os
from pathlib import Path

from evenface.data.finished import require_finished
from evenface.data.readers.folder import SUFFIXES
from evenface.errors import UserError
from evenface.evaluation.images import ImageSet
from evenface.faces import read_image


def pictures_below(root: Path, field: str) -> ImageSet:
    """The pictures below a folder at any depth, in the order of their names, as they are.

    Links to folders are followed, each folder once. What begins with a dot is not looked at.

    Args:
        root: the folder.
        field: what the user calls it, for errors.

    Raises:
        UserError: it is no folder or has no pictures, a folder in it cannot be opened, or it is a conversion
            that was not finished.
    """

    def closed(error: OSError) -> None:
        raise UserError(
            f"{field}: {error.filename} cannot be opened ({error.strerror}); change its permissions"
        ) from None

    if not root.is_dir():
        raise UserError(f"{field}: {root} is not a folder")
    require_finished(root, field)
    names: list[str] = []
    seen: set[str] = set()
    for folder, inner, files in os.walk(root, onerror=closed, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # by another link, which may lead in a circle
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        found = [name for name in files if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
        names += [(Path(folder) / name).relative_to(root).as_posix() for name in found]
    if not names:
        raise UserError(f"{field}: no pictures below {root}; they end in {', '.join(SUFFIXES)}")
    names.sort()
    return ImageSet(root, names, lambda index: read_image(root / names[index]))
