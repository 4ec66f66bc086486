"""Checkpoints: everything that the next step depends on, in a folder that is whole or absent.

`checkpoints/step-00000500/` of a run holds safetensors files, in which nothing can be run, and state.json.
Every process writes its own part, and any number of processes can go on from it.
"""

import json
import os
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter

from evenface.errors import UserError
from evenface.training.processes import Processes
from evenface.training.state import Entry, Part, Saved, distributed, entries, make_optimizer_state

_NAME = re.compile(r"step-(\d{8,})")
_UNFINISHED = ".unfinished"
_STATE = "state.json"


def folder(run: Path, step: int) -> Path:
    """Where the checkpoint of a step is, or would be."""
    return run / f"checkpoints/step-{step:08d}"


def latest(run: Path) -> Path | None:
    """The last checkpoint of a run; None before the first."""
    steps = _steps(run)
    return folder(run, max(steps)) if steps else None


def of_step(run: Path, step: int) -> Path:
    """The checkpoint of that step.

    Raises:
        UserError: there is none.
    """
    if latest(run) is None:
        raise missing(run)
    if step not in _steps(run):
        raise UserError(
            f"{run / 'checkpoints'}: no checkpoint of step {step}; if the run was stopped there, "
            f"`evenface train --resume {run}` goes on and writes it"
        )
    return folder(run, step)


def missing(run: Path) -> UserError:
    """The error of a run that has no checkpoint."""
    old = run / "checkpoints/last.pt"
    if old.exists():
        return UserError(
            f"{old}: was written by an older version of evenface; go on with that version, or begin again in "
            "another folder"
        )
    return UserError(f"{run / 'checkpoints'}: no checkpoint; begin again in another folder")


