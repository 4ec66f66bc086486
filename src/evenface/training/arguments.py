"""From a recipe file and the words of a command line to a `Config`, through one parser."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, field, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro

from evenface import backbones, losses
from evenface.backbones.saved import Card, load_card
from evenface.errors import UserError, unknown
from evenface.faces import InputFormat
from evenface.losses.regularisers import REGULARISERS
from evenface.training.config import Config, Named
from evenface.training.recipe import read_recipe, require_settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Of each table that a name chooses from: the table, the default, the arguments that are not settings.
_CHOICES: dict[str, tuple[dict[str, Callable[..., Any]], str, frozenset[str]]] = {
    "loss": (dict(losses.LOSSES), "eqm", frozenset({"num_classes", "embedding_size"})),
    "backbone": (dict(backbones.BACKBONES), "mobilefacenet", frozenset({"input_size", "channels"})),
}
_EMBEDDING_SIZE = 256

Kind = TypeVar("Kind", bound="DataclassInstance")
"""A whole configuration, such as `Config`: `regularisers`, a loss, perhaps a backbone, and dataclasses."""


def parse(words: Sequence[str], *, prog: str, description: str, recipe: Path | None = None) -> Config:
    """`parse_as` of a training run."""
    return parse_as(Config, words, prog=prog, description=description, recipe=recipe)


def parse_as(
    kind: type[Kind], words: Sequence[str], *, prog: str, description: str, recipe: Path | None = None
) -> Kind:
    """The settings of this kind that a recipe file gives, changed by the command line's words.

    The file's entries are put in front of the words as flags, so both go through the same parser. Where
    the words name another loss or backbone than the file, the file's options of its own one are left aside.
    A regulariser's flags, `--regularisers.center.weight 0.01`, change the file's or add one. What neither
    says of the backbone and the input is as in `start.run`, if that is given.

    Raises:
        UserError: the file cannot be read, or has a table or key that is no setting, or a
            value of another type; `start.run` has no model.
        SystemExit: from the parser, for `--help` (0) and for words it does not know (2).
    """
    words = _with_names(words)
    table = read_recipe(recipe) if recipe else {}
    old = _begun_from(table, words) if any(f.name == "start" for f in fields(kind)) else None
    chosen = {}
    for choice in _choices(kind):
        entries, default, _ = _CHOICES[choice]
        if old and choice == "backbone":
            default = old.backbone
        if isinstance(table.get(choice, {}), str):  # loss = "eqm" for a table with a name alone
            table[choice] = {"name": table[choice]}
        if not isinstance(table.get(choice, {}), dict):
            raise UserError(f"{recipe}: {choice} is a table or a name, for example {choice} = {default!r}")
        in_file = table.get(choice, {}).get("name", default)
        if not isinstance(in_file, str):
            raise UserError(f"{recipe}: {choice}.name: {in_file!r} does not fit; give text, as {default!r}")
        name = _last(words, f"--{choice}.name") or in_file
        if name not in entries:
            raise unknown(choice, name, entries)
        if name != in_file:
            table.pop(choice, None)
        chosen[choice] = name
    table["regularisers"] = _by_name(table.get("regularisers", []), recipe)
    added = [word.split(".")[1] for word in words if word.startswith("--regularisers.")]
    arguments = _arguments(
        kind,
        {choice: _settings_of(choice, name) for choice, name in chosen.items()},
        _settings_of_regularisers(dict.fromkeys([*table["regularisers"], *added])),
    )
    if recipe:
        require_settings(table, arguments, recipe)
    taken: dict[str, Any] = {}
    if old:
        options = old.options if chosen["backbone"] == old.backbone else {}
        taken = {"backbone": options, "input": asdict(old.format)}
    parsed = tyro.cli(
        arguments,
        args=[*flags(taken), *flags(table), *words],
        prog=prog,
        description=description,
    )
    values = _options(parsed)
    values |= {choice: _named(values[choice]) for choice in chosen}
    regularisers = _options(values["regularisers"])
    values["regularisers"] = tuple(Named(name, _options(o)) for name, o in regularisers.items())
    return kind(**values)


def resolve(config: Config) -> Config:
    """The same settings with every option of loss, regularisers and backbone said, the defaults too."""
    whole = {}
    for choice in _CHOICES:
        named: Named = getattr(config, choice)
        if named.name not in _CHOICES[choice][0]:
            raise unknown(choice, named.name, _CHOICES[choice][0])
        whole[choice] = _complete(choice, named, _named(_settings_of(choice, named.name)()).options)
    names = [regulariser.name for regulariser in config.regularisers]
    _require_distinct(names)
    defaults = _options(_settings_of_regularisers(names)())
    regularisers = tuple(
        _complete(f"regularisers.{named.name}", named, _options(defaults[named.name]))
        for named in config.regularisers
    )
    return replace(config, loss=whole["loss"], regularisers=regularisers, backbone=whole["backbone"])


def _begun_from(table: dict[str, Any], words: list[str]) -> Card | None:
    """The card of `start.run`; None without one, or where the recipe says all that the card could add."""
    start = table.get("start")
    run = _last(words, "--start.run") or (start.get("run") if isinstance(start, dict) else None)
    if run is None:
        return None
    backbone, form = table.get("backbone"), table.get("input")
    if isinstance(backbone, dict) and isinstance(form, dict) and backbone.get("name") in backbones.BACKBONES:
        settings = fields(_settings_of("backbone", backbone["name"]))
        # So that a run's config.toml can be read when the run that it began from is gone.
        if {f.name for f in settings} <= backbone.keys() and {
            f.name for f in fields(InputFormat)
        } <= form.keys():
            return None
    return load_card(Path(str(run)))


def _complete(path: str, named: Named, defaults: dict[str, Any]) -> Named:
    if wrong := named.options.keys() - defaults.keys():
        raise UserError(
            f"{path}.{min(wrong)}: {named.name} has no such setting; it has {', '.join(defaults)}"
        )
    return Named(named.name, {**defaults, **named.options})


def _by_name(listed: Any, recipe: Path | None) -> dict[str, dict[str, Any]]:
    """A file's [[regularisers]] as one table with an entry for each name."""
    if not isinstance(listed, list) or not all(isinstance(x, dict) and "name" in x for x in listed):
        raise UserError(
            f'{recipe}: regularisers are tables with a name, for example [[regularisers]] name = "iam"'
        )
    _require_distinct([str(entry["name"]) for entry in listed])
    return {str(entry.pop("name")): entry for entry in listed}


