"""The conversion itself: reads ahead, writes, and notes how far it has come."""

import json
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from evenface.convert.checksum import Checksum, Progress
from evenface.convert.journal import Journal
from evenface.convert.pictures import read_ahead
from evenface.data import Corrupt, FaceSet
from evenface.data.finished import CHECKSUM, JOURNAL, beside
from evenface.data.writers import WRITERS
from evenface.errors import UserError, unknown
from evenface.faces import UnreadableImage
from evenface.files import whole

NOTE_EVERY = 5.0
"""Seconds between two notes in the journal: what a kill costs at most."""
TOGETHER = 16
"""Blocks of the source, drawn at random, whose pictures are shuffled together; see `Pictures.blocks`."""


@dataclass(frozen=True)
class ConvertConfig:
    """How a set is converted."""

    to: str
    """The form, one of `WRITERS`."""
    check: bool = False
    """Decode each picture; without, its header is read."""
    corrupt: Corrupt = "stop"
    """At a picture that cannot be read: stop, or leave it out and go on."""
    shuffle: int = 0
    """The seed of the pictures' order in shards, which are read one after another, so that each holds many
    people; 0 or more. Other forms are written person by person."""

    def __post_init__(self) -> None:
        if self.to not in WRITERS:
            raise unknown("--to", self.to, WRITERS)
        if self.shuffle < 0:
            raise UserError(f"--shuffle: {self.shuffle} is no seed; use 0 or more")


@dataclass
class Conversion:
    """What came of it."""

    checksum: Checksum
    """Of the pictures that were written."""
    skipped: list[str]
    """A sentence for each picture that was left out: its place, and why."""
    already: int
    """Pictures of the source that were done when it began: all of them if there was nothing left to do."""


def convert(
    faces: FaceSet, output: Path, config: ConvertConfig, *, source: str = "", progress: Progress | None = None
) -> Conversion:
    """Write a set in another form, its pictures' bytes as they are, and its checksum beside it.

    A conversion that was stopped, however it was, goes on when it is called again alike.

    Args:
        faces: what to write.
        output: where: a place that is free, or holds a part of this conversion.
        config: how.
        source: where the set is from, as the journal calls it.
        progress: is told how far it is.

    Raises:
        UnreadableImage: at a picture, with `corrupt="stop"`.
        UserError: `output` is taken by something else, or cannot be written.
    """
    about = {"source": source, "set": fingerprint(faces), "to": config.to, "check": config.check}
    if config.to == "shards":
        about["shuffle"] = config.shuffle
    path = beside(output, JOURNAL)
    try:
        _require_free(output, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(Journal(path, about, output)) as journal:
            return _write(faces, output, config, journal, progress)
    except OSError as error:
        why = error.strerror or error
        raise UserError(
            f"{error.filename or output}: {why}; mend this and repeat the call: it goes on"
        ) from None


def _write(
    faces: FaceSet, output: Path, config: ConvertConfig, journal: Journal, progress: Progress | None
) -> Conversion:
    total, done, state = Checksum(), 0, None
    if journal.positions:
        last = journal.positions[-1]
        total, done, state = Checksum(last["pictures"], int(last["sum"], 16)), last["done"], last["state"]
    skipped = [one for position in journal.positions for one in position["skipped"]]
    result = Conversion(total, skipped, done)
    if done == len(faces) and beside(output, CHECKSUM).exists():
        return result
    writer = WRITERS[config.to].writer(output, faces.identities, state)
    noted, told = monotonic(), len(skipped)

    def note() -> None:
        nonlocal noted, told
        state = writer.state()
        position = {"done": done, "pictures": total.pictures, "sum": str(total), "skipped": skipped[told:]}
        journal.note({**position, "state": state})
        noted, told = monotonic(), len(skipped)

    if state is None:
        note()
    for picture in read_ahead(faces, _order(faces, config)[done:], check=config.check):
        try:
            if isinstance(picture, UnreadableImage):
                raise picture
            name = f"{faces.identities[picture.label]}/{picture.name}"
            writer.add(picture.label, name, picture.content)
            total.add(picture)
        except UnreadableImage as error:
            if config.corrupt == "stop":
                note()
                raise
            skipped.append(str(error))
        done += 1
        if progress is not None:
            progress(done, len(faces))
        if monotonic() - noted > NOTE_EVERY:
            note()
    note()
    writer.close()
    _record(beside(output, CHECKSUM), total, config.to)
    return result


def _order(faces: FaceSet, config: ConvertConfig) -> NDArray[np.int64]:
    if config.to != "shards":
        return np.argsort(faces.labels, kind="stable")
    # Beside the generators of training's hold-out (1), order (2) and augmentation (3).
    rng = np.random.default_rng((4, config.shuffle))
    order = rng.permutation(len(faces))
    if faces.pictures.blocks is None:
        return order
    blocks = np.unique(faces.pictures.blocks, return_inverse=True)[1]
    together = rng.permutation(blocks.max() + 1)[blocks] // TOGETHER
    return order[np.argsort(together[order], kind="stable")]


def fingerprint(faces: FaceSet) -> str:
    """SHA-256 of a set's people, labels and pictures' names in order; the pictures are not read."""
    found = sha256(json.dumps(faces.identities).encode() + faces.labels.tobytes())
    for index in range(len(faces)):
        found.update(faces.pictures.name(index).encode("utf-8", "surrogatepass") + b"\0")
    return found.hexdigest()


def _require_free(output: Path, journal: Path) -> None:
    """Raise UserError if there is something that is not of a conversion."""
    if journal.exists():
        return
    if output.is_dir() and any(output.iterdir()):
        raise UserError(f"-o: {output} is not empty; name a new folder, or delete it")
    if output.is_file() or (output.is_dir() and output.suffix.lower() == ".rec"):
        raise UserError(f"-o: {output} is there already; name another place, or delete it")


def _record(path: Path, total: Checksum, to: str) -> None:
    text = {"sha256": str(total), "pictures": total.pictures, "form": to}
    with whole(path) as file:
        file.write_text(json.dumps(text, indent=2) + "\n")
