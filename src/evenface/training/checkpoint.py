"""Checkpoints: everything that the next step depends on, in one file that is whole or absent."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from evenface.errors import UserError


def save(state: dict[str, Any], path: Path) -> None:
    """Write beside the place and rename, so that a kill at any moment leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with open(unfinished, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are ever unpickled.

    Raises:
        UserError: no such file, or not a checkpoint.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no checkpoint; the run was stopped before its first one") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise UserError(f"{path}: not a checkpoint that can be read ({str(error).splitlines()[0]})") from None
    return state