def _require_distinct(names: list[str]) -> None:
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(
            f"regularisers.{twice[0]}: is there twice; give it once, with the weight it shall have"
        )


def _choices(kind: type) -> list[str]:
    return [f.name for f in fields(kind) if f.name in _CHOICES]


def _arguments(kind: type, choices: dict[str, type], regularisers: type) -> Any:
    """A dataclass like `kind`, with the settings of what is chosen in the place of `Named`."""
    types = {f.name: f.type for f in fields(kind)} | choices | {"regularisers": regularisers}
    members: list[tuple[str, Any, Any]] = [(n, t, field(default_factory=t)) for n, t in types.items()]  # type: ignore[arg-type]
    return make_dataclass("Arguments", members)


def _settings_of(choice: str, name: str) -> type:
    """A dataclass of a table's entry: its name, and the settings that are its keyword arguments."""
    entries, _, not_settings = _CHOICES[choice]
    one_of = Annotated[Literal[tuple(entries)], tyro.conf.arg(help=f"Short: --{choice} NAME.")]  # type: ignore[valid-type]
    return _keywords_of(entries[name], not_settings, [("name", one_of, field(default=name))])


def _settings_of_regularisers(names: Iterable[str]) -> type:
    """A dataclass with a member for each name: the settings of that regulariser."""
    members: list[tuple[str, Any, Any]] = []
    for name in names:
        if name not in REGULARISERS:
            raise unknown("regularisers", name, REGULARISERS)
        kind = _keywords_of(REGULARISERS[name], frozenset(), [])
        members.append((name, kind, field(default_factory=kind)))
    return make_dataclass("Regularisers", members)


def _keywords_of(
    entry: Callable[..., Any], not_settings: frozenset[str], members: list[tuple[str, Any, Any]]
) -> type:
    """A dataclass of `members` and an entry's keyword arguments, documented by the entry's docstring."""
    function = entry.__init__ if inspect.isclass(entry) else entry
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in {"self", *not_settings} or parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        default = _EMBEDDING_SIZE if parameter.name == "embedding_size" else parameter.default
        members.append((parameter.name, parameter.annotation, field(default=default)))
    kind = make_dataclass("Options", members)
    kind.__doc__ = inspect.getdoc(getattr(entry, "func", entry))
    return kind


def _named(options: Any) -> Named:
    values = _options(options)
    return Named(values.pop("name"), values)


def _options(settings: Any) -> dict[str, Any]:
    return {f.name: getattr(settings, f.name) for f in fields(settings)}


def _with_names(words: Sequence[str]) -> list[str]:
    """`--loss eqm` and `--loss=eqm` as the parser's `--loss.name eqm`."""
    result = []
    for word in words:
        flag, equals, value = word.partition("=")
        short = flag.removeprefix("--") in _CHOICES and flag.startswith("--")
        result.append(f"{flag}.name{equals}{value}" if short else word)
    return result


def _last(words: list[str], flag: str) -> str | None:
    found = None
    for i, word in enumerate(words):
        if word == flag and i + 1 < len(words):
            found = words[i + 1]
        elif word.startswith(flag + "="):
            found = word.partition("=")[2]
    return found


def flags(table: dict[str, Any], path: str = "") -> list[str]:
    """A table as the words that say the same on a command line."""
    words: list[str] = []
    for name, value in table.items():
        if isinstance(value, dict):
            words += flags(value, f"{path}{name}.")
        elif isinstance(value, bool):
            words.append(f"--{path}{'' if value else 'no-'}{name}")
        elif isinstance(value, list):
            words += [f"--{path}{name}", *map(str, value)]
        else:
            words += [f"--{path}{name}", str(value)]
    return words
