"""What tests of several packages share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real face sets: EVENFACE_DATA, or shared/data beside the repository."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("EVENFACE_DATA") or beside)
    if not (root / "lfw").is_dir():
        why = f"no real faces at {root}; set EVENFACE_DATA to the folder that holds lfw/, cfp/ and celeb/"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return root
