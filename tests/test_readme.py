"""What the README tells a reader to type works."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from evenface.backbones.saved import Card, save_model
from evenface.faces import InputFormat

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_python_examples_run(tmp_path, monkeypatch):
    training, using = re.findall("```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(training, names)
    assert names["loss"].shape == () and all(p.grad is not None for p in names["net"].parameters())

    monkeypatch.chdir(tmp_path)
    card = Card("tiny", {"embedding_size": 8}, InputFormat(32, 32))
    save_model(tmp_path / "runs/mine", card.create(), card)
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(name, np.random.default_rng(len(name)).integers(0, 256, (112, 112, 3), dtype=np.uint8))
    exec(using, names)
    assert names["cosine"] == pytest.approx(1.0)  # it is one picture


def test_every_page_that_is_linked_exists():
    root = Path(__file__).parent.parent
    for page in [root / "README.md", *(root / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"
