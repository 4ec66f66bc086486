"""Embeddings in a folder: computed once, scored again in seconds, or brought along from any other program.

For each set of pictures, such as `lfw`, there is

- `lfw.npy`: float32 (N, D), raw embeddings, written by `numpy.save`;
- `lfw.txt`: N lines, the pictures' names in the same order, relative to the set's folder, with / in them;
- `lfw.json`: how they came about. It may be absent: then nobody knows, and the results say so.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from evenface.errors import UserError
from evenface.evaluation.benchmark import Benchmark, Embeddings
from evenface.evaluation.embed import Embedder, Flip, Progress, embed_batches

_SAVE_EVERY = 20  # batches between two notes of how far the embedding came


def slug(name: str) -> str:
    """A set's or a model's name as a file name: "CFP-FP" is cfp-fp, "runs/mine" is runs-mine."""
    return "-".join("".join(c if c.isalnum() or c in "._" else " " for c in name.lower()).split())


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
        lines = path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}, {name}.txt: not stored embeddings ({error})") from None
    if rows.ndim != 2 or rows.dtype != np.float32 or len(rows) != len(lines):
        raise UserError(
            f"{path}: has shape {rows.shape} of {rows.dtype} and {name}.txt {len(lines):,} names; "
            "expected float32 (N, D) and N names"
        )
    about: dict[str, Any] = {}
    if path.with_suffix(".json").is_file():
        try:
            about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path.with_suffix('.json')}: not JSON ({error})") from None
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


def embed_into(
    folder: Path,
    embedder: Embedder,
    benchmark: Benchmark,
    flip: Flip,
    fingerprint: str,
    *,
    batch_size: int = 128,
    workers: int = 2,
    progress: Progress | None = None,
) -> tuple[Embeddings, dict[str, Any]]:
    """A benchmark's embeddings, from the folder if they are there, otherwise computed and kept there.

    They are there if the model's fingerprint, its conventions, the flip and the pictures' names and crop are
    the same. A computation that was cut short goes on where it last took note.

    Args:
        fingerprint: changes with the model, such as a digest of its weights.

    Raises:
        UserError: as `embed`, or a picture is missing.
    """
    images, name = benchmark.images, slug(benchmark.name)
    about: dict[str, Any] = {
        "model": embedder.name,
        "fingerprint": fingerprint,
        "conventions": conventions(embedder, flip),
        "set": dict(benchmark.conventions),
        "names_sha256": sha256("\n".join(images.names).encode()).hexdigest(),
    }
    final, note = folder / f"{name}.npy", folder / f"{name}.json"
    if final.is_file() and note.is_file():
        rows, found = read_stored(folder, name, images.names)
        if {key: found.get(key) for key in about} == about:
            return rows, found
    images.check()
    folder.mkdir(parents=True, exist_ok=True)
    part, mark = folder / f"{name}.unfinished.npy", folder / f"{name}.unfinished.json"
    done = 0
    if mark.is_file() and part.is_file():
        found = json.loads(mark.read_text(encoding="utf-8"))
        done = int(found["done"]) if found["about"] == about else 0
    table: np.memmap[Any, Any] | None = np.load(part, mmap_mode="r+") if done else None
    batches = embed_batches(
        embedder, images, flip, start=done, batch_size=batch_size, workers=workers, names=images.names
    )
    for number, (end, rows) in enumerate(batches, start=1):
        if table is None:
            shape = (len(images), rows.shape[1])
            table = np.lib.format.open_memmap(part, "w+", np.float32, shape)
        table[end - len(rows) : end] = rows
        if number % _SAVE_EVERY == 0:
            table.flush()
            _write(mark, json.dumps({"done": end, "about": about}))
        if progress is not None:
            progress(end, len(images))
    if table is not None:
        table.flush()
    about |= {"pictures_sha256": images.sha256, "pictures_identified_by": images.identified_by}
    note.unlink(missing_ok=True)  # last comes first: without it nothing is taken for whole
    _write(folder / f"{name}.txt", "".join(f"{one}\n" for one in images.names))
    part.replace(final)
    _write(note, json.dumps(about, indent=2) + "\n")
    mark.unlink(missing_ok=True)
    return np.load(final, mmap_mode="r"), about


def conventions(embedder: Embedder, flip: Flip) -> dict[str, str]:
    """How a model made its embeddings, in words."""
    return {"format": str(embedder.format), "flip": "no flip" if flip == "none" else f"{flip} flip"}


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
