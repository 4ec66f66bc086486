"""The forms in which sets of labelled pictures are written, a file each."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from evenface.data.writers.folder import FolderWriter
from evenface.data.writers.record import RecordWriter
from evenface.data.writers.shards import ShardWriter


class Writer(Protocol):
    """Writes a set, picture by picture, so that it can be stopped at any moment and gone on with."""

    def add(self, label: int, name: str, content: bytes) -> None:
        """Append an encoded picture of person `label`, as it is; `name` is `<person>/<its own name>`.

        Raises:
            UnreadableImage: it is none.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Where the writing stands, to be kept as JSON; all that was added is on the disk by now."""
        ...

    def close(self) -> None:
        """Finish the set."""
        ...


class Form(NamedTuple):
    """A form of storage to write."""

    writer: Callable[[Path, Sequence[str], dict[str, Any] | None], Writer]
    """Begins a set at a path, of people of these names by label; goes on from a state if one is given."""
    what: str
    """What it is, in words."""


WRITERS: dict[str, Form] = {
    "folder": Form(FolderWriter, "a folder of people, DST/<person>/<image>"),
    "shards": Form(ShardWriter, "tar shards as webdataset reads them, DST/shard-000000.tar and so on"),
    "rec": Form(RecordWriter, "records as InsightFace packs them, NAME.rec with .idx, .lst and property"),
}
"""Every form that a set can be written in."""
