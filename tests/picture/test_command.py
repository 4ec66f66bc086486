"""`evenface picture`, small."""

import json

import pytest

from evenface import cli

SMALL = ["picture", "--losses", "eqm,cosface", "--steps", "6"]


def test_it_writes_pictures_animations_and_figures(tmp_path, capsys):
    assert cli.main([*SMALL, "-o", str(tmp_path), "--animate", "--imbalance", "72"]) == 0
    for name in ("picture-2d", "picture-3d"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        gif = (tmp_path / f"{name}.gif").read_bytes()
        assert gif.startswith(b"GIF89a") and len(gif) < 3_000_000
    written = json.loads((tmp_path / "picture.json").read_text())
    assert written["images"]["long-tailed"][0] == 144 and written["images"]["long-tailed"][9] == 2
    keys = {(r["dimensions"], r["set"], r["loss"]) for r in written["results"]}
    assert len(keys) == len(written["results"]) == 8
    for r in written["results"]:
        assert len(r["neighbours"]) == len(r["scopes"]) == 10
        if r["dimensions"] == 2:
            assert sum(r["neighbours"]) == pytest.approx(360, abs=0.02)
    printed = capsys.readouterr().out
    for r in written["results"]:
        assert r["loss"] in printed and f"{r['spread']:.3f}" in printed


def test_the_same_seed_gives_the_same_files_and_another_does_not(tmp_path):
    for folder, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        words = [*SMALL, "--dimensions", "2", "-o", str(tmp_path / folder), "--seed", seed]
        assert cli.main(words) == 0
        assert not (tmp_path / folder / "picture-3d.png").exists()
    for name in ("picture.json", "picture-2d.png"):
        a, b, c = ((tmp_path / folder / name).read_bytes() for folder in "abc")
        assert a == b and a != c


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--losses", "eqm,arcfaces"], "--losses: 'arcfaces' is not known; did you mean 'arcface'"),
        (["--losses", "triplet"], "choose from softmax"),
        (["--losses", "eqm,eqm"], "names a loss twice"),
        (["--losses", ""], "--losses: ''"),
        (["--steps", "0"], "--steps: 0"),
        (["--seed", "-1"], "--seed: -1"),
        (["--imbalance", "0"], "--imbalance: 0"),
        (["-o", "taken"], "--output: taken is a file"),
    ],
)
def test_mistakes_are_one_sentence(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("keep")
    assert cli.main(["picture", *words]) == 2
    assert says in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["taken"], "nothing is written"
