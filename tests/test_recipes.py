"""The recipes that come with the package: listed, printed, and found from anywhere."""

import re
import tomllib
from pathlib import Path

import pytest

from evenface.cli import main
from evenface.recipes import FOLDER, find_recipe

ROOT = Path(__file__).parents[1]
RECIPES = sorted(FOLDER.rglob("*.toml"))


def name(recipe: Path) -> str:
    return f"recipes/{recipe.relative_to(FOLDER).as_posix()}"


def test_all_are_listed_with_a_sentence(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == sorted(map(name, RECIPES))
    assert all(line.startswith("  ") and line.endswith(".") and len(line) > 20 for line in lines[1::2])


@pytest.mark.parametrize("recipe", RECIPES, ids=name)
def test_each_is_printed_as_it_is_and_says_how_it_is_run(recipe, capsys):
    assert main(["recipes", name(recipe)]) == 0
    text = capsys.readouterr().out
    assert text == recipe.read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    command = "compare" if "losses" in tables else "lab" if "lab" in tables else "train"
    assert f"#   evenface {command} {name(recipe)} " in text


def test_a_wrong_name_is_told(capsys):
    assert main(["recipes", "recipes/lab/evn.toml"]) == 2
    assert "did you mean 'recipes/lab/even.toml'" in capsys.readouterr().err


def test_ones_own_file_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("recipes/lab/even.toml")
    assert find_recipe(path) == FOLDER / "lab/even.toml"
    assert find_recipe(Path("lab/even.toml")) == Path("lab/even.toml")
    assert find_recipe(Path("recipes/none.toml")) == Path("recipes/none.toml")
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert find_recipe(path) == path


@pytest.mark.parametrize(
    "words",
    [
        ["train", "recipes/celeb-eqm-cpu.toml"],
        ["lab", "recipes/lab/cfp-to-lfw.toml"],
        ["compare", "recipes/lab/even.toml"],
        ["compare", "--recipe", "recipes/lab/cfp-to-lfw.toml", "--losses", "eqm"],
    ],
    ids=lambda words: " ".join(words),
)
def test_every_command_finds_them(words, tmp_path, monkeypatch, capsys):
    """Without a set of pictures it says what is missing there, not that the recipe is."""
    monkeypatch.chdir(tmp_path)
    assert main([*words, "-o", "out"]) != 0
    said = "".join(capsys.readouterr())
    assert "No such file" not in said
    assert "data.root: no images given" in said or "lab." in said, said


def test_every_recipe_that_is_named_is_there():
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *(ROOT / "src").rglob("*.py"), *RECIPES]
    named = {
        found
        for file in files
        for found in re.findall(r"\brecipes/[\w/-]+\.toml", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 10 and named - {"recipes/none.toml"} <= set(map(name, RECIPES))
