"""`evenface check --model`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from evenface.check.cleaning.candidates import write_candidates
from evenface.check.cleaning.embedding import embedded
from evenface.check.cleaning.faces import Faces, Ints
from evenface.check.cleaning.find import find
from evenface.check.cleaning.page import write_page
from evenface.check.duplicates import Again
from evenface.check.scan import Seen
from evenface.errors import UserError
from evenface.evaluation.embed import Flip
from evenface.evaluation.models import FormatOptions, Model, open_model
from evenface.progress import bars


@dataclass(frozen=True)
class CleaningOptions:
    """With a trained model: wrong labels and shared people that only faces tell."""

    model: str | None = None
    """A run's folder, an .onnx file, module:function, or a folder of stored embeddings of these sets."""
    format: Annotated[FormatOptions, tyro.conf.arg(name="")] = field(default_factory=FormatOptions)
    flip: Flip | None = None
    """The mirror image's embedding: left out (none), added (sum, the default) or appended (concat)."""
    batch_size: int = 128
    """Pictures that are embedded at once."""
    store: Path | None = None
    """Keep the embeddings in a folder in here, and take them from there the next time."""
    page: Path | None = None
    """Write the candidates as an HTML page to tick on, which makes the file for --data.exclude."""
    candidates: Path | None = None
    """Write the candidates as a .csv: kind, identity, file, other identity, other file, score, rank."""

    def files(self) -> Iterator[tuple[str, Path | None]]:
        """What is written, by its option."""
        yield "--page", self.page
        yield "--candidates", self.candidates

    def opened(self) -> Model:
        """The model."""
        assert self.model is not None
        model = open_model(self.model, self.format)
        if model.embedder is None and self.flip is not None:
            raise UserError(f"--flip: the embeddings in {model.name} are made already; leave this out")
        return model


def refuse(options: CleaningOptions) -> None:
    """Raise UserError for what is wrong with the call, a model that does not open included."""
    if options.model is None:
        flags = ("format", "flip", "batch_size", "store", "page", "candidates")
        default = CleaningOptions()
        given = [flag for flag in flags if getattr(options, flag) != getattr(default, flag)]
        if given:
            flag = given[0].replace("_", "-")
            words = "--size, --colour, --pixels" if flag == "format" else f"--{flag}"
            raise UserError(f"{words}: is about what a model finds; give --model RUN")
        return
    if options.batch_size < 1:
        raise UserError(f"--batch-size: {options.batch_size} is too small; use 1 or more")
    if options.store is not None and options.store.exists() and not options.store.is_dir():
        raise UserError(f"--store: {options.store} is a file; name a folder")
    if options.page is None and options.candidates is None:
        raise UserError("--model: name --page FILE.html or --candidates FILE.csv, to see what it finds")
    options.opened()


def clean(options: CleaningOptions, seen: Seen, again: Sequence[Again], workers: int) -> None:
    """Embed the pictures that were seen, find candidates, print how many, and write them."""
    model = options.opened()
    with bars() as bar:
        sets = embedded(
            model,
            seen,
            options.flip or "sum",
            store=options.store,
            batch_size=options.batch_size,
            workers=workers,
            progress=lambda label: bar(f"{label}: embedding"),
        )
        if not sets:
            raise UserError("--model: no set has a picture that can be read")
        kinds = find(sets, _known(sets, seen, again), workers, bar("comparing"))
    print(f"\ncandidates by {model.name}, for you to decide on")
    for kind in kinds:
        print(f"  {len(kind.beyond):6,} {kind.title[0].lower()}{kind.title[1:]}")
    if options.candidates:
        write_candidates(options.candidates, kinds)
        print(f"candidates: {options.candidates}")
    if options.page:
        write_page(options.page, kinds, [faces.pictures for faces in sets], model.name)
        print(f"page to tick on: {options.page}")


def _known(sets: Sequence[Faces], seen: Seen, again: Sequence[Again]) -> Ints:
    """(K, 2) the pairs that hashes found, counted through the embedded pictures."""
    number = np.full(len(seen.rows), -1, dtype=np.int64)
    start = 0
    for faces in sets:
        first = int(seen.starts[[one is faces.pictures for one in seen.sets].index(True)])
        number[first + faces.places] = np.arange(start, start + len(faces))
        start += len(faces)
    pairs = np.array([(number[one.picture], number[one.other]) for one in again]).reshape(-1, 2)
    return pairs[(pairs >= 0).all(axis=1)].astype(np.int64)
