"""A run whose numbers are no longer numbers."""

from collections.abc import Sequence
from pathlib import Path

from evenface.errors import UserError
from evenface.training import checkpoint


class Diverged(UserError):
    """The loss, an embedding or a weight is NaN or infinite: says where, and what to do.

    Args:
        what: became NaN or infinite.
        step: of the training.
        rank: of the process.
        files: the places of the batch's pictures; they are listed in a file of the run's folder.
        folder: the run's.
        saved: step of the last checkpoint, None before the first.
    """

    def __init__(
        self, what: str, step: int, rank: int, files: Sequence[str], folder: Path, saved: int | None
    ):
        listing = folder / f"diverged-step-{step}-rank-{rank}.txt"
        listing.write_text("".join(f"{file}\n" for file in files), encoding="utf-8", errors="surrogateescape")
        good = (
            "there is no checkpoint yet"
            if saved is None
            else f"the last good checkpoint is {checkpoint.folder(folder, saved)}"
        )
        super().__init__(
            f"{what} became NaN or infinite at step {step}, in the batch of {files[0]} and {len(files) - 1} "
            f"other files, listed in {listing}; {good}. Lower train.learning_rate, set train.clip, or use "
            "train.precision bf16 or float32"
        )
