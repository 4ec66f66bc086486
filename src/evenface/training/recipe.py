"""A recipe file, and what is wrong with it in its own words."""

import tomllib
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from evenface.errors import UserError

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "text"}


def read_recipe(recipe: Path) -> dict[str, Any]:
    """A recipe file's tables; UserError where it cannot be read."""
    try:
        with open(recipe, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise UserError(f"{recipe}: {error.strerror}; give a recipe file, or a folder of people") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{recipe}: not a TOML file: {error}") from None


def require_settings(table: dict[str, Any], kind: Any, recipe: Path, path: str = "") -> None:
    """Raise UserError unless each key is a field of a dataclass, its value of that field's type."""
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
            require_settings(value, inner, recipe, f"{path}{name}.")
        elif not _fits(value, inner):
            shown = repr(value) if isinstance(value, (str, list)) else str(value).lower()
            raise UserError(f"{recipe}: {path}{name}: {shown} does not fit; give {_words(inner)}")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of a TOML file can be one of this type."""
    inner = get_args(kind)
    origin = get_origin(kind)
    if origin is Annotated:
        return _fits(value, inner[0])
    if origin is Literal:
        return str(value) in inner  # "128" may stand there as a number
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is tuple:
        values = value if isinstance(value, list) else [value]
        if inner[-1] is Ellipsis:
            return all(_fits(one, inner[0]) for one in values)
        return len(values) == len(inner) and all(map(_fits, values, inner))
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind in (int, float):
        return isinstance(value, (int, kind))
    return kind in (str, Path) and isinstance(value, str)


def _words(kind: Any) -> str:
    """What to give for a type."""
    inner = get_args(kind)
    origin = get_origin(kind)
    if origin is Annotated:
        return _words(inner[0])
    if origin is Literal:
        return " or ".join(f'"{one}"' for one in inner)
    if origin in (Union, UnionType):
        return " or ".join(_words(one) for one in inner if one is not type(None))
    if origin is tuple:
        many = "" if inner[-1] is Ellipsis else f" of {len(inner)}"
        return f"a list{many}, each {_words(inner[0])}"
    return _WORDS[kind]
