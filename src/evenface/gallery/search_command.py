"""`evenface search`."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console

from evenface.data import read_folder
from evenface.errors import UserError, require_range, require_writable
from evenface.evaluation.benchmark import Embeddings
from evenface.evaluation.embed import Flip, embed
from evenface.evaluation.images import Image, ImageSet
from evenface.evaluation.models import Model, open_model
from evenface.evaluation.store import embed_into, slug
from evenface.faces import read_image
from evenface.gallery.pictures import pictures_below
from evenface.gallery.rule import Rule, read_rule
from evenface.gallery.search import nearest_people
from evenface.progress import Progress, bars

HELP = """Who is on a picture? Each probe is searched in a gallery of people.

examples
  evenface search runs/mine staff/ visitor.jpg              staff/<person>/<image>
  evenface search runs/mine staff/ door/ --csv found.csv    all pictures below door/
  evenface search runs/mine staff/ door/ --store emb        keeps the gallery's embeddings for the next call
  evenface search runs/mine staff/ a.jpg --fmr 1e-4

A person is the mean of the normalised embeddings of the pictures. Whoever is nearest is named if the cosine
reaches the threshold of `evenface calibrate`. That holds for two pictures, and N people give a stranger N
chances: for a large gallery choose a lower FMR, and measure with `evenface evaluate --people`. Pictures must
be aligned; nothing is detected here.

The exit code is 0 if somebody was found for every probe, 1 if not, 2 if there is no answer."""


@dataclass(frozen=True)
class SearchOptions:
    """Which model, who is known, who is looked for."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of a run, calibrated by `evenface calibrate`."""
    gallery: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="GALLERY")]
    """Folder of the people who are known, GALLERY/<person>/<image>."""
    probes: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PROBE ...")]
    """Pictures, or folders of pictures at any depth."""
    top: int = 3
    """How many people to name of each probe, 1 or more."""
    fmr: float | None = None
    """The false match rate, one of those calibrated; by default 1e-3."""
    threshold: float | None = None
    """A cosine, -1 to 1, in place of a calibrated one."""
    flip: Flip | None = None
    """With --threshold, the mirror image's part in an embedding, by default sum; else as calibrated."""
    store: Path | None = None
    """Keep the gallery's embeddings in this folder, or take them from there if nothing changed."""
    csv: Path | None = None
    """Write a table too: probe, rank, person, cosine, and whether it reaches the threshold (1 or 0)."""
    workers: int = 2
    """Threads that read pictures."""


def run(words: list[str]) -> int:
    """Search and print; 0 if somebody was found for every probe, 1 otherwise."""
    options = tyro.cli(SearchOptions, args=words, prog="evenface search", description=HELP)
    require_range("--top", options.top, 1, 2**31)
    if options.csv is not None:
        require_writable("--csv", options.csv)
    rule = read_rule(options.run, options.fmr, options.threshold, options.flip)
    model = open_model(str(options.run))
    if model.embedder is None:
        raise UserError(f"{options.run}: stored embeddings embed no probes; give the folder of a run")
    paths = _probes(options.probes)
    faces = read_folder(options.gallery, field="GALLERY")
    _warn_of_nobodys(options.gallery)
    probes, gallery = _Looked(paths, rule), _Looked(faces.paths, rule)
    with bars() as bar:
        rows = embed(
            model.embedder, probes, rule.flip, workers=options.workers, names=paths, progress=bar("probes")
        )
        known = _gallery(options, rule.flip, model, gallery, bar("gallery"))
    for looked in (probes, gallery):
        looked.warn()
    people, cosines = nearest_people(rows, known, faces.labels, options.top)
    names = [[faces.identities[k] for k in row] for row in people]
    if options.csv is not None:
        _write(options.csv, paths, names, cosines, rule)
    _print(paths, names, cosines, rule, len(faces.identities))
    return 0 if (cosines[:, 0] >= rule.threshold).all() else 1


def _probes(given: Sequence[Path]) -> list[Path]:
    if not given:
        raise UserError("PROBE: name a picture, or a folder of pictures, that is looked for")
    found = []
    for path in given:
        if path.is_dir():
            found += [path / name for name in pictures_below(path, "PROBE").names]
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"PROBE: {path} is not there; name a picture, or a folder of pictures")
    return found


def _warn_of_nobodys(gallery: Path) -> None:
    """Whoever is only on such a picture would be taken for a stranger."""
    found = [name for name in pictures_below(gallery, "GALLERY").names if name.count("/") != 1]
    if found:
        more = f" (so are {len(found) - 1:,} more)" if len(found) > 1 else ""
        print(
            f"evenface: {gallery / found[0]} is left out{more}: it does not lie in the folder of a person, "
            f"{gallery}/<person>/<image>",
            file=sys.stderr,
        )


class _Looked:
    """Pictures as they are read, and what is to be said of those of another size than the rule's."""

    def __init__(self, paths: Sequence[Path], rule: Rule):
        self.paths, self.rule = paths, rule
        self.warnings: dict[int, str] = {}  # by number: threads read them, in no order

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Image:
        image = read_image(self.paths[index])
        if warning := self.rule.warning(self.paths[index], *image.shape[:2]):
            self.warnings[index] = warning
        return image

    def warn(self) -> None:
        """Say so of the first, and of how many it is true."""
        if self.warnings:
            more = f" (so are {len(self.warnings) - 1:,} more)" if len(self.warnings) > 1 else ""
            print(f"evenface: {self.warnings[min(self.warnings)]}{more}", file=sys.stderr)


def _gallery(
    options: SearchOptions, flip: Flip, model: Model, looked: _Looked, shown: Progress
) -> Embeddings:
    """(M, D) raw embeddings of the gallery's pictures."""
    assert model.embedder is not None
    names = [path.relative_to(options.gallery).as_posix() for path in looked.paths]
    if options.store is None:
        return embed(model.embedder, looked, flip, workers=options.workers, names=names, progress=shown)
    rows, _ = embed_into(
        options.store,
        slug(options.gallery.resolve().name) or "gallery",
        model.embedder,
        ImageSet(options.gallery, names, looked.__getitem__),
        "pictures as they are",
        flip,
        model.fingerprint,
        workers=options.workers,
        progress=shown,
    )
    return rows


def _print(
    paths: Sequence[Path],
    names: Sequence[Sequence[str]],
    cosines: NDArray[np.float64],
    rule: Rule,
    people: int,
) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    for path, who, values in zip(paths, names, cosines, strict=True):
        first = f"{who[0]}, cosine {values[0]:.4f}"
        if values[0] < rule.threshold:
            first = f"nobody of the gallery; nearest {first}"
        if doubt := rule.doubt(values[0]):
            first += f", {doubt}"
        console.print(f"{path}: {first}")
        for rank, (name, value) in enumerate(zip(who[1:], values[1:], strict=True), start=2):
            console.print(f"  {rank}. {name}, {value:.4f}")
    console.print(f"threshold: cosine >= {rule.threshold:.4f}\n{rule.words}")
    if people > 1:
        console.print(f"  of two pictures; {people:,} people give a stranger {people:,} chances")


def _write(
    file: Path,
    paths: Sequence[Path],
    names: Sequence[Sequence[str]],
    cosines: NDArray[np.float64],
    rule: Rule,
) -> None:
    with open(file, "w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["probe", "rank", "person", "cosine", "found"])
        for path, who, values in zip(paths, names, cosines, strict=True):
            for rank, (name, value) in enumerate(zip(who, values, strict=True), start=1):
                writer.writerow([path, rank, name, f"{value:.6f}", int(value >= rule.threshold)])
