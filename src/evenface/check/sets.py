"""The sets that are checked: which pictures, and whose."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from evenface.check.names import is_name
from evenface.data import read_folder
from evenface.data.pictures import Pictures
from evenface.data.readers import READERS
from evenface.data.readers.folder import SUFFIXES
from evenface.errors import UserError
from evenface.evaluation.benchmark import Benchmark
from evenface.evaluation.images import Image, ImageSet
from evenface.evaluation.protocols.pairs import read_lines
from evenface.faces import read_image

NOBODY = -1
"""The person of a picture that is in nobody's folder."""


@dataclass(frozen=True, eq=False)
class PictureSet:
    """N pictures of P people."""

    label: str
    """As printed."""
    root: Path
    """What the names are relative to."""
    names: Sequence[str]
    """(N,) with / between folders."""
    person: NDArray[np.int32]
    """(N,) an index into `people`, or NOBODY."""
    people: list[str]
    """(P,) sorted."""
    training: bool = False
    """Whether it is trained on, so that the other sets must not share people with it."""
    crops: Sequence[tuple[ImageSet, int]] = ()
    """(N,) how a protocol reads each picture; empty for a set that no protocol names."""
    packed: Pictures | None = None
    """The N pictures of a set in another form than a folder: .rec, shards."""
    crop: str = ""
    """How a protocol came to its crops, in words."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """How many files of each ending are no pictures by their names."""

    def __len__(self) -> int:
        """N."""
        return len(self.names)

    def file(self, index: int) -> Path:
        """The file of picture `index`, or the one that it lies in among others: a .bin, a video."""
        if self.crops:
            images, number = self.crops[index]
            return images.path(number)
        return self.root / self.names[index]

    def is_alone(self, index: int) -> bool:
        """Whether picture `index` has a file of its own."""
        return self.packed is None and self.file(index).suffix.lower() in SUFFIXES

    def read(self, index: int) -> Image:
        """Picture `index` as training or the protocol sees it, RGB uint8 (height, width, 3).

        Raises:
            UserError: it cannot be read.
        """
        if self.packed is not None:
            return self.packed[index]
        if self.crops:
            images, number = self.crops[index]
            return images.read(number)
        return read_image(self.file(index))

    def path(self, index: int) -> str:
        """What to call picture `index`."""
        if self.packed is not None:
            return self.packed.place(index)
        file = self.file(index)
        return str(file) if self.is_alone(index) else f"{file}: {self.names[index]}"

    def counts(self) -> NDArray[np.int64]:
        """Pictures of each person, int64 (P,)."""
        return np.bincount(self.person[self.person >= 0], minlength=len(self.people)).astype(np.int64)


def open_set(
    path: Path, *, training: bool = False, without: Collection[str] = (), field: str = ""
) -> PictureSet:
    """The pictures of a folder, or of a set of people in any other form that training reads.

    `without` leaves out people, and pictures `person/file.jpg`, by name.

    Raises:
        UserError: as `folder_set` and `evenface.data.readers.read`, whose errors begin with `field`.
    """
    name, reader = next((name, reader) for name, reader in READERS.items() if reader.takes(path))
    if name == "folder":
        return folder_set(path, training=training, without=without)
    faces = reader.read(path, field=field or str(path)).without(without)
    if not len(faces):
        raise UserError(f"{path}: no pictures left in it; --exclude names everybody")
    names = [faces.pictures.name(index) for index in range(len(faces))]
    person = faces.labels.astype(np.int32)
    return PictureSet(
        str(path), path, names, person, faces.identities, training=training, packed=faces.pictures
    )


def folder_set(root: Path, *, training: bool = False, without: Collection[str] = ()) -> PictureSet:
    """Every picture below a folder; those at root/<person>/<image> are that person's.

    Hidden files and folders are passed over, as training does. `without` leaves out people, and pictures
    `person/file.jpg`, by name.

    Raises:
        UserError: no folder, no picture in it, one inside that cannot be opened, or, for training, no picture
            at root/<person>/<image>.
    """
    if not root.is_dir():
        raise UserError(f"{root}: not a folder; give a folder of pictures")
    passed_over: Counter[str] = Counter()
    # What `evenface align` shows of its work is none of the set's pictures.
    shown = "sheet.jpg" if (root / "align.json").exists() else None
    names = [
        name
        for name in _pictures(root, passed_over)
        if _owner(name) not in without and name not in without and name != shown
    ]
    owners = [_owner(name) for name in names]
    if training and not any(owners):
        read_folder(root, field="--train")  # says what is wrong with it
    if not names:
        raise UserError(f"{root}: no pictures in it ({' '.join(SUFFIXES)}); give another folder")
    return PictureSet(str(root), root, names, *_by_person(owners), training=training, passed_over=passed_over)


def benchmark_sets(benchmarks: Iterable[Benchmark]) -> list[PictureSet]:
    """The pictures that protocols name; protocols on pictures of the same place share a set."""
    by_place: dict[Path, list[Benchmark]] = {}
    for benchmark in benchmarks:
        by_place.setdefault(benchmark.images.inside or benchmark.images.root, []).append(benchmark)
    sets = []
    for place, together in by_place.items():
        label = ", ".join(dict.fromkeys(benchmark.name for benchmark in together))
        crops: dict[str, tuple[ImageSet, int]] = {}
        for images in (benchmark.images for benchmark in together):
            for number, name in enumerate(images.names):
                crops.setdefault(name, (images, number))
        who = [""] * len(crops) if place.is_file() else _who(place, crops)
        rule = ", ".join(dict.fromkeys(one.conventions.get("crop", "") for one in together))
        pictures = list(crops.values())
        sets.append(PictureSet(label, place, list(crops), *_by_person(who), crops=pictures, crop=rule))
    return sets


def _owner(name: str) -> str:
    """The person of a picture by training's rule, "" for nobody."""
    person, _, file = name.partition("/")
    return person if file and "/" not in file else ""


