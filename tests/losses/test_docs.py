"""docs/losses.md has every loss and regulariser, with the sources and the defaults of the code."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from evenface import losses
from evenface.losses.regularisers import REGULARISERS

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text()
KINDS = losses.LOSSES | REGULARISERS
SECTIONS = dict(re.findall(r"^### `(.+?)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
# name -> the cells behind it, of each line | [`name`](#name) | `Class` | source | `setting = default`, ... |
ROWS = {
    name: [cell.strip() for cell in rest.split("|")]
    for name, rest in re.findall(r"^\| \[`(.+?)`\]\(#\1\) \| (.+) \|$", PAGE, re.MULTILINE)
}


def defaults(kind: type) -> dict[str, object]:
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_the_page_has_each_once_and_no_other():
    assert sorted(re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)) == sorted(KINDS)
    assert sorted(re.findall(r"^\| \[`(.+?)`\]", PAGE, re.MULTILINE)) == sorted(KINDS)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_table_agrees_with_the_code(name):
    kind, source, settings = ROWS[name]
    assert kind == f"`{KINDS[name].__name__}`"
    assert source == "none" or source in " ".join((inspect.getdoc(KINDS[name]) or "").split())
    assert re.fullmatch(r"none|`\w+ = [^`]+`(, `\w+ = [^`]+`)*", settings)
    written = re.findall(r"`(\w+) = ([^`]+)`", settings)
    assert {setting: ast.literal_eval(value) for setting, value in written} == defaults(KINDS[name])


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_section_speaks_of_every_setting(name):
    missing = [setting for setting in defaults(KINDS[name]) if f"`{setting}`" not in SECTIONS[name]]
    assert not missing
