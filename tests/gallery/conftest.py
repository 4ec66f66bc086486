"""A tiny saved model, and people whom it has not seen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from evenface.backbones.saved import Card, save_model
from evenface.faces import InputFormat


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Small networks on few pictures: threads would only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def save_tiny(folder: Path) -> Path:
    """A run's folder with a network that was never trained, and a note in its card."""
    torch.manual_seed(0)
    card = Card(
        "tiny", {"embedding_size": 8}, InputFormat(32, 32, "gray"), {"step": 12, "unknown": [1.5, None]}
    )
    save_model(folder / "run", card.create(), card)
    return folder / "run"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """`save_tiny`."""
    return save_tiny(tmp_path)
