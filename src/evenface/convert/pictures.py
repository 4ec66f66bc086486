"""A set's encoded pictures, read ahead in threads, with the names that they have in every form."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from evenface.data import FaceSet
from evenface.faces import UnreadableImage, decode_image
from evenface.faces.announced import announced

THREADS = 4
"""They read, hash and, where it is asked for, decode; more than the cores, since reading waits."""
CHUNK = 8
"""Pictures that a thread reads in one go."""

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PNM": (".pgm", ".ppm", ".pbm", ".pnm"),
}
"""By the kind of picture, as `announced` calls it: the suffix that it is given, and others it may have."""

T = TypeVar("T")


class Picture(NamedTuple):
    """An encoded picture on its way."""

    label: int
    name: str
    """The last part of its name in the set, with the suffix of what it is."""
    content: bytes
    digest: int
    """SHA-256 of person, name and content: this picture's part of the `Checksum`."""


def read_ahead(
    faces: FaceSet, rows: NDArray[np.int64], *, check: bool = False, names: dict[str, str] | None = None
) -> Iterator[Picture | UnreadableImage]:
    """Pictures `rows` of a set in this order, at most some dozens of them in memory.

    A picture whose kind is not known is unreadable; with `check` so is one that does not decode.

    Args:
        names: what people, and pictures as `person/picture`, are called where not as the set calls them.
    """

    def read(row: int) -> Picture | UnreadableImage:
        label = int(faces.labels[row])
        place = faces.pictures.place(row)
        identity, name = faces.identities[label], faces.pictures.name(row).rpartition("/")[2]
        if names:
            name, identity = names.get(f"{identity}/{name}", name), names.get(identity, identity)
        try:
            content = faces.pictures.encoded(row)
            if check:
                decode_image(content, place)
            name = with_suffix(name, content)
        except UnreadableImage as error:
            return error
        except ValueError as error:
            return UnreadableImage(place, str(error))
        return Picture(label, name, content, digest(identity, name, content))

    return _ahead(read, rows)


def with_suffix(name: str, content: bytes) -> str:
    """The name with the suffix of what its content is.

    Raises:
        ValueError: it is no picture of a kind that is read.
    """
    suffixes = SUFFIXES[announced(content)[0]]
    if name.lower().endswith(suffixes):
        return name
    for others in SUFFIXES.values():
        for other in others:
            if name.lower().endswith(other):
                return name[: -len(other)] + suffixes[0]
    return name + suffixes[0]


def digest(identity: str, name: str, content: bytes) -> int:
    """SHA-256 of the SHA-256 of each of the three, so that none can pass for a part of another."""
    parts = (identity.encode("utf-8", "surrogatepass"), name.encode("utf-8", "surrogatepass"), content)
    return int.from_bytes(sha256(b"".join(sha256(part).digest() for part in parts)).digest(), "big")


def _ahead(read: Callable[[int], T], rows: NDArray[np.int64]) -> Iterator[T]:
    """`read` of each row in order, by threads that are a few chunks ahead."""
    chunks: deque[Future[list[T]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for start in range(0, len(rows), CHUNK):
                part = rows[start : start + CHUNK].tolist()
                chunks.append(pool.submit(lambda part: [read(row) for row in part], part))
                if len(chunks) > 2 * THREADS:
                    yield from chunks.popleft().result()
            while chunks:
                yield from chunks.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
