"""The demo, whole but short."""

import numpy as np
import pytest

from evenface import cli
from evenface.backbones.saved import load_model
from evenface.demo import orl
from evenface.demo.command import LOSSES
from evenface.errors import UserError


def test_orl_is_long_tailed_and_nobody_is_on_both_sides():
    everyone = orl.faces()
    assert len(everyone) == 400 and (everyone.counts() == 10).all()
    known, unseen = orl.split(everyone)
    counts = known.counts()
    assert len(counts) == 30 and counts[0] == 10 and counts[-1] == 2 and (np.diff(counts) <= 0).all()
    assert (unseen.counts() == 10).all() and len(unseen.identities) == 10
    assert not set(known.identities) & set(unseen.identities)


def test_orl_missing_names_the_cure(monkeypatch):
    monkeypatch.setattr(orl, "files", lambda name: [])
    with pytest.raises(UserError, match="0 of the 400"):
        orl.faces()


def test_it_does_not_write_over_other_files(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    assert cli.main(["demo", "-o", str(tmp_path), "--epochs", "1"]) == 2
    assert "name another folder" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_demo_from_start_to_page(tmp_path, capsys):
    assert cli.main(["demo", "-o", str(tmp_path / "demo"), "--epochs", "24"]) == 0
    table = capsys.readouterr().out
    page = (tmp_path / "demo/report.html").read_text()
    for loss in LOSSES:
        _, card = load_model(tmp_path / "demo/runs" / loss)
        assert card.notes["centres_turned"] > 20, "the centres do not learn"
    for loss in ("eqm", "cosface", "arcface", "normalized"):
        assert loss in table and loss in page
    assert page.count("<svg") == 3 and "data:image/png;base64," in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ), "the page must load nothing from elsewhere"
