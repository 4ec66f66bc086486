"""What tests of several packages share."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from evenface.data import AugmentConfig, DataConfig
from evenface.faces import InputFormat
from evenface.training.config import Config, Named, TrainConfig


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real face sets: EVENFACE_DATA, or shared/data beside the repository."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("EVENFACE_DATA") or beside).resolve()
    if not (root / "lfw").is_dir():
        why = f"no real faces at {root}; set EVENFACE_DATA to the folder that holds lfw/, cfp/ and celeb/"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return root


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of made-up people that a tiny network tells apart."""
    root = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    for person in range(6):
        (root / f"p{person}").mkdir()
        pattern = rng.integers(0, 256, (4, 4, 3))
        for i in range(8):
            small = np.clip(pattern + rng.normal(0, 30, pattern.shape), 0, 255).astype(np.uint8)
            picture = cv2.resize(small, (40, 40), interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(root / f"p{person}" / f"{i}.png"), picture)
    return root


@pytest.fixture
def config(people: Path) -> Config:
    """12 steps that use every source of randomness: order, augmentation, dropout; and a moving average."""
    return Config(
        data=DataConfig(
            root=people, workers=0, sampler="balanced", augment=AugmentConfig(shift=0.1, erase=0.5)
        ),
        input=InputFormat(32, 32, "gray"),
        backbone=Named("compact", {"embedding_size": 16, "dropout": 0.2}),
        loss=Named("eqm"),
        train=TrainConfig(
            epochs=3,
            batch_size=12,
            learning_rate=0.05,
            log_every=1,
            checkpoint_every=5,
            ema=0.5,
            device="cpu",
        ),
    )
