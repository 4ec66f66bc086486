"""Imports go one way."""

import ast
from pathlib import Path

import pytest

import evenface

ROOT = Path(evenface.__file__).parent
# A package may import from those of a smaller number, and from itself.
RANK = {
    "errors": 0,
    "files": 0,
    "progress": 0,
    "recipes": 1,
    "faces": 1,
    "data": 1,
    "backbones": 2,
    "losses": 2,
    "evaluation": 3,
    "geometry": 3,
    "training": 4,
    "analyze": 5,
    "check": 5,
    "demo": 5,
    "gallery": 5,
    "lab": 5,
    "info": 5,
    "picture": 5,
    "align": 5,
    "convert": 5,
    "sizes": 5,
    "compare": 6,
    "cli": 7,
    "__main__": 8,
    "__init__": -1,
}
# Pictures are read by data; networks need the input's format.
ALLOWED = {("data", "faces")}


def package(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path):
    own = package(path)
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
            if node.module == "evenface":
                modules = [f"evenface.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            parts = module.split(".")
            if parts[0] == "evenface" and len(parts) > 1 and parts[1] != own:
                other = parts[1]
                assert RANK[other] < RANK[own] or (own, other) in ALLOWED, f"{path}: {own} imports {other}"


def test_files_hold_one_idea():
    long = {str(p): n for p in ROOT.rglob("*.py") if (n := len(p.read_text().splitlines())) > 310}
    assert not long