def save(run: Path, parts: Sequence[Part], plain: dict[str, Any], me: Processes, keep: int) -> None:
    """Write a checkpoint; all processes call this at the same step.

    It is written under another name and renamed, so that a kill at any moment leaves none or a whole one.

    Args:
        run: folder of the run.
        parts: modules and optimizers.
        plain: numbers, strings, lists and dicts, of which the first process's are kept. `step` is the
            checkpoint's; that of `best_step`, if not None, is the best.
        me: this process among those that train together.
        keep: how many checkpoints to keep beside the best one, the last ones; the others are removed.
    """
    place = folder(run, plain["step"])
    unfinished = place.with_suffix(_UNFINISHED)
    if me.first:
        _remove_unfinished(run)
        if place.exists():
            _remove(place)
        unfinished.mkdir(parents=True)
    me.barrier()
    if not unfinished.is_dir():
        raise UserError(
            f"{run}: is not the same folder for all processes; name one on a disk that they share"
        )
    found = {name: Entry(tensor.contiguous(), classes) for name, (tensor, classes) in entries(parts).items()}
    # A file is made in memory before it is written, so the large tensors have one each.
    large = sorted(name for name, entry in found.items() if entry.classes is not None)
    files = dict.fromkeys(found, 1) | {name: number for number, name in enumerate(large, 2)}
    writer = HuggingFaceStorageWriter(str(unfinished), files, save_distributed=True)
    # What all have is the first one's: running means of a batch norm, of which each process has its own.
    planner = DefaultSavePlanner(dedup_save_to_lowest_rank=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # as is meant with one process
        state_dict_saver.save(
            distributed(found, me), storage_writer=writer, planner=planner, no_dist=me.world == 1
        )
    if me.first:
        sizes = {file.name: file.stat().st_size for file in sorted(unfinished.iterdir())}
        state = {**plain, "files": sizes, "optimizers": _optimizers(parts)}
        with open(unfinished / _STATE, "w") as out:
            json.dump(state, out, indent=2)
            out.flush()
            os.fsync(out.fileno())
        _sync(unfinished)
        unfinished.rename(place)
        _sync(place.parent)
        _keep(run, plain["step"], plain["best_step"], keep)
    me.barrier()


def restore(path: Path, parts: Sequence[Part], me: Processes) -> None:
    """Read a checkpoint into modules and optimizers as they were made; all processes call this.

    Raises:
        UserError: not a whole checkpoint, or another model's or optimizer's.
    """
    if me.first:
        _remove_unfinished(path.parents[1])
    optimizers, saved = plain(path)["optimizers"], _saved(path)
    if optimizers != _optimizers(parts):
        raise _other(path, "the optimizer", optimizers, _optimizers(parts))
    make_optimizer_state(parts, saved)
    found = entries(parts)
    here = {name: (tuple(entry.shape), entry.tensor.dtype) for name, entry in found.items()}
    there = {name: (tuple(entry.size), entry.properties.dtype) for name, entry in saved.items()}
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            raise _other(path, name, there.get(name), here.get(name))
    _load(distributed(found, me), path, alone=me.world == 1)


def plain(path: Path) -> dict[str, Any]:
    """What a checkpoint holds beside tensors: `step` and so on.

    Raises:
        UserError: it cannot be read.
    """
    try:
        state: dict[str, Any] = json.loads((path / _STATE).read_text())
    except (OSError, ValueError) as error:
        raise _damaged(path / _STATE, str(error)) from None
    return state


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The whole tensors of a checkpoint by name, on the CPU, and its plain values; in one process.

    Raises:
        UserError: not a whole checkpoint.
    """
    tensors = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype) for name, entry in _saved(path).items()
    }
    _load(tensors, path, alone=True)
    return tensors, plain(path)


def _steps(run: Path) -> list[int]:
    return [int(name[1]) for path in (run / "checkpoints").glob("*") if (name := _NAME.fullmatch(path.name))]


def _keep(run: Path, step: int, best: int | None, keep: int) -> None:
    """Remove all but the last and the best; those of later steps too, of a run that this one replaces."""
    others = sorted(other for other in _steps(run) if other != best and other <= step)
    for other in set(_steps(run)) - {best, *others[-keep:]}:
        _remove(folder(run, other))


def _remove(place: Path) -> None:
    gone = place.with_suffix(_UNFINISHED)  # a kill meanwhile must not leave half of it under its name
    place.rename(gone)
    shutil.rmtree(gone)


def _remove_unfinished(run: Path) -> None:
    for cut_short in (run / "checkpoints").glob(f"step-*{_UNFINISHED}"):
        shutil.rmtree(cut_short)


def _saved(path: Path) -> Saved:
    """Size and dtype of every tensor of a checkpoint, whose files are all there, each of its length."""
    for name, size in plain(path)["files"].items():
        found = (path / name).stat().st_size if (path / name).exists() else 0
        if found != size:
            raise _damaged(path / name, f"{found} bytes of {size}")
    try:
        saved = HuggingFaceStorageReader(str(path)).read_metadata().state_dict_metadata
    except (SafetensorError, ValueError, KeyError) as error:
        raise _damaged(path, str(error)) from None
    return cast(Saved, saved)


def _load(tensors: dict[str, Any], path: Path, *, alone: bool) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # as is meant with one process
        state_dict_loader.load(tensors, storage_reader=HuggingFaceStorageReader(str(path)), no_dist=alone)


def _optimizers(parts: Sequence[Part]) -> dict[str, str]:
    return {part.name: type(part.optimizer).__name__ for part in parts if part.optimizer}


def _damaged(file: Path, why: str) -> UserError:
    return UserError(
        f"{file}: not a checkpoint that can be read ({why}); remove its folder, and the run goes on from the "
        "checkpoint before it"
    )


def _other(path: Path, what: str, there: object, here: object) -> UserError:
    return UserError(
        f"{path}: is of another model or optimizer: {what} is {there} in it and {here} here; go on with the "
        "settings that the run began with"
    )


def _sync(place: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
