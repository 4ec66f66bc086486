"""What tests of several packages share."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from evenface.data import AugmentConfig, DataConfig
from evenface.faces import InputFormat
from evenface.training.config import Config, Named, TrainConfig

# The same examples in every run, however slow the machine; those who use a fixture's folder write it anew.
settings.register_profile(
    "evenface",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("evenface")

# Of a torchrun that started the tests, and of whoever wants colour or none in this terminal.
OTHERS = (
    *("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "LINES"),
)


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """The same for the tests and what they start, whatever shell they are started from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        for name in OTHERS:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True, scope="module")
def seeded_module() -> None:
    """What a module's own fixtures draw does not depend on the tests before it."""
    random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def seeded(seeded_module: None) -> None:
    """What a test draws does not depend on the tests before it."""
    random.seed(0)
    torch.manual_seed(0)


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


@pytest.fixture
def any_name(tmp_path: Path) -> None:
    """Names that are not UTF-8 can be given; elsewhere than on Linux many file systems refuse them."""
    probe = tmp_path / "\udcff"
    try:
        probe.touch()
    except (OSError, UnicodeError):
        pytest.skip("the file system refuses names that are not UTF-8")
    probe.unlink()


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
