"""`evenface analyze` on a run that was trained here."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from evenface.analyze.figures import equal_count, geometry
from evenface.analyze.run import read_run
from evenface.cli import main
from evenface.training import checkpoint
from evenface.training.config import Config, Named
from evenface.training.loop import train

QUIET = Console(quiet=True)


@pytest.fixture
def trained(config: Config, tmp_path: Path) -> Path:
    return train(replace(config, train=replace(config.train, ema=0.0)), tmp_path / "run", console=QUIET)


def test_the_figures_of_a_run(trained, capsys):
    assert main(["analyze", str(trained)]) == 0
    assert "by the learned centres" in capsys.readouterr().out
    found = json.loads((trained / "geometry/geometry.json").read_text())
    learned, means = found["geometry"]
    assert (learned["classes"], learned["images"], means["centres"]) == (6, 48, "means")

    run = read_run(trained)
    f = run.embeddings.double().numpy()
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    w = run.centres.double().numpy()
    angle = np.degrees(np.arccos(np.clip(f @ w.T, -1, 1)))
    y = run.labels.numpy()
    between = np.degrees(np.arccos(np.clip(w @ w.T, -1, 1))) + 360 * np.eye(6)
    scope = np.array([angle[y == k, k].mean() for k in range(6)])
    margin = between.min(1) / 2 - scope
    for name, values in (("scope", scope), ("nearest", between.min(1)), ("margin", margin)):
        assert learned["columns"][name]["mean"] == pytest.approx(values.mean(), abs=1e-2)
        assert learned["columns"][name]["sd"] == pytest.approx(values.std(), abs=1e-2)
    assert "head" not in learned["columns"]["scope"]  # everybody has eight images
    rows = list(csv.DictReader((trained / "geometry/classes.csv").open()))
    assert len(rows) == 12 and [float(r["scope"]) for r in rows[:6]] == pytest.approx(scope, abs=1e-2)
    assert rows[0]["nearest_identity"] == run.identities[int(between[0].argmin())]
    one = geometry(run, "learned", 2)
    rival = np.where(np.eye(6, dtype=bool)[y], 999, angle).min(1)
    assert one.rivals.numpy() == pytest.approx(rival, abs=1e-2)
    page = (trained / "geometry/geometry.html").read_text()
    assert page.count("<svg") == 5 and "over the training" in page


def test_head_and_tail(config, people, tmp_path):
    uneven = tmp_path / "people"
    shutil.copytree(people, uneven)
    for n in range(2, 8):
        (uneven / f"p5/{n}.png").unlink()
    run = train(replace(config, data=replace(config.data, root=uneven)), tmp_path / "run", console=QUIET)
    assert main(["analyze", str(run), "--equal", "3", "-o", str(tmp_path / "out")]) == 0
    learned = json.loads((tmp_path / "out/geometry.json").read_text())["geometry"][0]
    rows = [r for r in csv.DictReader((tmp_path / "out/classes.csv").open()) if r["centres"] == "learned"]
    tail = [float(r["scope"]) for r in rows[-2:]]  # of the five with eight, the last in order
    assert learned["columns"]["scope"]["tail"] == pytest.approx(np.mean(tail), abs=1e-3)
    assert learned["columns"]["scope_equal"]["n"] == 5 and rows[-1]["scope_equal"] == "nan"


def test_one_image_a_person_has_no_scope_at_equal_counts(config, people, tmp_path):
    single = tmp_path / "people"
    for one in sorted(people.iterdir()):
        (single / one.name).mkdir(parents=True)
        shutil.copy(one / "0.png", single / one.name)
    data = replace(config.data, root=single, min_images=1)
    run = train(
        replace(config, data=data, train=replace(config.train, batch_size=4)), tmp_path / "run", console=QUIET
    )
    assert main(["analyze", str(run), "-o", str(tmp_path / "out")]) == 0
    learned = json.loads((tmp_path / "out/geometry.json").read_text())["geometry"][0]
    assert "scope_equal" not in learned["columns"] and learned["columns"]["scope"]["n"] == 6


@pytest.mark.usefixtures("any_name")
def test_what_training_skips_is_skipped_here_and_any_name_is_written(config, people, tmp_path):
    broken = tmp_path / "people"
    shutil.copytree(people, broken)
    (broken / "p0").rename(broken / "J\udcfcrgen")
    (broken / "p1/0.png").write_bytes(b"not a picture")
    for number in range(8):
        (broken / f"p2/{number}.png").write_bytes(b"not a picture")
    data = replace(config.data, root=broken, corrupt="skip")
    run = train(replace(config, data=data), tmp_path / "run", console=QUIET)
    assert main(["analyze", str(run), "-o", str(tmp_path / "out")]) == 0
    learned = json.loads((tmp_path / "out/geometry.json").read_text())["geometry"][0]
    assert (learned["classes"], learned["images"]) == (5, 39)
    with open(tmp_path / "out/classes.csv", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert [row["identity"] for row in rows[:5]] == ["J\udcfcrgen", "p1", "p3", "p4", "p5"]
    assert [row["images"] for row in rows[:5]] == ["8", "7", "8", "8", "8"]


def test_a_loss_without_centres(config, tmp_path, capsys):
    run = train(replace(config, loss=Named("triplet")), tmp_path / "run", console=QUIET)
    assert main(["analyze", str(run)]) == 0
    assert "has no class centres" in capsys.readouterr().out
    assert len(json.loads((run / "geometry/geometry.json").read_text())["geometry"]) == 1


def test_the_best_models_own_centres(config, tmp_path):
    """With measurements on the way the model is the best one's, and so must the centres be."""
    held = replace(
        config,
        data=replace(config.data, holdout=2),
        evaluate=replace(config.evaluate, every=2),
        train=replace(config.train, ema=0.0),
    )
    run = train(held, tmp_path / "run", console=QUIET)
    step = json.loads((run / "card.json").read_text())["notes"]["step"]
    assert read_run(run).step == step
    tensors, _ = checkpoint.read(checkpoint.of_step(run, step))
    expected = torch.nn.functional.normalize(tensors["head.centres"])
    torch.testing.assert_close(read_run(run).centres, expected)


