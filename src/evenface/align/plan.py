"""What is to be done with each picture: all that a worker has to know."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from evenface.errors import UserError
from evenface.faces.align import Points
from evenface.faces.landmarks import Order

Method = Literal["mtcnn", "yunet", "points", "fixed"]
Choice = Literal["central", "largest", "surest"]


@dataclass(frozen=True)
class Fixed:
    """Five points that hold for every picture of one size."""

    height: int
    width: int
    points: Points
    """(5, 2) x, y, pixels."""


@dataclass(frozen=True)
class Plan:
    """From which folder to which, how faces are found, and what is written."""

    source: Path
    output: Path
    method: Method
    height: int
    width: int
    quality: int | None
    """Of JPEG, 1 to 100; None writes PNG."""
    face: Choice
    longest: int
    """Pixels of the longer side of what a detector sees."""
    score: float
    """The least of a face, of a detector."""
    device: str
    weights: Path | None
    points: Path | None
    """A list, or a folder of files."""
    order: Order | None
    fixed: Fixed | None

    @property
    def suffix(self) -> str:
        """Of the crops."""
        return ".png" if self.quality is None else ".jpg"

    def settings(self) -> dict[str, Any]:
        """All that changes what is written, as JSON has it: only with the same can a folder be gone on with.

        Raises:
            UserError: a file cannot be read.
        """
        found: dict[str, Any] = {
            "source": str(self.source.resolve()),
            "method": self.method,
            "size": f"{self.height}x{self.width}",
            "format": "PNG" if self.quality is None else f"JPEG {self.quality}",
        }
        if self.method in ("mtcnn", "yunet"):
            found |= {"face": self.face, "longest": self.longest, "score": self.score}
        if self.weights is not None:
            found["weights"] = _digest(self.weights)
        if self.points is not None:
            found["points"] = _digest(self.points) if self.points.is_file() else str(self.points.resolve())
            found["order"] = self.order
        if self.fixed is not None:
            fixed = self.fixed
            found["fixed"] = [fixed.height, fixed.width, *fixed.points.ravel().tolist()]
        return found


def _digest(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
