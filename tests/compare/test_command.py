"""The command, on real training and on wrong words."""

import csv
import json
import statistics

import pytest
import torch

from evenface.cli import main

TINY = """
[input]
height = 32
width = 32
colour = "gray"
[data]
holdout = 2
workers = 0
[backbone]
name = "compact"
embedding_size = 8
[train]
epochs = 2
batch_size = 6
device = "cpu"
"""


def test_two_losses_two_seeds_of_real_training(people, tmp_path, capsys):
    (tmp_path / "tiny.toml").write_text(TINY)
    out = tmp_path / "out"
    words = ["compare", "--recipe", str(tmp_path / "tiny.toml"), "--losses", "eqm,cosface", "--seeds", "2"]
    words += ["--reference", "cosface", "-o", str(out), "--data.root", str(people)]
    assert main(words) == 0
    values = {
        (loss, seed): json.loads((out / f"runs/{loss}/seed-{seed}/figures.json").read_text())
        for loss in ("eqm", "cosface")
        for seed in (0, 1)
    }
    config = (out / "runs/eqm/seed-1/config.toml").read_text()
    assert "seed = 1" in config and 'name = "eqm"' in config
    rows = list(csv.DictReader((out / "table.csv").open(newline="")))
    assert len(rows) == sum(map(len, values.values())) > 0
    assert all(float(r["value"]) == values[r["loss"], int(r["seed"])][r["figure"]] for r in rows)
    by = {
        r["loss"]: r
        for r in csv.DictReader((out / "summary.csv").open(newline=""))
        if r["figure"] == "heldout.auc"
    }
    auc = {loss: [values[loss, seed]["heldout.auc"] for seed in (0, 1)] for loss in ("eqm", "cosface")}
    for loss, own in auc.items():
        assert float(by[loss]["mean"]) == pytest.approx(statistics.mean(own))
        assert float(by[loss]["sd"]) == pytest.approx(statistics.stdev(own))
    apart = [a - b for a, b in zip(auc["eqm"], auc["cosface"], strict=True)]
    assert float(by["eqm"]["difference"]) == pytest.approx(statistics.mean(apart))
    assert f"{statistics.mean(auc['eqm']):.4f} ± " in capsys.readouterr().out
    before = {file: file.stat().st_mtime_ns for file in out.rglob("figures.json")}
    assert main([str(x) for x in ("compare", out / "comparison.toml", "-o", out, "--table-only")]) == 0
    assert main([str(x) for x in ("compare", out / "comparison.toml", "-o", out)]) == 0
    assert {file: file.stat().st_mtime_ns for file in out.rglob("figures.json")} == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "-o: name the folder"),
        (["-o", "out"], "give a comparison file, or --recipe RECIPE --losses"),
        (["-o", "out", "--recipe", "lab.toml"], "give a comparison file, or --recipe RECIPE --losses"),
        (["none.toml", "-o", "out"], "none.toml: No such file"),
        (["lab.toml", "-o", "out"], "lab.toml: lab: is not a key of a comparison"),
        (["grid.toml", "-o", "out", "--losses", "eqm"], "--losses: stands in grid.toml"),
        (["grid.toml", "-o", "out", "--jobs", "0"], "jobs: 0 is outside its range"),
        (["grid.toml", "-o", "."], "has files that are not of a comparison"),
        (["grid.toml", "-o", "grid.toml"], "grid.toml is a file"),
        (["-o", "out", "--recipe", "lab.toml", "--losses", "eqm,cosfase"], "did you mean 'cosface'"),
        (["-o", "out", "--recipe", "lab.toml", "--losses", "eqm", "--seeds", "0"], "seeds: 0 is outside"),
    ],
)
def test_mistakes_are_one_sentence(write, tmp_path, monkeypatch, capsys, words, says):
    write('recipe = "lab.toml"\nseeds = [0]\n[[losses]]\nname = "eqm"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *words]) == 2
    assert says in capsys.readouterr().err and not (tmp_path / "out/runs").exists()


def test_a_table_of_nothing(write, tmp_path, capsys):
    file = write('recipe = "lab.toml"\nseeds = [0]\n[[losses]]\nname = "eqm"\n')
    assert main(["compare", str(file), "-o", str(tmp_path / "out"), "--table-only"]) == 0
    assert "no run is finished yet" in capsys.readouterr().out and not (tmp_path / "out").exists()


def test_two_at_work_in_one_folder_are_refused(write, program, tmp_path, capsys):
    import fcntl

    from evenface.compare.command import run
    from evenface.errors import UserError

    words = [
        str(write('recipe = "lab.toml"\nseeds = [0]\n[[losses]]\nname = "eqm"\n')),
        "-o",
        str(tmp_path / "out"),
    ]
    assert run(list(words), program) == 0
    with open(tmp_path / "out/lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another evenface compare is at work here"):
            run(list(words), program)
    assert run(list(words), program) == 0


@pytest.mark.parametrize("flags", [[], ["--train.precision", "bf16"]])
def test_slow_bf16_is_said_before_the_first_run(write, program, ledger, tmp_path, monkeypatch, capsys, flags):
    from evenface.compare.command import run

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False}, raising=False)
    file = write('recipe = "train.toml"\nseeds = [0, 1]\n[[losses]]\nname = "eqm"\n')
    assert run([str(file), "-o", str(tmp_path / "out"), "--train.device", "cpu", *flags], program) == 0
    said = capsys.readouterr().err
    assert said.count("bf16 is far slower than float32 on this CPU") == bool(flags)
    assert len((ledger / "calls").read_text().splitlines()) == 2
