"""A set as InsightFace packs it, written: `train.rec`, `train.idx`, `train.lst` and `property`."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from evenface.data.recordio import INEXACT, image_record
from evenface.errors import UserError
from evenface.faces import UnreadableImage, decode_image


class RecordWriter:
    """Writes a `.rec` file that InsightFace's training and MXNet read; `readers.record` tells of its form.

    Pictures come person by person, in the labels' order, and are records 1 to N. Record 0 and an identity
    record for each person follow them when it is closed. The `.lst` has im2rec's form, with the paths
    `<person>/<name>`. The `property` gives the size of the first picture that can be decoded.

    Args:
        path: the `.rec` file, or a folder for `train.rec`; made if it is not there.
        identities: the names of the people, by label.
        state: what `state` gave, to go on from there; what was written after it is written again.

    Raises:
        UserError: a file is in the way, or not as long as it was, or there are too many people.
    """

    def __init__(self, path: Path, identities: Sequence[str], state: dict[str, Any] | None = None):
        rec = path if path.suffix == ".rec" else path / "train.rec"
        if len(identities) >= INEXACT:
            raise UserError(f"{rec}: a .rec file takes fewer than {INEXACT:,} people; choose another form")
        if nested := next((name for name in identities if "/" in name), None):
            raise UserError(
                f"{rec}: the person {nested!r} has a / in the name, which a .lst takes for a folder; choose "
                "another form, or rename them"
            )
        rec.parent.mkdir(parents=True, exist_ok=True)
        self._property = rec.parent / "property"
        self._sized = state is not None and self._property.exists()
        self._identities = identities
        self._counts = np.zeros(len(identities), dtype=np.int64)
        self._label, self._next = 0, 1
        files = [rec, rec.with_suffix(".idx"), rec.with_suffix(".lst")]
        sizes = (state["rec"], state["idx"], state["lst"]) if state else (None, None, None)
        self._rec, self._idx, self._lst = (_opened(*one) for one in zip(files, sizes, strict=True))
        if state:
            with files[2].open("rb") as lines:
                for line in lines:
                    self._label = int(line.split(b"\t")[1])
                    self._counts[self._label] += 1
            self._next += int(self._counts.sum())

    def add(self, label: int, name: str, content: bytes) -> None:
        """Write picture `name` of person `label`.

        Raises:
            ValueError: an earlier person returns.
            UserError: it is too long for a record, or a name has a character that would end its line.
        """
        if label < self._label:
            raise ValueError(f"person {label} comes after person {self._label}")
        person = self._identities[label]
        path = f"{person}/{name.rpartition('/')[2]}"
        if re.search("[\t\r\n\ud800-\udc7f\udd00-\udfff]", path):  # the surrogates left stand for bytes
            what = "a tab, a new line, or what is no text"
            raise UserError(f"{self._lst.name}: {path!r} has {what}, so no line can name it; rename it")
        if not self._sized:
            with suppress(UnreadableImage):  # a broken picture is kept as it is: its readers will tell
                height, width, _ = decode_image(content, path).shape
                self._property.write_text(f"{len(self._identities)},{height},{width}")
                self._sized = True
        try:
            self._record([label], self._next, content)
        except ValueError as error:
            raise UserError(f"{self._rec.name}: {path}: {error}; leave it out") from None
        self._lst.write(f"{self._next}\t{label}\t{path}\n".encode("utf-8", "surrogateescape"))
        self._label, self._next = label, self._next + 1
        self._counts[label] += 1

    def state(self) -> dict[str, Any]:
        """Where the writing stands, once all of it is on the disk."""
        for file in (self._rec, self._idx, self._lst):
            file.flush()
            os.fsync(file.fileno())
        return {"rec": self._rec.tell(), "idx": self._idx.tell(), "lst": self._lst.tell()}

    def close(self) -> None:
        """Finish: write record 0 and the identity records."""
        ends = 1 + np.cumsum(self._counts)
        # Not exact from 2**24 on; a reader may then miss a picture, but meets none too many.
        first = float(np.float32(self._next))
        if first > self._next:
            first = float(np.nextafter(np.float32(first), np.float32(0)))
        self._record([first, self._next + len(ends)], 0, b"")
        for person, (count, end) in enumerate(zip(self._counts, ends, strict=True)):
            self._record([end - count, end], self._next + person, b"")
        for file in (self._rec, self._idx, self._lst):
            file.close()

    def _record(self, labels: Sequence[float], key: int, content: bytes) -> None:
        record = image_record(labels, key, content)
        self._idx.write(f"{key}\t{self._rec.tell()}\n".encode())
        self._rec.write(record)


def _opened(path: Path, size: int | None) -> Any:
    """A new file, or one cut back to `size`."""
    if size is None:
        try:
            return path.open("xb")
        except FileExistsError:
            raise UserError(f"{path} is there already; name another place, or remove it") from None
    if not path.is_file() or path.stat().st_size < size:
        raise UserError(f"{path}: shorter than it was; delete {path.parent} and begin anew")
    file = path.open("r+b")
    file.truncate(size)
    file.seek(size)
    return file
