"""Sets as InsightFace packs them: `train.rec`, with `train.idx`, `train.lst` and `property` beside it.

- `.rec` holds the image records (`recordio`). A picture's label is the first of its record's labels. MXNet's
  im2rec writes that one alone; InsightFace a second one behind it, whether the picture had been aligned.
- `.idx` has a line `key<TAB>offset` for each record. Without it the records are looked for in the whole file,
  and their key is the id in their header.
- Record 0 of InsightFace has no picture and the labels (a, b): the pictures are records 1 to a - 1, and each
  of the records a to b - 1, again without a picture, is a person and has the labels (first, end), whose
  pictures go from `first` to before `end`. im2rec writes no such records; its record 0 is a picture.
- `.lst` names the picture of each record, with tabs: im2rec's lines are `key label path`, InsightFace's are
  `aligned path label`, counted from 1, those that are neither aligned nor have landmarks left out.
- `property` has the line `people,height,width`; nothing here depends on it.

Sources: InsightFace, `src/data/face2rec2.py`, `src/common/face_preprocess.py` and
`recognition/arcface_torch/dataset.py`; MXNet, `tools/im2rec.py` and `python/mxnet/recordio.py`.
"""

import os
import warnings
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.data.faceset import FaceSet
from evenface.data.finished import require_finished
from evenface.data.pictures import Names, Pictures
from evenface.data.readers.record_list import Listed, read_lst
from evenface.data.recordio import INEXACT, LONGEST, MAGIC, heads, image_of, read_record, scan
from evenface.errors import UserError
from evenface.faces import UnreadableImage

Whole = NDArray[np.int64]
_AT_ONCE = 1 << 16
"""Records whose headers are looked at together."""
_AGAIN = "fetch the set again, or pack it again"


def takes_records(path: Path) -> bool:
    """Whether it is a `.rec` file, or a folder with `train.rec`."""
    return path.suffix == ".rec" or (path / "train.rec").is_file()


def read_records(path: Path, *, field: str = "data.root") -> FaceSet:
    """The set in a `.rec` file, or in the `train.rec` of a folder.

    The labels come from the ranges of InsightFace's identity records where these give each picture one
    person, and the pictures are not looked at; else each picture's own label counts. A person is called by
    the label, or by the folder of the pictures in the `.lst` where each label has a folder of its own.

    Raises:
        UserError: a file cannot be read, or is not as it should be; names the record and its first byte.
            It is a conversion that was not finished.
    """
    rec = path / "train.rec" if path.is_dir() else path
    require_finished(rec, field)
    try:
        records = _open(rec, field)
        pictures, labels = _by_ranges(records) or _by_headers(records)
        listed = read_lst(rec.with_suffix(".lst"), records.keys[pictures], field)
    except OSError as error:
        raise UserError(
            f"{field}: {error.filename or rec}: {error.strerror}; give a .rec file that can be read"
        ) from None
    numbers, people = np.unique(labels, return_inverse=True)
    names = [str(number) for number in numbers]
    pictured = RecordPictures(rec, records.size, records.keys[pictures], records.offsets[pictures])
    if listed is not None:
        pictured.names = listed.names
        people, names = _by_folder(people, names, listed)
    return FaceSet.numbered(pictured, people, names)


class RecordPictures(Pictures):
    """The pictures of these records, `keys` and `offsets` (N,), of a `.rec` file of `size` bytes."""

    def __init__(self, path: Path, size: int, keys: Whole, offsets: Whole):
        self.path, self.size, self.keys, self.offsets = path, size, keys, offsets
        self.names: Names | None = None
        self._file: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, index: int) -> str:
        """Its path in the `.lst`, or its record's key."""
        return str(self.keys[index]) if self.names is None else self.names[index]

    def place(self, index: int) -> str:
        """The file, its record and the byte where that starts."""
        return f"{self.path}, record {self.keys[index]}, byte {self.offsets[index]:,}"

    def encoded(self, index: int) -> bytes:
        """What its record holds behind the labels; raises UnreadableImage."""
        try:
            if self._file is None:  # reads give their place, so processes may share it after a fork
                self._file = os.open(self.path, os.O_RDONLY)
                weakref.finalize(self, os.close, self._file)
            record, _ = read_record(self._file, int(self.offsets[index]), self.size)
            return image_of(record)
        except OSError as error:
            raise UnreadableImage(self.place(index), error.strerror or "cannot be read") from None
        except ValueError as error:
            raise UnreadableImage(self.place(index), f"a broken record: {error}") from None


@dataclass(frozen=True, eq=False)
class _Records:
    """The R records of a file, by their keys."""

    path: Path
    field: str
    size: int
    keys: Whole
    """(R,), ascending."""
    offsets: Whole
    """(R,), multiples of 4 within the file."""
    words: NDArray[np.uint32]
    """The file."""

    def heads(self, rows: slice | Whole) -> NDArray[np.void]:
        """`heads` of these records.

        Raises:
            UserError: one is no record, or has no room for the header and labels that it says it has.
        """
        head = heads(self.words, self.offsets[rows])
        kind, length = head["part"] >> 29, head["part"] & LONGEST
        broken = (head["magic"] != MAGIC) | (kind > 1) | (length < 24 + 4 * head["flag"].astype(np.int64))
        broken |= self.offsets[rows] + 8 + length > self.size
        if broken.any():
            raise self.error(
                np.arange(len(self.keys))[rows][broken.argmax()], "is no whole record of a picture"
            )
        return head

    def error(self, row: np.int64, what: str) -> UserError:
        """What is wrong with a record."""
        place = f"record {self.keys[row]}, byte {self.offsets[row]:,}"
        return UserError(f"{self.field}: {self.path}, {place}: {what}; {_AGAIN}")