def test_pictures_that_moved_or_changed(trained, people, tmp_path, capsys):
    moved = tmp_path / "moved"
    shutil.copytree(people, moved)
    assert main(["analyze", str(trained), "--root", str(moved)]) == 0
    (moved / "p0/0.png").unlink()
    assert main(["analyze", str(trained), "--root", str(moved)]) == 2
    assert "now there are 47 images" in capsys.readouterr().err


def test_mistakes(tmp_path, trained, capsys):
    assert main(["analyze", str(tmp_path)]) == 2
    assert "no trained model here" in capsys.readouterr().err
    assert main(["analyze", str(trained), "--equal", "1"]) == 2
    assert "use 2 or more" in capsys.readouterr().err
    assert main(["analyze", str(trained), "--equal", "9"]) == 2
    assert "--equal: 9 is more images than anybody has; the most are 8" in capsys.readouterr().err
    checkpoint.latest(trained).rename(trained / "checkpoints/step-00000001")
    assert main(["analyze", str(trained)]) == 2
    assert "no checkpoint of step" in capsys.readouterr().err


def test_equal_count_is_what_nine_of_ten_have():
    assert equal_count(torch.tensor([5] * 9 + [3])) == 3
    assert equal_count(torch.tensor([5] * 19 + [1])) == 5
    assert equal_count(torch.tensor([1, 1, 1])) == 2


def test_the_log_tells_of_the_centres(trained):
    lines = [line for line in read_run(trained).story if line["kind"] == "train"]
    last = json.loads((trained / "card.json").read_text())["notes"]
    assert lines[-1]["centres_nearest"] == last["centres_nearest"] > 0
    w = read_run(trained).centres.double()
    angles = torch.rad2deg((w @ w.T - 3 * torch.eye(6)).amax(1).acos())
    assert lines[-1]["centres_nearest"] == pytest.approx(float(angles.mean()), abs=2e-3)
    assert lines[-1]["centres_nearest_sd"] == pytest.approx(float(angles.std(correction=0)), abs=2e-3)
