"""The command line: parses, calls, prints."""

import errno
import os
import select
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path

from evenface.errors import UserError, unknown

Command = Callable[[list[str]], int]
"""Takes the words behind its name; returns the exit code."""

# What a disk says no to, and no mistake of ours: full, read-only, no right to write, a file for a folder.
_OUTSIDE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}

HELP = """evenface: face recognition with the Equalized Margin (EqM) loss

usage: evenface COMMAND ...

  train     train a model on a folder of people, or as a recipe says
  evaluate  measure models, ours, ONNX files or embeddings, on the benchmarks; an HTML report
  calibrate the threshold for a wanted false match rate, into the model's card
  verify    are two pictures of one person? by a calibrated model
  search    who of a gallery of people is on a picture?
  embed     the embeddings of all pictures below a folder, as numpy arrays
  export    a trained model as an ONNX file
  align     find faces in photographs and cut them to the template, for folders of any size
  convert   a set from one form of storage to another: folder, shards, InsightFace's .rec
  sizes     how many images the people of a set have, and how often samplers draw them
  check     what is missing, broken, doubled, shared or wrongly labelled, before a long run
  analyze   how evenly a trained model's people lie: scopes, angles, margins, plots
  demo      EqM beside three other losses on the ORL faces: minutes, one HTML page
  lab       one run on fixed features of real faces, to compare losses: seconds
  compare   losses x seeds x settings over one recipe, and a table with intervals
  picture   ten classes on the circle and the sphere, loss beside loss: a minute or two
  info      the losses and the backbones, with what they cost
  recipes   the recipes that come with this, and what each is for

examples
  evenface train my-faces/ -o runs/mine            a folder of people is enough
  evenface evaluate runs/mine --lfw LFW --cfp CFP --report report.html
  evenface COMMAND --help                          all that a command takes, with more examples
"""

TRAIN = """Train a face-recognition model.

examples
  evenface train my-faces/ -o runs/mine                          my-faces/<person>/<image>
  evenface train faces_emore/ -o runs/mine                       train.rec, .tar shards, LMDB, Parquet
  evenface train my-faces/ --loss cosface --backbone iresnet18 -o runs/cosface
  evenface train recipes/celeb-eqm-cpu.toml --data.root DIR --loss.lower 0.55 -o runs/lower
  evenface train --resume runs/mine                              goes on, bit for bit
  evenface train more-faces/ --start.run runs/mine -o runs/more  adds people to a trained model
  evenface train runs/mine/config.toml -o runs/again             repeats a run
  torchrun --nproc-per-node 2 -m evenface train ...              several processes

The settings of the loss and of the backbone are those of the ones chosen: to read those of ArcFace,
type `evenface train --loss arcface --help`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code.

    0 done, 1 stopped half-way, 2 the input is wrong, 130 Ctrl-C, 141 nobody reads the output any more, as in
    `evenface ... | head`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, TextIOWrapper):  # a file's name may be no text
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        try:
            return _run(words)
        finally:
            print(end="", flush=True)  # what is still held, now; without an output, nothing
    except BrokenPipeError:
        output, end = sys.stdout.fileno(), select.poll()
        end.register(output, 0)
        if not end.poll(0):  # the output has its reader: it was another pipe, a worker's
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)  # what is still held is written at the exit
        return 141


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0 if words else 2
    if words[0] == "--version":
        import evenface

        print(f"evenface {evenface.__version__}")
        return 0
    try:
        if words[0] not in COMMANDS:
            raise unknown("command", words[0], COMMANDS)
        return COMMANDS[words[0]](words[1:])
    except UserError as error:
        print(f"evenface: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in _OUTSIDE:
            raise
        print(f"evenface: {error.filename or 'disk'}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("evenface: stopped", file=sys.stderr)
        return 130


def _train(words: list[str]) -> int:
    from evenface.recipes import find_recipe
    from evenface.training import arguments
    from evenface.training.ended import how_to_go_on
    from evenface.training.loop import train

    resume, words = _take(words, "--resume")
    output, words = _take(words, "-o", "--output")
    source = Path(words.pop(0)) if words and not words[0].startswith("-") else None
    if resume is not None:
        if source or output:
            raise UserError(
                "--resume: takes a run's folder alone; what it trains on stands in its config.toml"
            )
        folder, recipe = Path(resume), Path(resume) / "config.toml"
        if not recipe.is_file():
            raise UserError(
                f"--resume: {folder} has no config.toml; give a folder that `evenface train -o` made"
            )
    elif source is not None and source.suffix != ".toml":
        words, recipe = ["--data.root", str(source), *words], None
    else:
        recipe = source and find_recipe(source)
    config = arguments.parse(
        words, prog="evenface train [RECIPE.toml | FOLDER]", description=TRAIN, recipe=recipe
    )
    if resume is None:
        if output is None:
            raise UserError("-o: name the folder that the run is written to, for example -o runs/mine")
        folder = Path(output)
    with how_to_go_on(folder):
        train(config, folder, resume=resume is not None)
    if os.environ.get("RANK", "0") == "0":
        print(
            f"{folder}: the model is there; `evenface evaluate {folder}` measures it, `evenface calibrate "
            f"{folder}` finds the threshold that `evenface verify` needs",
            file=sys.stderr,
        )
    return 0


def _lab(words: list[str]) -> int:
    from evenface.lab.command import lab
    from evenface.recipes import find_recipe

    output, words = _take(words, "-o", "--output")
    recipe = find_recipe(Path(words.pop(0))) if words and not words[0].startswith("-") else None
    return lab(words, recipe, Path(output) if output else None)


def _take(words: list[str], *flags: str) -> tuple[str | None, list[str]]:
    """The value of a flag, and the words without it."""
    for i, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in flags:
            if equals:
                return value, words[:i] + words[i + 1 :]
            if i + 1 == len(words):
                raise UserError(f"{flag}: needs a value")
            return words[i + 1], words[:i] + words[i + 2 :]
    return None, words


def _of(module: str) -> Command:
    """The `run` of a module, imported when it is called: no command waits for another's libraries."""
    return lambda words: int(import_module(f"evenface.{module}").run(words))


COMMANDS: dict[str, Command] = {
    "train": _train,
    "evaluate": _of("evaluation.command"),
    "calibrate": _of("gallery.calibrate_command"),
    "verify": _of("gallery.verify_command"),
    "search": _of("gallery.search_command"),
    "embed": _of("gallery.embed_command"),
    "export": _of("gallery.export_command"),
    "align": _of("align.command"),
    "convert": _of("convert.command"),
    "sizes": _of("sizes.command"),
    "check": _of("check.command"),
    "analyze": _of("analyze.command"),
    "demo": _of("demo.command"),
    "lab": _lab,
    "compare": _of("compare.command"),
    "picture": _of("picture.command"),
    "info": _of("info"),
    "recipes": _of("recipes"),
}
