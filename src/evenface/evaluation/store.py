"""Embeddings in a folder: computed once, scored again in seconds, or brought along from any other program.

For each set of pictures, such as `lfw`, there is

- `lfw.npy`: float32 (N, D), raw embeddings, written by `numpy.save`;
- `lfw.txt`: N lines, the pictures' names in the same order, relative to the set's folder, with / in them;
- `lfw.json`: how they came about. It may be absent: then nobody knows, and the results say so.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from evenface.errors import UserError, make_folder
from evenface.evaluation.benchmark import Embeddings
from evenface.evaluation.embed import Embedder, Flip, embed_batches
from evenface.evaluation.feature_files import new_rows
from evenface.evaluation.images import ImageSet, digest
from evenface.files import whole
from evenface.progress import Progress

_SAVE_EVERY = 20  # batches between two notes of how far it came, for one that is killed


def slug(name: str) -> str:
    """A set's or a model's name as a file name: "CFP-FP" is cfp-fp, "runs/mine" is runs-mine."""
    return "-".join("".join(c if c.isalnum() or c in "._" else " " for c in name.lower()).split()).strip(".-")


def stored_sets(folder: Path) -> list[str]:
    """The sets that a folder has embeddings of, sorted."""
    return sorted(path.stem for path in folder.glob("*.npy") if path.with_suffix(".txt").is_file())


def read_stored(folder: Path, name: str, wanted: Sequence[str]) -> tuple[Embeddings, dict[str, Any]]:
    """Embeddings (N, D) of the `wanted` pictures in their order, and what the JSON says, {} without one.

    Memory-mapped where the file has just these pictures in this order.

    Raises:
        UserError: a file is missing or broken, its parts do not fit, or a wanted picture is not in it.
    """
    path = folder / f"{name}.npy"
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        text = path.with_suffix(".txt").read_text(encoding="utf-8-sig", errors="surrogateescape")
    except (OSError, ValueError, OverflowError, EOFError) as error:
        raise UserError(
            f"{path}: with {name}.txt not the stored embeddings of this set ({error}); write them again"
        ) from None
    lines = text.removesuffix("\n").split("\n")  # splitlines would part names at rarer signs too
    whole = isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype == np.float32
    if not whole or len(rows) != len(lines):
        what = f"shape {rows.shape} of {rows.dtype}" if isinstance(rows, np.ndarray) else "several arrays"
        raise UserError(
            f"{path}: has {what} and {name}.txt {len(lines):,} names; expected float32 (N, D) and N names"
        )
    note = path.with_suffix(".json")
    about = _read_note(note)
    if about is None:
        raise UserError(f"{note}: not what a store writes; mend it, or delete it if nobody knows")
    if lines == list(wanted):
        return rows, about
    place = {line: i for i, line in enumerate(lines)}
    if len(place) < len(lines):
        raise UserError(f"{path.with_suffix('.txt')}: {len(lines) - len(place):,} names stand there twice")
    absent = [one for one in wanted if one not in place]
    if absent:
        raise UserError(
            f"{path.with_suffix('.txt')}: {len(absent):,} of {len(wanted):,} pictures have no embedding, "
            f"first {absent[0]}; names are relative to the set's folder"
        )
    return rows[[place[one] for one in wanted]], about


def _read_note(path: Path) -> dict[str, Any] | None:
    """What a JSON of the store says; {} where there is none, None where it is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    said = found.get("conventions", {}) if isinstance(found, dict) else None
    whole = (
        isinstance(said, dict)
        and all(isinstance(words, str) for words in said.values())
        and all(isinstance(found.get(key, ""), str) for key in ("model", "pictures_sha256"))
    )
    return found if whole else None


