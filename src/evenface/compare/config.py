"""Every setting of a comparison. Its file and the short form of the command line make the same classes."""

import inspect
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from evenface.errors import UserError, require_range, unknown
from evenface.losses import LOSSES
from evenface.training.config import Named, write_toml

# Figures where less is better, by their whole name or by what follows the last dot.
_LOWER = ("eer", "cv", "sd", "scopes.mean")
_LONGEST_LABEL = 60


@dataclass(frozen=True)
class Entry:
    """A loss of the comparison; in a file `[[losses]]`, with `name`, `label` and the settings of the loss."""

    label: str
    """What the table calls it, 1 to 60 printable characters; by default the name with the settings."""
    loss: Named

    def __post_init__(self) -> None:
        _require_label("losses.label", self.label)
        if self.loss.name not in LOSSES:
            raise unknown("losses.name", self.loss.name, LOSSES)
        parameters = inspect.signature(LOSSES[self.loss.name]).parameters.values()
        settings = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        for name, value in self.loss.options.items():
            if name not in settings:
                raise unknown(f"losses, {self.label}", name, settings)
            _require_plain(f"losses, {self.label}.{name}", value)


@dataclass(frozen=True)
class Setting:
    """A block of the table; in a file `[[settings]]`."""

    label: str
    """What the table calls it, 1 to 60 printable characters."""
    set: dict[str, Any]
    """What the runs are given beside their loss, as a recipe has it: tables by name, settings in them."""

    def __post_init__(self) -> None:
        _require_label("settings.label", self.label)
        _require_settings(f"settings, {self.label}", self.set)


@dataclass(frozen=True)
class Comparison:
    """A grid, whole: every loss with every seed in every setting."""

    recipe: Path
    """What each run begins with: a recipe of `evenface lab` (it has a table `[lab]`) or of `evenface train`.
    In a file, relative to that file."""
    losses: tuple[Entry, ...]
    """One or more, of different labels."""
    seeds: tuple[int, ...]
    """One or more, different, 0 or more. Each is given as `train.seed`, and in the lab as `lab.seed` too, so
    that the draw of people and images changes with it."""
    reference: str
    """Label of the loss that the others are compared with; by default the first."""
    settings: tuple[Setting, ...] = ()
    """Of different labels; without any, the table has one block, of the recipe as it is."""
    baseline: str = ""
    """Label of a setting: what each other one changes from it, seed by seed, is a block of the table too."""
    figures: tuple[str, ...] = ()
    """Columns of the table; without any, all that the runs have, in their order."""
    lower_is_better: tuple[str, ...] = ()
    """Figures where less is better, beside those that are known: eer, scopes.mean, and all .cv and .sd."""
    flags: tuple[str, ...] = ()
    """Words that each run is given, before its own; those of the command line are put here."""

    def __post_init__(self) -> None:
        for name, least in (("losses", 1), ("seeds", 1), ("settings", 0)):
            if len(getattr(self, name)) < least:
                raise UserError(f"{name}: is empty; name one or more")
        for seed in self.seeds:
            require_range("seeds", seed, 0, 2**31)
        _require_distinct("seeds", self.seeds)
        _require_distinct("figures", self.figures)
        labels = [entry.label for entry in self.losses]
        _require_distinct("losses.label", labels)
        settings = [setting.label for setting in self.settings]
        _require_distinct("settings.label", settings)
        if self.reference not in labels:
            raise unknown("reference", self.reference, labels)
        if self.baseline and self.baseline not in settings:
            raise unknown("baseline", self.baseline, settings)

    def lower(self, figure: str) -> bool:
        """Whether less of this figure is better."""
        last = figure.rpartition(".")[2]
        return figure in self.lower_is_better or figure in _LOWER or last in _LOWER


def from_names(recipe: Path, names: str, seeds: int, reference: str | None) -> Comparison:
    """The short form: losses with commas between, each with its defaults, and seeds 0 to `seeds` - 1."""
    losses = tuple(Entry(name.strip(), Named(name.strip())) for name in names.split(","))
    require_range("seeds", seeds, 1, 10_000)
    return Comparison(recipe, losses, tuple(range(seeds)), reference or losses[0].label)


