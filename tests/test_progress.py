"""The bars of long work."""

import pytest

from evenface.progress import bars


def test_a_bar_says_how_far_and_takes_any_words(capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes what is captured for a terminal
    with bars() as bar:
        move = bar("my [red]faces")
        move(3, 7)
    shown = capsys.readouterr()
    assert "my [red]faces" in shown.err and "3/7" in shown.err and not shown.out