def embed_into(
    folder: Path,
    name: str,
    embedder: Embedder,
    images: ImageSet,
    crop: str,
    flip: Flip,
    fingerprint: str,
    *,
    replace: bool = True,
    batch_size: int = 128,
    workers: int = 2,
    progress: Progress | None = None,
) -> tuple[Embeddings, dict[str, Any]]:
    """A set's embeddings, from the folder if they are there, otherwise computed and kept there.

    They are there if the model's fingerprint, its conventions, the flip, and the pictures, their names,
    their crop and their landmarks are the same; what the model is called does not matter. A computation that
    was stopped goes on; one that was killed, where it last took note.

    Args:
        folder: made if absent.
        name: of the set, of which `slug` makes the files' names.
        embedder: the model.
        images: the pictures.
        crop: how they came to the template, in words.
        flip: the mirror image's part in an embedding.
        fingerprint: changes with the model, such as a digest of its weights.
        replace: compute anew what is of another model or flip, rather than refuse.
        batch_size, workers, progress: as of `embed`.

    Raises:
        UserError: as `embed`; a picture is missing, or its name has a line break; the folder's files of this
            name are of another program; or another process is writing them.
    """
    name = slug(name)
    images.check()
    broken = next((one for one in images.names if "\n" in one or "\r" in one), None)
    if broken is not None:
        raise UserError(f"{broken!r}: has a line break, so it is no line of {name}.txt; rename the picture")
    about: dict[str, Any] = {
        "model": embedder.name,
        "fingerprint": fingerprint,
        "conventions": conventions(embedder, flip),
        "crop": crop,
        "names_sha256": sha256("\n".join(images.names).encode("utf-8", "surrogateescape")).hexdigest(),
        "pictures_sha256": images.sha256,
        "pictures_identified_by": images.identified_by,
        "landmarks_sha256": digest(images.landmarks),
    }
    final, text, note = (folder / f"{name}.{end}" for end in ("npy", "txt", "json"))
    found = _read_note(note) or {}
    there = [path.name for path in (final, text, note) if path.exists()]
    if there and not {"model", "fingerprint", "conventions"} <= found.keys():
        raise UserError(
            f"{folder}: has {', '.join(there)} of another program, which would be lost; name another folder, "
            "or delete them"
        )
    if there and not replace and any(found[key] != about[key] for key in ("fingerprint", "conventions")):
        said = "; ".join(found["conventions"].values())
        raise UserError(
            f"{folder}: has {', '.join(there)} by another model or flip ({found['model']}, {said}); "
            "name another folder, or delete them"
        )
    if final.is_file() and _same(found, about):
        return read_stored(folder, name, images.names)
    make_folder("--store", folder)
    part, mark = folder / f"{name}.unfinished.npy", folder / f"{name}.unfinished.json"
    with alone(part):
        done, table = _part(part, mark, about)
        batches = embed_batches(
            embedder, images, flip, start=done, batch_size=batch_size, workers=workers, names=images.names
        )
        try:
            for number, (end, rows) in enumerate(batches, start=1):
                if table is None:
                    mark.unlink(missing_ok=True)  # it may be of another computation, whose rows go now
                    table = new_rows(part, (len(images), rows.shape[1]))
                if rows.shape[1] != table.shape[1]:
                    raise UserError(
                        f"{part}: has {table.shape[1]} values a picture and the model now {rows.shape[1]}; "
                        "delete it"
                    )
                table[done:end] = rows
                done = end
                if number % _SAVE_EVERY == 0:
                    _take_note(table, mark, done, about)
                if progress is not None:
                    progress(end, len(images))
        finally:
            if table is not None:
                _take_note(table, mark, done, about)
        # The old rows go first and the new ones come last: at no moment do rows stand beside names of others.
        final.unlink(missing_ok=True)
        _write(note, json.dumps(about, indent=2) + "\n")
        _write(text, "".join(f"{one}\n" for one in images.names))
        part.replace(final)
        mark.unlink(missing_ok=True)
    return np.load(final, mmap_mode="r"), about


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two notes are of the same embeddings, whatever the model is called."""
    return {**one, "model": ""} == {**other, "model": ""}


@contextmanager
def alone(part: Path) -> Iterator[None]:
    """Hold the file of unfinished rows, made if absent, which may get its lasting name meanwhile.

    The system lets go of it however the process ends.

    Raises:
        UserError: another process holds it.
    """
    with open(part, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if part.stat().st_ino != os.fstat(file.fileno()).st_ino:  # it became the final one meanwhile
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            raise UserError(f"{part}: another evenface is writing here; let it end first") from None
        yield


def _take_note(table: Any, mark: Path, done: int, about: dict[str, Any]) -> None:
    table.flush()
    _write(mark, json.dumps({"done": done, "about": about}))


def _part(part: Path, mark: Path, about: dict[str, Any]) -> tuple[int, Any]:
    """How many rows of an unfinished computation of the same are there, and the table; else 0 and None."""
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
        if _same(found["about"], about) and found["done"] > 0:
            return int(found["done"]), np.load(part, mmap_mode="r+", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        pass  # none, or broken: begin anew
    return 0, None


def conventions(embedder: Embedder, flip: Flip) -> dict[str, str]:
    """How a model made its embeddings, in words."""
    return {"format": str(embedder.format), "flip": "no flip" if flip == "none" else f"{flip} flip"}


def _write(path: Path, text: str) -> None:
    with whole(path) as file:
        file.write_text(text, encoding="utf-8", errors="surrogateescape")
