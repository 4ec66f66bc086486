"""A file is there whole or not at all."""

from pathlib import Path

import pytest

from evenface.files import whole


def test_a_file_takes_the_place_of_the_old_one_in_one_step(tmp_path: Path):
    file = tmp_path / "figures.json"
    file.write_text("old")
    with whole(file) as unfinished:
        unfinished.write_text("new")
        assert file.read_text() == "old" and unfinished.parent == tmp_path
    assert file.read_text() == "new" and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_one_and_nothing_else(tmp_path: Path, error: type[BaseException]):
    file = tmp_path / "figures.json"
    file.write_text("old")
    with pytest.raises(error), whole(file) as unfinished:
        unfinished.write_text("ha")
        raise error
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_nothing_written_is_an_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError), whole(tmp_path / "never"):
        pass
