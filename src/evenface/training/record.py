"""What repeats a run: its settings and its environment, in its folder."""

import json
import platform
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch

import evenface
from evenface.files import whole
from evenface.training.config import Config, to_toml
from evenface.training.processes import Processes


def write_figures(figures: dict[str, float], folder: Path) -> None:
    """Write what a run came to into figures.json, which is there whole or not at all."""
    with whole(folder / "figures.json") as file:
        file.write_text(json.dumps(figures, indent=2) + "\n")


def write_record(config: Config, folder: Path, me: Processes) -> None:
    """Write config.toml, with whole paths, and environment.json into the run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        "evenface": evenface.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "processes": me.world,
        "device": str(me.device),
        "gpu": torch.cuda.get_device_name() if me.device.type == "cuda" else None,
    }
    (folder / "environment.json").write_text(json.dumps(environment, indent=2) + "\n")
    (folder / "config.toml").write_text(to_toml(_absolute(config)), encoding="utf-8")


def _absolute(setting: Any) -> Any:
    """The same, from whatever folder it is read."""
    if isinstance(setting, Path):
        return setting.absolute()
    if isinstance(setting, tuple):
        return tuple(map(_absolute, setting))
    if is_dataclass(setting) and not isinstance(setting, type):
        return replace(setting, **{f.name: _absolute(getattr(setting, f.name)) for f in fields(setting)})
    return setting
