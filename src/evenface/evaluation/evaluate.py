"""One model on one benchmark: embed, or take what is stored, and score."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from evenface.errors import UserError
from evenface.evaluation.benchmark import Benchmark, Embeddings
from evenface.evaluation.embed import Embedder, Flip, embed
from evenface.evaluation.metrics import Reading
from evenface.evaluation.results import Result
from evenface.evaluation.store import conventions, embed_into, read_stored, slug
from evenface.progress import Progress

_UNKNOWN = "not known, given embeddings"


def evaluate(
    embedder: Embedder,
    benchmark: Benchmark,
    flip: Flip = "none",
    reading: Reading = "conservative",
    *,
    store: Path | None = None,
    fingerprint: str = "",
    batch_size: int = 128,
    workers: int = 2,
    progress: Progress | None = None,
) -> list[Result]:
    """The results of a model on a benchmark; each picture is embedded once.

    Their counts say how many embeddings are five times as long as the shorter ones, where one in a hundred
    is: a network that runs away on pictures unlike those of its training puts them all in one place.

    Args:
        embedder: the model.
        benchmark: what `evenface.evaluation.protocols` reads.
        flip: the mirror image's part in an embedding.
        reading: how TAR is read at a FAR between two steps of the ROC.
        store: keep the embeddings in this folder, or take them from there (`evenface.evaluation.store`).
        fingerprint: for `store`, changes with the model's weights.
        batch_size, workers, progress: as of `embed`.

    Raises:
        UserError: as `embed`, naming the picture; a picture is missing; or the scores cannot be had.
    """
    images = benchmark.images
    if store is None:
        images.check()
        rows = embed(
            embedder,
            images,
            flip,
            batch_size=batch_size,
            workers=workers,
            names=images.names,
            progress=progress,
        )
        pictures = images.sha256
    else:
        rows, about = embed_into(
            store,
            benchmark.name,
            embedder,
            images,
            benchmark.conventions.get("crop", ""),
            flip,
            fingerprint,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
        pictures = about["pictures_sha256"]
    said, long = conventions(embedder, flip), _long(rows)
    return [
        replace(
            result,
            model=embedder.name,
            pictures=pictures,
            conventions={**said, **result.conventions},
            counts={**result.counts, **long},
        )
        for result in benchmark.score(rows, reading)
    ]


def _long(rows: Embeddings) -> dict[str, int]:
    """The count of embeddings over 5 times as long as the shortest quarter's longest; {} where few are."""
    squares = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
    count = int(np.sum(squares > 25 * np.quantile(squares, 0.25)))
    return {"pictures with an embedding 5 times as long as others": count} if 100 * count > len(rows) else {}


def evaluate_stored(
    folder: Path, benchmark: Benchmark, reading: Reading = "conservative", name: str | None = None
) -> list[Result]:
    """The results of embeddings that lie in a folder (`evenface.evaluation.store`), whoever made them.

    Args:
        name: what to call the model; by default what the embeddings' JSON says, or the folder's name.

    Raises:
        UserError: a file is missing or broken, a picture has no embedding there, or the embeddings are of
            other crops than the benchmark's.
    """
    rows, about = read_stored(folder, slug(benchmark.name), benchmark.images.names)
    said, long = about.get("conventions") or {"format": "given embeddings"}, _long(rows)
    crop, made = benchmark.conventions.get("crop", ""), about.get("crop", _UNKNOWN)
    if made not in (crop, _UNKNOWN):
        raise UserError(
            f"{folder}: the embeddings of {benchmark.name} are of another crop ({made}) than asked for "
            f"({crop}); choose the crop that they were made with"
        )
    crops = {"crop": made} if crop else {}
    return [
        replace(
            result,
            model=name or about.get("model") or folder.name,
            pictures=about.get("pictures_sha256", ""),
            conventions={**said, **result.conventions, **crops},
            counts={**result.counts, **long},
        )
        for result in benchmark.score(rows, reading)
    ]
