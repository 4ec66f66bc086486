from collections.abc import Callable
from pathlib import Path

import pytest

from .photographs import Photographs


@pytest.fixture
def photographs(tmp_path: Path) -> Callable[..., Photographs]:
    return lambda *names: Photographs(tmp_path, list(names))
