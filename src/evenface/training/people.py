"""The names of the people of a run, by class, in its folder: a class is what it was when the run began."""

import json
from pathlib import Path

from evenface.data import FaceSet
from evenface.errors import UserError
from evenface.files import whole

_NAMES = "identities.json"


def write_identities(run: Path, people: list[str]) -> None:
    """Write the names, a JSON list; the file is there whole or not at all."""
    run.mkdir(parents=True, exist_ok=True)
    with whole(run / _NAMES) as file:
        file.write_text(json.dumps(people, indent=0))


def read_identities(run: Path) -> list[str]:
    """Who the classes of a run are.

    Raises:
        UserError: the run has no list of its people, or one that cannot be read.
    """
    try:
        names: list[str] = json.loads((run / _NAMES).read_text())
    except FileNotFoundError:
        raise UserError(f"{run / _NAMES}: is missing; bring it back: it says who each class is") from None
    except ValueError as error:
        raise UserError(f"{run / _NAMES}: not a list of people ({error}); bring it back") from None
    return names


def require_same_people(run: Path, faces: FaceSet, images: int, cure: str, rivals: int = 0) -> None:
    """Refuse pictures that are not those the run began with.

    Args:
        run: folder of the run.
        faces: what there is now.
        images: how many there were.
        cure: what to do, for the message.
        rivals: how many of the run's classes, the last ones, never had pictures.

    Raises:
        UserError: other people, another number of pictures, or the run has no list of its people.
    """
    identities = read_identities(run)
    pictured = identities[: len(identities) - rivals]
    if pictured != faces.identities or images != len(faces):
        raise UserError(
            f"{run}: was trained on {images} images of {len(pictured)} people, and "
            f"now there are {faces}, or others; {cure}"
        )