def parse(table: dict[str, Any], base: Path) -> Comparison:
    """A comparison file's tables as a `Comparison`; `base` is the folder that its recipe is relative to.

    Raises:
        UserError: a key is unknown or missing, or its value is of the wrong kind or out of range.
    """
    _require_keys("", table, Comparison.__dataclass_fields__)
    if "recipe" not in table:
        raise UserError("recipe: is missing; name a recipe in the comparison's file, or use --recipe RECIPE")
    losses = tuple(_entry(x) for x in _tables("losses", table.get("losses", [])))
    return Comparison(
        recipe=base / _string("recipe", table["recipe"]),
        losses=losses,
        seeds=tuple(_seed(x) for x in _list("seeds", table.get("seeds", []))),
        reference=_string("reference", table.get("reference", losses[0].label if losses else "")),
        settings=tuple(_setting(x) for x in _tables("settings", table.get("settings", []))),
        baseline=_string("baseline", table.get("baseline", "")),
        figures=_strings("figures", table.get("figures", [])),
        lower_is_better=_strings("lower_is_better", table.get("lower_is_better", [])),
        flags=_strings("flags", table.get("flags", [])),
    )


def to_toml(comparison: Comparison) -> str:
    """The comparison file that `parse` reads back to the same."""
    table = vars(comparison) | {
        "recipe": str(comparison.recipe),
        "losses": [{"label": e.label, "name": e.loss.name, **e.loss.options} for e in comparison.losses],
        "settings": [vars(setting) for setting in comparison.settings],
    }
    return write_toml({k: list(v) if isinstance(v, tuple) else v for k, v in table.items()})


def _entry(table: dict[str, Any]) -> Entry:
    options = {k: v for k, v in table.items() if k not in ("label", "name")}
    if "name" not in table:
        raise UserError(f"losses.name: is missing; choose from {', '.join(LOSSES)}")
    name = _string("losses.name", table["name"])
    words = [name, *(f"{k}={v}" for k, v in options.items())]
    return Entry(_string("losses.label", table.get("label", " ".join(words))), Named(name, options))


def _setting(table: dict[str, Any]) -> Setting:
    _require_keys("settings.", table, Setting.__dataclass_fields__)
    given = table.get("set", {})
    if "label" not in table or not isinstance(given, dict):
        raise UserError('settings: needs a label and a table, for example set = { "lab.imbalance" = 50 }')
    return Setting(_string("settings.label", table["label"]), _nested(given))


def _nested(table: dict[str, Any]) -> dict[str, Any]:
    """`"lab.imbalance" = 50` as the table `lab` with `imbalance = 50`."""
    result: dict[str, Any] = {}
    for key, value in table.items():
        *path, last = key.split(".")
        place = result
        for name in path:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise UserError(f"settings.set: {key} is below a setting that has a value")
        if last in place and not (isinstance(place[last], dict) and isinstance(value, dict)):
            raise UserError(f"settings.set: {key} is there twice")
        place[last] = {**place.get(last, {}), **_nested(value)} if isinstance(value, dict) else value
    return result


def _require_keys(path: str, table: dict[str, Any], known: Iterable[str]) -> None:
    names = list(known)
    for key in table:
        if key not in names:
            near = get_close_matches(key, names, n=1)
            hint = f"did you mean {path}{near[0]}?" if near else f"choose from {', '.join(names)}"
            raise UserError(f"{path}{key}: is not a key of a comparison; {hint}")


def _require_settings(path: str, table: dict[str, Any]) -> None:
    for key, value in table.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
            raise UserError(f"{path}: {key!r} is no name of a setting")
        if isinstance(value, dict):
            _require_settings(f"{path}.{key}", value)
        else:
            _require_plain(f"{path}.{key}", value)


def _require_plain(path: str, value: Any) -> None:
    for one in value if isinstance(value, list) else [value]:
        finite = not isinstance(one, float) or math.isfinite(one)
        if not isinstance(one, str | int | float) or not finite:
            raise UserError(f"{path}: {one} is not a number, a word, true or false, or a list of these")


def _require_label(field: str, label: str) -> None:
    if not (label.strip() and label.isprintable() and len(label) <= _LONGEST_LABEL):
        raise UserError(
            f"{field}: {label!r} must have 1 to {_LONGEST_LABEL} printable characters; shorten it"
        )


def _require_distinct(field: str, values: Iterable[Any]) -> None:
    seen = list(values)
    if twice := [value for value in seen if seen.count(value) > 1]:
        raise UserError(f"{field}: {twice[0]!r} is there twice; each must differ")


def _string(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"{field}: {value!r} is not a word in quotes")
    return value


def _list(field: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UserError(f"{field}: {value!r} is not a list; put it in [ ]")
    return value


def _strings(field: str, value: Any) -> tuple[str, ...]:
    return tuple(_string(field, x) for x in _list(field, value))


def _tables(field: str, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(x, dict) for x in value):
        raise UserError(f"{field}: are tables; begin each with [[{field}]]")
    return value


def _seed(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"seeds: {value!r} is not a whole number")
    return value
