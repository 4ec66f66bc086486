"""The runs of the grid, each in a folder of its own, and which of them are done."""

import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from evenface import losses
from evenface.backbones.saved import Card
from evenface.compare.config import Comparison, Entry, Setting
from evenface.errors import UserError
from evenface.lab.config import LabConfig
from evenface.losses import regularisers
from evenface.training import checkpoint
from evenface.training.arguments import flags, parse_as
from evenface.training.config import Config, tables
from evenface.training.recipe import read_recipe

RECIPE = "recipe.toml"
"""The comparison's own copy of the recipe, which the runs read."""
Command = Literal["train", "lab"]
_SEEDS = ("--train.seed", "--lab.seed")


@dataclass(frozen=True)
class Cell:
    """One run of the grid."""

    setting: str
    """Label of the setting; empty where the comparison has none."""
    loss: str
    """Label of the loss."""
    seed: int
    folder: Path
    command: Command
    words: tuple[str, ...]
    """What starts the run, after `evenface`."""
    settings: dict[str, Any]
    """Every setting of the run, the defaults too: what makes it the same run."""

    @property
    def title(self) -> str:
        """The run in words."""
        return ", ".join([*([self.setting] if self.setting else []), self.loss, f"seed {self.seed}"])

    @property
    def log(self) -> Path:
        """What the run printed."""
        return self.folder / "cell.log"

    def figures(self) -> dict[str, float] | None:
        """What the run came to; None unless it is complete, and of these very settings."""
        found = _read(self.folder / "figures.json") if self._same() else None
        if not isinstance(found, dict):
            return None
        return {k: float(v) for k, v in found.items() if isinstance(v, int | float) and math.isfinite(v)}

    def error(self) -> str | None:
        """The last lines of a run that failed."""
        file = self.folder / "error.txt"
        return file.read_text(encoding="utf-8") if self._same() and file.exists() else None

    def prepare(self) -> list[str]:
        """Make the folder ready; the words, after `evenface`, that begin the run or go on with it.

        A training that has a checkpoint goes on. Anything else that is there is removed.
        """
        begun = checkpoint.latest(self.folder) is not None and (self.folder / "config.toml").exists()
        if self.command == "train" and self._same() and begun:
            (self.folder / "error.txt").unlink(missing_ok=True)
            return ["train", "--resume", str(self.folder)]
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        (self.folder / "cell.json").write_text(json.dumps(self._identity(), indent=2) + "\n")
        return list(self.words)

    def fail(self, code: int) -> str:
        """Keep the last lines of what the run printed, and return them."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = [line.rstrip() for line in lines if line.strip()][-5:]
        error = "\n".join([f"exit code {code}" if code else "ended without figures.json", *last])
        (self.folder / "error.txt").write_text(error, encoding="utf-8")
        return error

    def _identity(self) -> dict[str, Any]:
        return {"command": self.command, "settings": self.settings}

    def _same(self) -> bool:
        return bool(_read(self.folder / "cell.json") == json.loads(json.dumps(self._identity())))


def plan(comparison: Comparison, folder: Path) -> list[Cell]:
    """The grid's runs in `folder`, all losses of a seed before the next seed.

    The settings of each are read here, by the parser of the run itself, so that a mistake is found before the
    first one starts.

    Raises:
        UserError: the recipe cannot be read, a setting is wrong, or a run would measure nothing.
        SystemExit: from the parser, for words that it does not know (2).
    """
    command: Command = "lab" if "lab" in read_recipe(comparison.recipe) else "train"
    made = {}
    for setting in comparison.settings or (None,):
        for entry in comparison.losses:
            words = _words(comparison, entry, setting)
            made[setting.label if setting else "", entry.label] = (words, _parsed(comparison, command, words))
    cells = []
    for seed in comparison.seeds:
        for (setting_label, label), (words, config) in made.items():
            place = folder / "runs" / _name(setting_label) / _name(label) / f"seed-{seed}"
            seeds = [word for flag in _SEEDS[: 1 + (command == "lab")] for word in (flag, str(seed))]
            start = (command, str(folder / RECIPE), "-o", str(place), *words, *seeds)
            settings = tables(_seeded(config, seed))
            cells.append(Cell(setting_label, label, seed, place, command, start, settings))
    return cells


def require_pictures(cells: Sequence[Cell]) -> None:
    """Raise UserError if one of these runs was not told where its pictures lie."""
    for cell in cells:
        lab, data = cell.settings.get("lab"), cell.settings.get("data", {})
        if lab is not None:
            needed = [*lab["train"], *([] if lab["holdout"] else [lab["test"]])]
            if absent := [name for name in needed if name not in lab]:
                raise UserError(
                    f"lab.{absent[0]}: {cell.title} needs the pictures of {absent[0]}; give "
                    f"--lab.{absent[0]} DIR"
                )
        elif "root" not in data and "list" not in data:
            raise UserError(f"data.root: {cell.title} has no pictures to train on; give --data.root DIR")


def _words(comparison: Comparison, entry: Entry, setting: Setting | None) -> list[str]:
    """What a run is given, but for its seed."""
    for name in setting.set.get("loss", {}) if setting else ():
        if name in entry.loss.options:
            raise UserError(f"settings.set: loss.{name} is said by the loss {entry.label} too; leave one out")
    loss = ["--loss", entry.loss.name, *flags({"loss": entry.loss.options})]
    words = [*comparison.flags, *loss, *(flags(setting.set) if setting else [])]
    if given := [word for word in words if word.partition("=")[0] in _SEEDS]:
        raise UserError(f"{given[0]}: the seeds of a comparison stand in its `seeds`; leave this out")
    return words


def _parsed(comparison: Comparison, command: Command, words: list[str]) -> Config | LabConfig:
    kind: type[Config] | type[LabConfig] = LabConfig if command == "lab" else Config
    config = parse_as(kind, words, prog=f"evenface {command}", description="", recipe=comparison.recipe)
    if config.loss.name != words[words.index("--loss", len(comparison.flags)) + 1]:
        raise UserError("settings.set: the losses of a comparison stand in [[losses]]; leave `loss` out")
    head = losses.create(config.loss.name, 3, 2, **config.loss.options)  # it knows its settings' ranges
    for extra in config.regularisers:
        regularisers.add(head, extra.name, **extra.options)
    if isinstance(config, Config):
        with torch.device("meta"):
            Card(config.backbone.name, config.backbone.options, config.input).create()
        measured = config.data.holdout or config.evaluate.lfw or config.evaluate.cfp
        if not measured:
            raise UserError(
                f"{comparison.recipe}: measures nothing that could be compared; set data.holdout, "
                "evaluate.lfw or evaluate.cfp"
            )
    return config


def _seeded(config: Config | LabConfig, seed: int) -> Config | LabConfig:
    if isinstance(config, LabConfig):
        lab, train = replace(config.lab, seed=seed), replace(config.train, seed=seed)
        return replace(config, lab=lab, train=train)
    return replace(config, train=replace(config.train, seed=seed))


def _name(label: str) -> str:
    """A label as the name of a folder; two labels never have the same."""
    return re.sub(r"[^\w =+,.-]|^\.", lambda found: f"%{ord(found[0]):04x}", label)


def _read(file: Path) -> Any:
    """A JSON file, or None where there is none that is whole."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
