"""`evenface convert`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Literal, get_args

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evenface.convert.bin import convert_bin
from evenface.convert.checksum import Progress as Told
from evenface.convert.checksum import verify
from evenface.convert.conversion import Conversion, ConvertConfig, convert
from evenface.data import READERS, Corrupt, FaceSet, read, read_list, read_names
from evenface.data.writers import WRITERS
from evenface.data.writers.folder import RENAMED
from evenface.errors import UserError
from evenface.faces import UnreadableImage

To = Literal["folder", "shards", "rec"]
SHOWN = 10
"""Pictures left out that are named on the screen."""

_READS = "\n".join(f"  {one.what}" for one in READERS.values())
_WRITES = "\n".join(f"  --to {name:<7} {one.what}" for name, one in WRITERS.items())
HELP = f"""From any form of storage to any other; each picture's bytes stay as they are.

reads
{_READS}
  a list of labels, --list FILE
  a test set of InsightFace, NAME.bin: pictures and pairs

writes
{_WRITES}

examples
  evenface convert my-faces/ -o shards/ --to shards      in the order that seed 0 shuffles
  evenface convert faces_emore/ -o faces/ --to folder    from InsightFace's train.rec
  evenface convert my-faces/ -o train.rec                for other programs that read train.rec
  evenface convert --list train.txt -o shards/ --to shards --check --corrupt skip
  evenface convert lfw.bin -o lfw/                       then: evenface evaluate ... --pairs lfw/lfw.csv
  evenface convert --verify shards/                      reads it all, and compares the checksum

A conversion that was stopped, killed too, goes on when the same call is made again. At the end it prints the
checksum of people, names and bytes: the same for every form that holds the same.

Exit code: 0 done, 1 --verify finds another checksum, 2 the call or a picture is wrong."""


@dataclass(frozen=True)
class ConvertOptions:
    """What, where to, and how."""

    source: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")] = None
    """The set; beside `list`, the folder that its paths start from."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Where to write: a new folder, or NAME.rec."""
    to: To | None = None
    """The form to write; NAME.rec says it by itself."""
    list: Path | None = None
    """Text file with a line `path label` for each image; paths start from its own folder, or from SRC."""
    exclude: tuple[Path, ...] = ()
    """Files of people to leave out, as training's `data.exclude`."""
    min_images: int = 1
    """People with fewer images are left out; 1 or more."""
    check: bool = False
    """Decode every picture. Without it, a picture is broken if its header is."""
    corrupt: Corrupt = "stop"
    """What to do at a broken picture: stop, or skip it and say so."""
    shuffle: int | None = None
    """Seed of the order in shards, by default 0: a shard shall hold many people. Other forms go by person."""
    verify: Path | None = None
    """Alone: read a set that was written, and compare its checksum with the one that it had then."""


def run(words: list[str]) -> int:
    """Convert, or verify; returns 1 where --verify finds another checksum."""
    options = tyro.cli(ConvertOptions, args=words, prog="evenface convert", description=HELP)
    if options.verify is not None:
        if options != ConvertOptions(verify=options.verify):
            raise UserError("--verify: goes alone; name the set that was written: --verify DST")
        return _verify(options.verify)
    if options.output is None:
        raise UserError("-o: name what to write, for example -o shards/ --to shards")
    if options.source is None and options.list is None:
        raise UserError("SRC: name the set to convert, or a list with --list FILE")
    if options.source is not None and options.source.suffix.lower() == ".bin":
        return _bin(options, options.source, options.output)
    config = _config(options, options.output)
    faces = _faces(options)
    source = str((options.list or options.source or Path()).resolve())
    print(f"{source}: {faces}")
    began = perf_counter()
    try:
        with _bar("converting") as progress:
            result = convert(faces, options.output, config, source=source, progress=progress)
    except UnreadableImage as error:
        raise UserError(f"{error}; mend it, or leave such pictures out with --corrupt skip") from None
    _print(result, options.output, len(faces) - result.already, perf_counter() - began)
    return 0


def _config(options: ConvertOptions, output: Path) -> ConvertConfig:
    is_rec = output.suffix.lower() == ".rec"
    to = options.to or ("rec" if is_rec else None)
    if to is None:
        raise UserError(f"--to: say which form {output} shall be: --to {' or '.join(get_args(To))}")
    if (to == "rec") != is_rec:
        cure = "name a file, NAME.rec" if to == "rec" else "leave --to out, or name a folder"
        raise UserError(f"-o: {output} is not for --to {to}; {cure}")
    if options.shuffle is not None and to != "shards":
        raise UserError(f"--shuffle: is the order of shards; --to {to} goes person by person")
    return ConvertConfig(to, options.check, options.corrupt, options.shuffle or 0)


def _faces(options: ConvertOptions) -> FaceSet:
    if options.min_images < 1:
        raise UserError(f"--min-images: {options.min_images} is too small; use 1 or more")
    if options.list is not None:
        faces = read_list(options.list, options.source)
    else:
        assert options.source is not None
        faces = read(options.source, field="SRC")
    faces = faces.without(set[str]().union(*map(read_names, options.exclude))).at_least(options.min_images)
    if not len(faces):
        raise UserError("--exclude, --min-images: nobody is left; leave fewer people out")
    return faces


def _print(result: Conversion, output: Path, done: int, took: float) -> None:
    if not done:
        print(f"{output}: was finished before; nothing to do")
    elif result.already:
        print(f"{output}: went on after {result.already:,} pictures")
    if result.skipped:
        print(f"{len(result.skipped):,} pictures left out")
        for one in result.skipped[:SHOWN]:
            print(f"  {one}")
        if len(result.skipped) > SHOWN:
            print("  ...")
    if (output / RENAMED).is_file():
        print(f"names that no file may have, or that were taken, were changed: {output / RENAMED}")
    rate = f", {done / took:,.0f} a second" if done else ""
    print(f"{output}: {result.checksum.pictures:,} pictures{rate}")
    print(f"checksum: {result.checksum}")


def _verify(output: Path) -> int:
    with _bar("reading") as progress:
        found, recorded, pictures = verify(output, progress)
    if (str(found), found.pictures) == (recorded, pictures):
        print(f"{output}: {pictures:,} pictures, as they were written\nchecksum: {found}")
        return 0
    print(f"{output}: not as it was written: {found.pictures:,} pictures of {pictures:,}")
    print(f"checksum: {found}\nit was:   {recorded}")
    return 1


def _bin(options: ConvertOptions, source: Path, output: Path) -> int:
    if options != ConvertOptions(source, output, options.to) or options.to not in (None, "folder"):
        raise UserError(f"SRC: {source} has pairs and no people; it takes -o FOLDER and nothing else")
    table, pictures, pairs = convert_bin(source, output)
    print(f"{output}: {pictures:,} pictures\n{table}: {pairs:,} pairs, for evenface evaluate --pairs {table}")
    return 0


@contextmanager
def _bar(what: str) -> Iterator[Told]:
    text = TextColumn("{task.description}")
    rate = TextColumn("{task.fields[rate]} a second")
    columns = (text, BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None, rate="-")

        def told(done: int, total: int) -> None:
            speed = progress.tasks[task].speed
            progress.update(task, completed=done, total=total, rate=f"{speed:,.0f}" if speed else "-")

        yield told
