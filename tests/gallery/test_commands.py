"""`evenface calibrate` and `evenface verify`, from words to exit codes."""

import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.evaluation.conftest import make_cfp, make_lfw

from evenface.backbones.saved import load_model
from evenface.cli import main
from evenface.evaluation.models import open_model
from evenface.evaluation.templates import unit_rows
from evenface.evaluation.torch_embedder import TorchEmbedder
from evenface.faces import read_image
from evenface.gallery.calibration import read_calibration


def cosine(run: Path, a: Path, b: Path) -> float:
    """With the mirror image added, by other means than the command's."""
    net, card = load_model(run)
    rows = []
    for path in (a, b):
        fitted = card.format.fit(read_image(path))
        both = card.format.normalise(np.stack([fitted, fitted[:, ::-1]]))
        rows.append(TorchEmbedder(net, card.format)(both).sum(0))
    return round(float(np.prod(unit_rows(rows), axis=0, dtype=float).sum()), 6)


@pytest.fixture
def calibrated(run, people, capsys) -> Path:
    assert main(["calibrate", str(run), "--people", str(people), "--fmr", "1e-1", "1e-2", "1e-3"]) == 0
    return run


def test_calibrate_prints_and_keeps(run, people, capsys, tmp_path):
    words = ["calibrate", str(run), "--people", str(people), "--fmr", "1e-2", "1e-1", "5e-3", "1e-4"]
    assert main([*words, "--json", str(tmp_path / "c.json")]) == 0
    printed = capsys.readouterr().out
    assert f"{run} on {people}, all pairs of 48 pictures of 6 people\n" in printed
    assert "32x32 gray, (x-127.5)/127.5; sum flip; pictures as they are; pictures " in printed
    assert "* FMR 1e-4: not measurable: 960 impostor pairs are fewer than 1/FMR" in printed
    assert "* FMR 0.005: rests on too few: 4.8 impostor pairs may pass, fewer than 10" in printed
    assert f"kept in {run / 'card.json'}" in printed
    kept = read_calibration(run)
    for at, by in kept.thresholds[:3]:
        t = at.threshold
        fmr = {0.1: "1e-1", 0.01: "1e-2 \\*", 0.005: "0.005 \\*"}[at.fmr_target]
        row = rf"{fmr} +{t:.4f} +{2 - 2 * t:.4f} +{(2 - 2 * t) ** 0.5:.4f} +{100 * at.fnmr:.2f} +"
        assert re.search(rf"{row}{at.impostors_passing} of 960", printed)
        assert re.search(rf"{fmr} +people +{by.threshold[0]:.4f} to {by.threshold[1]:.4f}", printed)
        assert re.search(rf"pairs +{at.threshold_interval[0]:.4f} to", printed)
    written = json.loads((tmp_path / "c.json").read_text())
    assert written.pop("model") == str(run)
    assert written == json.loads((run / "card.json").read_text())["notes"]["calibration"]


def test_verify_says_where_its_threshold_comes_from(calibrated, people, capsys):
    at, by = read_calibration(calibrated).at(1e-1)
    pictures = [people / "p0/0.png", people / "p0/1.png", people / "p1/0.png", people / "p5/3.png"]
    scores = [cosine(calibrated, pictures[0], other) for other in pictures[1:]]
    capsys.readouterr()
    code = main(["verify", str(calibrated), *map(str, pictures), "--fmr", "0.1"])
    captured = capsys.readouterr()
    assert code == (0 if min(scores) >= at.threshold else 1)
    lines = captured.out.splitlines()
    for k, (score, other) in enumerate(zip(scores, pictures[1:], strict=True)):
        says = "the same person" if score >= at.threshold else "different people"
        assert lines[2 * k].startswith(f"{pictures[0]}, {other}: {says}")
        assert ("too close" in lines[2 * k]) == (by.threshold[0] <= score <= by.threshold[1])
        distances = f"squared L2 {2 - 2 * score:.4f}, L2 {(2 - 2 * score) ** 0.5:.4f}"
        assert lines[2 * k + 1] == f"  cosine {score:.4f}, {distances}"
    assert lines[6].startswith(f"threshold: cosine >= {at.threshold:.4f}, ")
    assert lines[7].startswith(f"  for FMR 1e-1 on {people}, all pairs of 48 pictures of 6 people, ")
    assert f"by person: {by.threshold[0]:.4f} to {by.threshold[1]:.4f}" in lines[8]
    assert captured.err == ""  # 40x40 pixels, as the calibration's


def test_exit_codes(calibrated, people, tmp_path, capsys):
    a, b, other = (str(people / name) for name in ("p0/0.png", "p0/0.png", "p3/1.png"))
    assert main(["verify", str(calibrated), a, b, "--fmr", "1e-2"]) == 0
    score = cosine(calibrated, Path(a), Path(other))
    for threshold, code in ((score - 1e-4, 0), (score + 1e-4, 1)):
        assert main(["verify", str(calibrated), a, other, "--threshold", str(threshold)]) == code
        assert main(["verify", str(calibrated), a, b, other, "--threshold", str(threshold)]) == code
    capsys.readouterr()
    assert main(["verify", str(calibrated), a, other, "--threshold", "0"]) == (0 if score >= 0 else 1)
    assert "it is the one given" in capsys.readouterr().out


