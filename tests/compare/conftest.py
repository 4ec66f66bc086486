"""A program that stands in for evenface, and recipes for it."""

from collections.abc import Callable
from pathlib import Path

import pytest

# Writes figures that depend on the loss's name and the seed alone; the environment says how it behaves.
FAKE = """
import json, os, sys, time
from pathlib import Path

words = sys.argv[1:]
ledger = Path(os.environ["LEDGER"])
with open(ledger / "calls", "a") as file:
    file.write(json.dumps(words) + chr(10))
cell = Path(words[2] if words[1] == "--resume" else words[words.index("-o") + 1])
if os.environ.get("MEET"):  # two must be here at once
    (ledger / f"here-{os.getpid()}").touch()
    end = time.monotonic() + 120
    while len(list(ledger.glob("here-*"))) < 2:
        assert time.monotonic() < end, "alone"
        time.sleep(0.01)
if os.environ.get("ALONE"):  # no two may be here at once
    open(ledger / "alone", "x").close()
    time.sleep(0.1)
    (ledger / "alone").unlink()
if os.environ.get("SLEEP"):
    (ledger / "pid").write_text(str(os.getpid()))
    time.sleep(3600)
if os.environ.get("HALT"):
    (cell / "checkpoints/step-00000500").mkdir(parents=True)
    (cell / "config.toml").touch()
    sys.exit(9)
name = words[words.index("--loss") + 1] if "--loss" in words else "resumed"
seed = int(words[words.index("--train.seed") + 1]) if "--train.seed" in words else 0
print("first words")
if name == os.environ.get("FAIL"):
    sys.exit("the loss became NaN")
figures = {"eer": len(name) / 100 + seed**2 / 1000, "rank1": 0.5 + len(name) / 50 - seed / 100}
figures["threads"] = int(os.environ["OMP_NUM_THREADS"])
(cell / "figures.json").write_text(json.dumps(figures))
"""


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "ledger"
    folder.mkdir()
    (folder / "calls").touch()
    (folder / "fake.py").write_text(FAKE)
    monkeypatch.setenv("LEDGER", str(folder))
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def program(ledger: Path) -> str:
    return "fake"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Write a comparison file beside a lab recipe."""
    (tmp_path / "lab.toml").write_text(
        '# a comment\n[lab]\ncfp = "cfp"\nlfw = "lfw"\ncut = "power"\nimbalance = 1\n'
    )
    (tmp_path / "train.toml").write_text('[data]\nroot = "people"\nholdout = 2\n')

    def written(text: str) -> Path:
        (tmp_path / "grid.toml").write_text(text)
        return tmp_path / "grid.toml"

    return written