def _who(root: Path, names: Iterable[str]) -> Iterator[str]:
    """The name of the person on each picture of a benchmark, "" where nobody says.

    It is the innermost folder that is a name, or, of a picture in no folder, the file's name before a number.
    """
    cfp = root / "Data" / "list_name.txt"
    people = read_lines(cfp) if cfp.is_file() else []
    for name in names:
        *folders, file = PurePosixPath(name).parts
        if people and folders[:2] == ["Data", "Images"]:
            number = int(folders[2]) if len(folders) > 2 and folders[2].isdecimal() else 0
            yield people[number - 1] if 1 <= number <= len(people) else ""
        elif folders:
            yield next((folder for folder in reversed(folders) if is_name(folder)), "")
        else:
            stem = PurePosixPath(file).stem.rstrip("0123456789").rstrip("_-. ")
            yield stem if is_name(stem) else ""


def _by_person(owners: Iterable[str]) -> tuple[NDArray[np.int32], list[str]]:
    owners = list(owners)
    people = sorted(set(owners) - {""})
    number = {name: i for i, name in enumerate(people)} | {"": NOBODY}
    return np.array([number[name] for name in owners], dtype=np.int32), people


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be opened ({error.strerror}); change its permissions")


def _pictures(root: Path, passed_over: Counter[str]) -> Iterator[str]:
    """The names of all pictures below a folder, in order; counts the endings of the other files."""
    seen = set()
    for folder, inner, files in os.walk(root, onerror=_refuse, followlinks=True):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in seen:  # a link that leads back up
            inner.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        below = Path(folder).relative_to(root).as_posix()
        for file in sorted(files):
            if file.startswith("."):
                continue
            if file.lower().endswith(SUFFIXES):
                yield file if below == "." else f"{below}/{file}"
            else:
                passed_over[Path(file).suffix.lower() or file] += 1