def test_a_picture_is_the_same_person_as_itself_at_any_threshold(run, people, capsys):
    picture = str(people / "p0/0.png")
    assert main(["verify", str(run), picture, picture, "--threshold", "1"]) == 0
    assert "cosine 1.0000" in capsys.readouterr().out


def test_calibrate_prints_whole_figures_on_a_narrow_terminal(run, people, capsys, monkeypatch):
    words = ["calibrate", str(run), "--people", str(people), "--fmr", "1e-1"]
    assert main(words) == 0
    wide = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "30")
    assert main(words) == 0
    narrow = capsys.readouterr().out
    assert narrow == wide and wide.count("…") == 1  # of the digest


def test_pictures_unlike_the_calibrations_are_pointed_out(calibrated, people, tmp_path, capsys):
    large = cv2.resize(cv2.imread(str(people / "p0/0.png")), (50, 60))
    cv2.imwrite(str(tmp_path / "large.png"), large)
    pair = people / "p0/0.png", tmp_path / "large.png"
    score, words = cosine(calibrated, *pair), ["verify", str(calibrated), *map(str, pair)]
    assert main(words) == 2  # FMR 1e-3 of 960 pairs is not measurable
    assert "not measurable" in capsys.readouterr().err
    threshold = read_calibration(calibrated).at(1e-2)[0].threshold
    assert main([*words, "--fmr", "1e-2"]) == (0 if score >= threshold else 1)
    assert "large.png is 60x50 pixels, not 40x40" in capsys.readouterr().err
    assert main([*words, "--threshold", "0.5"]) == (0 if score >= 0.5 else 1)
    assert "p0/0.png is 40x40 pixels, not 112x112" in capsys.readouterr().err


def test_verify_embeds_as_the_calibration_did(run, people, tmp_path, capsys):
    """A mirror image is the same person where it is added, which no single picture's embedding would say."""
    picture = cv2.imread(str(people / "p0/0.png"))
    cv2.imwrite(str(tmp_path / "mirror.png"), picture[:, ::-1])
    found = {}
    for flip in ("none", "sum", "concat"):
        assert main(["calibrate", str(run), "--people", str(people), "--flip", flip, "--fmr", "0.01"]) == 0
        capsys.readouterr()
        pair = [str(people / "p0/0.png"), str(tmp_path / "mirror.png")]
        main(["verify", str(run), *pair, "--fmr", "0.01"])
        calibrated = capsys.readouterr().out.splitlines()[1]
        main(["verify", str(run), *pair, "--threshold", "0.5", "--flip", flip])
        assert capsys.readouterr().out.splitlines()[1] == calibrated
        found[flip] = calibrated
    assert "cosine 1.0000" in found["sum"]
    assert len(set(found.values())) == 3


def test_lfw_cfp_and_a_function(tmp_path, monkeypatch, capsys):
    lfw, cfp = make_lfw(tmp_path / "lfw"), make_cfp(tmp_path / "cfp")
    (tmp_path / "pixels_of.py").write_text("def embed(x):\n    return x.reshape(len(x), -1)\n")
    monkeypatch.chdir(tmp_path)
    model = ["calibrate", "pixels_of:embed", "--size", "16x16", "--colour", "gray", "--fmr", "0.2"]
    for words, says in (
        (["--lfw", str(lfw)], "LFW, all pairs of 18 pictures of 6 people"),
        (["--lfw", str(lfw), "--pairs", "official"], "LFW, its 12 listed pairs"),
        (["--cfp", str(cfp)], "CFP, all pairs of 24 pictures of 6 people"),
        (["--cfp", str(cfp), "--pairs", "official"], "CFP, its 24 listed pairs"),
    ):
        assert main([*model, *words, "--json", "c.json"]) == 0
        printed = capsys.readouterr().out
        assert f"pixels_of:embed on {says}" in printed and "kept in" not in printed
        written = json.loads(Path("c.json").read_text())
        assert written["set"] == says and written["model_sha256"] == open_model("pixels_of:embed").fingerprint
        assert written["thresholds"][0]["fnmr"] == 0.0  # a made-up person's pictures hardly differ