def _open(rec: Path, field: str) -> _Records:
    idx = rec.with_suffix(".idx")
    size = rec.stat().st_size
    try:
        keys, offsets = _read_idx(idx) if idx.exists() else (None, scan(rec))
    except ValueError as error:
        raise UserError(f"{field}: {rec if not idx.exists() else idx}: {error}; {_AGAIN}") from None
    cure = f"take the .idx that belongs to it, or remove {idx} to have the file searched"
    if (outside := (offsets < 0) | (offsets % 4 > 0) | (offsets + 8 > size)).any():
        offset = offsets[outside.argmax()]
        raise UserError(
            f"{field}: {idx}: no record of {rec} can start at byte {offset:,} of {size:,}; {cure}"
        )
    words = np.memmap(rec, "<u4", mode="r", shape=size // 4)
    if keys is None:
        ids = np.concatenate([heads(words, part)["id"] for part in _parts(offsets)])
        several = len(np.unique(ids)) < len(ids) or ids.max() >= 2**63
        keys = np.arange(len(ids)) if several else ids.astype(np.int64)
    order = np.argsort(keys, kind="stable")
    records = _Records(rec, field, size, keys[order], offsets[order], words)
    if (same := records.keys[1:] == records.keys[:-1]).any():
        raise UserError(f"{field}: {idx}: the key {records.keys[same.argmax()]} stands there twice; {cure}")
    last = records.offsets.argmax()
    file = os.open(rec, os.O_RDONLY)
    try:
        _, end = read_record(file, int(records.offsets[last]), size)
    except ValueError as error:
        raise records.error(last, f"the file's last record is not whole: {error}") from None
    finally:
        os.close(file)
    if end != size:
        raise UserError(
            f"{field}: {rec} goes on to byte {size:,} after the last record of its .idx, which ends at "
            f"{end:,}; {cure}"
        )
    return records


def _read_idx(idx: Path) -> tuple[Whole, Whole]:
    """The keys and offsets of an `.idx`, in its order; raises ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is no line, which is an error here
        lines = np.loadtxt(idx, dtype=np.int64, delimiter="\t", comments=None, ndmin=2, encoding="utf-8")
    if lines.shape[1] != 2 or not len(lines) or lines.min() < 0:
        raise ValueError("expected a line `key<TAB>offset` for each record, whole numbers from 0")
    return lines[:, 0].copy(), lines[:, 1].copy()


def _by_ranges(records: _Records) -> tuple[Whole, Whole] | None:
    """The rows of the pictures and their labels by InsightFace's identity records.

    None where there are none, or they do not give each picture exactly one person.
    """
    if records.keys[0] != 0:
        return None
    if (bounds := _ranges(records.heads(slice(1)))) is None:
        return None
    first, end = (int(bound) for bound in bounds[0])
    if not 1 < first < end <= len(records.keys) or records.keys[end - 1] != end - 1:
        return None
    people = _ranges(np.concatenate([records.heads(first + part) for part in _parts(np.arange(end - first))]))
    if people is None:
        return None
    starts, ends = people.T
    if starts[0] != 1 or ends[-1] != first or (starts[1:] != ends[:-1]).any() or (starts > ends).any():
        return None
    counts = ends - starts
    labels = _labels(records, starts[counts > 0])
    if labels.max() >= INEXACT:
        labels = np.arange(len(labels))
    return np.arange(1, first), np.repeat(labels, counts[counts > 0])


def _ranges(head: NDArray[np.void]) -> Whole | None:
    """The ranges (R, 2) of records without a picture; None if one is not so, or they are not exact."""
    bounds = head["labels"]
    if (_has_picture(head) | (head["flag"] != 2)).any() or not ((bounds >= 1) & (bounds < INEXACT)).all():
        return None
    return bounds.astype(np.int64) if (bounds == np.floor(bounds)).all() else None


def _has_picture(head: NDArray[np.void]) -> NDArray[np.bool_]:
    """False where nothing follows the labels, of which there are some."""
    bare = 24 + 4 * head["flag"].astype(np.int64)
    return np.asarray((head["flag"] == 0) | (head["part"] != bare))


def _by_headers(records: _Records) -> tuple[Whole, Whole]:
    """The rows of the pictures, which are all the records that hold something, and their own labels."""
    everything = np.arange(len(records.keys))
    rows = np.concatenate([part[_has_picture(records.heads(part))] for part in _parts(everything)])
    if not len(rows):
        raise UserError(f"{records.field}: {records.path} holds no picture; {_AGAIN}")
    labels = np.concatenate([_labels(records, part) for part in _parts(rows)])
    if (inexact := labels >= INEXACT).any():
        row = rows[inexact.argmax()]
        raise records.error(
            row, f"labels from {INEXACT:,} on are not exact in a .rec without identity records"
        )
    return rows, labels


def _labels(records: _Records, rows: Whole) -> Whole:
    head = records.heads(rows)
    labels = np.where(head["flag"] > 0, head["labels"][:, 0], head["label"])
    if (wrong := ~((labels >= 0) & (labels < 2**62) & (labels == np.floor(labels)))).any():
        at = wrong.argmax()
        raise records.error(rows[at], f"its label is {labels[at]}; expected a whole number from 0")
    return labels.astype(np.int64)


def _by_folder(people: Whole, names: list[str], listed: Listed) -> tuple[Whole, list[str]]:
    """The people by their folders if each has one of their own, else as they are."""
    pairs = np.unique(people * len(listed.folders) + listed.folder)
    if len(pairs) == len(names) == len(listed.folders):
        return listed.folder, listed.folders
    return people, names


def _parts(rows: Whole) -> list[Whole]:
    return [rows[at : at + _AT_ONCE] for at in range(0, len(rows), _AT_ONCE)]
