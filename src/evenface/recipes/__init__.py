"""The recipes that come with evenface: `recipes/...` finds them wherever one is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from evenface.errors import unknown

FOLDER = Path(__file__).parent
HELP = """The recipes that come with evenface: what each is for, or one of them whole.

examples
  evenface recipes
  evenface recipes recipes/lab/even.toml               with the call that runs it, at its top
  evenface recipes recipes/lab/even.toml > mine.toml   to begin with for one's own

A path that begins with recipes/ is a file of yours if there is one, else one of these."""


@dataclass(frozen=True)
class RecipesOptions:
    """Which."""

    recipe: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")] = None
    """One of those listed, to be printed."""


def run(words: list[str]) -> int:
    """Print the list, or a recipe.

    Raises:
        UserError: there is no such recipe.
    """
    options = tyro.cli(RecipesOptions, args=words, prog="evenface recipes", description=HELP)
    recipes = {f"recipes/{path.relative_to(FOLDER).as_posix()}": path for path in FOLDER.rglob("*.toml")}
    if options.recipe is not None:
        if options.recipe not in recipes:
            raise unknown("RECIPE", options.recipe, sorted(recipes))
        print(recipes[options.recipe].read_text(encoding="utf-8"), end="")
        return 0
    for name in sorted(recipes):
        print(f"{name}\n  {_about(recipes[name])}")
    return 0


def find_recipe(path: Path) -> Path:
    """The file at a path; where there is none and it begins with `recipes/`, the one that comes with this."""
    own = FOLDER.joinpath(*path.parts[1:])
    return own if path.parts[:1] == ("recipes",) and own.is_file() and not path.exists() else path


def _about(recipe: Path) -> str:
    """The first sentence of a recipe's first comment."""
    lines = recipe.read_text(encoding="utf-8").split("\n#\n")[0].splitlines()
    return " ".join(line.removeprefix("# ") for line in lines).split(". ")[0].removesuffix(".") + "."