def test_the_people_of_the_training_are_pointed_out(run, people, tmp_path, capsys):
    (run / "config.toml").write_text(f'[data]\nroot = "{people}"\n')
    words = ["calibrate", str(run), "--fmr", "0.1", "--people"]
    assert main([*words, str(people)]) == 0
    assert "is what the model was trained on" in capsys.readouterr().err
    shutil.copytree(people, tmp_path / "others")
    assert main([*words, str(tmp_path / "others")]) == 0
    assert "trained" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["calibrate", "RUN"], "name one set"),
        (["calibrate", "RUN", "--people", "PEOPLE", "--lfw", "x"], "name one set"),
        (["calibrate", "RUN", "--people", "nowhere"], "--people: nowhere is not a folder"),
        (["calibrate", "RUN", "--people", "PEOPLE", "--pairs", "official"], "--pairs official"),
        (["calibrate", "RUN", "--people", "PEOPLE", "--fmr", "0"], "--fmr: 0 is no false match rate"),
        (["calibrate", "RUN", "--people", "PEOPLE", "--fmr"], "--fmr: name one false match rate"),
        (["calibrate", "RUN", "--people", "PEOPLE", "--fmr", "1e-9"], "no threshold at any FMR"),
        (["calibrate", "RUN", "--people", "PEOPLE", "--json", "no/where.json"], "there is no folder no"),
        (["calibrate", "RUN", "--people", "PEOPLE", "--json", "PEOPLE"], "is a folder; name a file"),
        (["calibrate", "RUN", "--people", "PEOPLE", "--size", "9x9"], "says itself what it expects"),
        (["calibrate", "nowhere", "--people", "PEOPLE"], "nowhere: not a model"),
        (["verify", "RUN", "A"], "two pictures or more"),
        (["verify", "RUN", "A", "A"], "is not calibrated, so it has no threshold; run `evenface calibrate"),
        (["verify", "RUN", "A", "none.jpg", "--threshold", "0.5"], "none.jpg: No such file"),
        (["verify", "RUN", "A", "RUN/card.json", "--threshold", "0.5"], "not a picture"),
        (["verify", "RUN", "A", "A", "--threshold", "1.5"], "--threshold: 1.5 is no cosine"),
        (["verify", "RUN", "A", "A", "--threshold", "nan"], "--threshold: nan is no cosine"),
        (["verify", "RUN", "A", "A", "--threshold", "0.5", "--fmr", "0.1"], "give one of them"),
        (["verify", "RUN", "A", "A", "--flip", "none"], "--flip: goes with --threshold"),
        (["verify", "nowhere", "A", "A"], "nowhere: no trained model here"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(words, says, run, people, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"RUN": str(run), "PEOPLE": str(people), "A": str(people / "p0/0.png")}
    words = [re.sub("^(RUN|PEOPLE|A)(?=$|/)", lambda m: places[m[0]], word) for word in words]
    assert main(words) == 2
    error = capsys.readouterr().err.lstrip()  # a progress bar ends its line
    assert error.startswith("evenface: ") and says in error and "Traceback" not in error
    assert "calibration" not in json.loads((run / "card.json").read_text())["notes"]


def test_an_fmr_that_was_not_calibrated(calibrated, people, capsys):
    pair = [str(people / "p0/0.png")] * 2
    assert main(["verify", str(calibrated), *pair, "--fmr", "0.02"]) == 2
    assert "FMR 0.02 is not calibrated, only 1e-1, 1e-2" in capsys.readouterr().err
    assert main(["verify", str(calibrated), *pair]) == 2  # 960 pairs do not measure the default
    assert "FMR 1e-3 on" in capsys.readouterr().err


def test_stored_embeddings_have_no_pictures(tmp_path, people, capsys):
    np.save(tmp_path / "lfw.npy", np.ones((1, 2), np.float32))
    (tmp_path / "lfw.txt").write_text("a\n")
    assert main(["calibrate", str(tmp_path), "--people", str(people)]) == 2
    assert "give the model itself" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["run", "elsewhere"])
def test_what_cannot_be_written_is_said_before_embedding(place, run, people, tmp_path, capsys, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    own = os.access
    closed = str(tmp_path / place)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(closed) and own(path, mode))
    monkeypatch.setattr("evenface.gallery.calibrate_command.calibrate", lambda *_, **__: pytest.fail("began"))
    file = tmp_path / "elsewhere/found.json"
    assert main(["calibrate", str(run), "--people", str(people), "--json", str(file)]) == 2
    name, path = {"run": ("MODEL", run / "card.json"), "elsewhere": ("--json", file)}[place]
    assert f"evenface: {name}: {path} cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "recipe",
    ["[data", "[data]\nroot = 3", "[data]\nroot = ['a']", "data = 1", "", "[data]\nroot = ''", b"\xff"],
)
def test_a_recipe_that_does_not_say_the_people_says_nothing(recipe, run, people, capsys, monkeypatch):
    monkeypatch.chdir(people)
    (run / "config.toml").write_bytes(recipe if isinstance(recipe, bytes) else recipe.encode())
    assert main(["calibrate", str(run), "--fmr", "0.1", "--people", "."]) == 0
    assert "trained" not in capsys.readouterr().err


def test_a_path_with_brackets_is_no_markup(run, people, tmp_path):
    shutil.copytree(people, tmp_path / "[/b]")
    assert main(["calibrate", str(run), "--fmr", "0.1", "--people", str(tmp_path / "[/b]")]) == 0
