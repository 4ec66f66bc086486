"""From a recipe file and the words of a command line to a `Config`, through one parser."""

import inspect
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import field, fields, is_dataclass, make_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from evenface import backbones, losses
from evenface.data import DataConfig
from evenface.errors import UserError, unknown
from evenface.faces import InputFormat
from evenface.training.config import Config, EvaluateConfig, Named, TrainConfig

# Of each table that a name chooses from: the table, the default, the arguments that are not settings.
_CHOICES: dict[str, tuple[dict[str, Callable[..., Any]], str, frozenset[str]]] = {
    "loss": (dict(losses.LOSSES), "eqm", frozenset({"num_classes", "embedding_size"})),
    "backbone": (dict(backbones.BACKBONES), "mobilefacenet", frozenset({"input_size", "channels"})),
}
_EMBEDDING_SIZE = 256


def parse(words: Sequence[str], *, prog: str, description: str, recipe: Path | None = None) -> Config:
    """The settings that a recipe file gives, changed by the command line's words.

    The file's entries are put in front of the words as flags, so both go through the same parser. Where
    the words name another loss or backbone than the file, the file's options of its own one are left aside.

    Raises:
        UserError: the file cannot be read, or has a table or key that is no setting.
        SystemExit: from the parser, for `--help` (0) and for words it does not know (2).
    """
    words = _with_names(words)
    table = _read(recipe) if recipe else {}
    chosen = {}
    for choice, (entries, default, _) in _CHOICES.items():
        if isinstance(table.get(choice, {}), str):  # loss = "eqm" for a table with a name alone
            table[choice] = {"name": table[choice]}
        if not isinstance(table.get(choice, {}), dict):
            raise UserError(f"{recipe}: {choice} is a table or a name, for example {choice} = {default!r}")
        in_file = table.get(choice, {}).get("name", default)
        name = _last(words, f"--{choice}.name") or in_file
        if name not in entries:
            raise unknown(choice, name, entries)
        if name != in_file:
            table.pop(choice, None)
        chosen[choice] = name
    kind = _arguments({choice: _settings_of(choice, name) for choice, name in chosen.items()})
    if recipe:
        _require_known(table, kind, recipe)
    parsed = tyro.cli(
        kind,
        args=[*_flags(table), *words],
        prog=prog,
        description=description,
    )
    return Config(
        data=parsed.data,
        input=parsed.input,
        train=parsed.train,
        evaluate=parsed.evaluate,
        **{choice: _named(getattr(parsed, choice)) for choice in _CHOICES},
    )


def resolve(config: Config) -> Config:
    """The same settings with every option of the loss and the backbone said, the defaults too."""
    whole = {}
    for choice in _CHOICES:
        named: Named = getattr(config, choice)
        if named.name not in _CHOICES[choice][0]:
            raise unknown(choice, named.name, _CHOICES[choice][0])
        defaults = _named(_settings_of(choice, named.name)()).options
        if wrong := named.options.keys() - defaults.keys():
            raise UserError(
                f"{choice}.{min(wrong)}: {named.name} has no such setting; it has {', '.join(defaults)}"
            )
        whole[choice] = Named(named.name, {**defaults, **named.options})
    return replace(config, loss=whole["loss"], backbone=whole["backbone"])


def _arguments(choices: dict[str, type]) -> Any:
    """A dataclass like Config, with the settings of the chosen loss and backbone in the place of `Named`."""
    members: list[tuple[str, Any, Any]] = [
        ("data", DataConfig, field(default_factory=DataConfig)),
        ("input", InputFormat, field(default_factory=InputFormat)),
        *((choice, kind, field(default_factory=kind)) for choice, kind in choices.items()),
        ("train", TrainConfig, field(default_factory=TrainConfig)),
        ("evaluate", EvaluateConfig, field(default_factory=EvaluateConfig)),
    ]
    return make_dataclass("Arguments", members)


def _settings_of(choice: str, name: str) -> type:
    """A dataclass of the keyword arguments of a table's entry, documented by its docstring."""
    entries, _, not_settings = _CHOICES[choice]
    entry = entries[name]
    function = entry.__init__ if inspect.isclass(entry) else entry
    one_of = Annotated[Literal[tuple(entries)], tyro.conf.arg(help=f"Short: --{choice} NAME.")]  # type: ignore[valid-type]
    members: list[tuple[str, Any, Any]] = [("name", one_of, field(default=name))]
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in {"self", *not_settings} or parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        default = _EMBEDDING_SIZE if parameter.name == "embedding_size" else parameter.default
        members.append((parameter.name, parameter.annotation, field(default=default)))
    kind = make_dataclass(f"{choice.title()}Options", members)
    kind.__doc__ = inspect.getdoc(getattr(entry, "func", entry))
    return kind


def _named(options: Any) -> Named:
    values = {f.name: getattr(options, f.name) for f in fields(options)}
    return Named(values.pop("name"), values)


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


def _read(recipe: Path) -> dict[str, Any]:
    try:
        with open(recipe, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise UserError(f"{recipe}: {error.strerror}; give a recipe file, or a folder of people") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{recipe}: not a TOML file: {error}") from None


def _require_known(table: dict[str, Any], kind: Any, recipe: Path, path: str = "") -> None:
    known = {f.name: f for f in fields(kind)}
    for name, value in table.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {path}{near[0]}?" if near else f"choose from {', '.join(known)}"
            raise UserError(f"{recipe}: {path}{name} is not a setting; {hint}")
        inner = known[name].type
        if isinstance(value, dict) != is_dataclass(inner):
            kinds = ("a table", "a setting") if is_dataclass(inner) else ("a setting", "a table")
            raise UserError(f"{recipe}: {path}{name} is {kinds[0]}, not {kinds[1]}")
        if isinstance(value, dict):
            _require_known(value, inner, recipe, f"{path}{name}.")


def _flags(table: dict[str, Any], path: str = "") -> list[str]:
    """A table as the words that say the same on a command line."""
    words: list[str] = []
    for name, value in table.items():
        if isinstance(value, dict):
            words += _flags(value, f"{path}{name}.")
        elif isinstance(value, bool):
            words.append(f"--{path}{'' if value else 'no-'}{name}")
        elif isinstance(value, list):
            words += [f"--{path}{name}", *map(str, value)]
        else:
            words += [f"--{path}{name}", str(value)]
    return words
