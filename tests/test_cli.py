"""The command line: what it prints, its exit codes, and no traceback for a user's mistake."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tests.evaluation.conftest import make_lfw

from evenface import backbones, cli, losses
from evenface.backbones.saved import Card, save_model
from evenface.evaluation.models import FormatOptions, open_model
from evenface.faces import InputFormat
from evenface.losses.regularisers import REGULARISERS


def test_help_has_examples(capsys):
    assert cli.main(["--help"]) == 0
    assert "evenface train my-faces/ -o runs/mine" in capsys.readouterr().out
    assert cli.main([]) == 2


def test_help_lists_every_command():
    listed = re.findall("^  ([a-z]+) ", cli.HELP.partition("examples")[0], re.M)
    assert sorted(listed) == sorted(cli.COMMANDS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_teaches(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([command, "--help"])
    assert exit_.value.code == 0
    words = capsys.readouterr().out
    assert "examples" in words and f"evenface {command}" in words


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["--help", "evaluate --help"])
def test_a_reader_who_has_enough_is_no_error(words, unbuffered):
    """`evenface ... | head -1`, whether what is left is held until the exit or written at once."""
    ended = subprocess.run(
        f"PYTHONUNBUFFERED={unbuffered} {sys.executable} -m evenface {words} | true; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert (ended.stdout, ended.stderr) == ("141\n", "")


def test_a_file_name_that_is_no_text_is_printed_as_it_is():
    """Whatever the terminal's encoding does with other characters."""
    says = "from evenface import cli; cli.COMMANDS['info'] = lambda words: print('a\\udcff.jpg') or 0; "
    ended = subprocess.run(
        [sys.executable, "-c", says + "cli.main(['info'])"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
    )
    assert (ended.stdout, ended.stderr) == (b"a\xff.jpg\n", b"")


def test_a_closed_output_is_no_error():
    ended = subprocess.run(
        f"{sys.executable} -m evenface --version >&-; echo $? >&2", shell=True, capture_output=True, text=True
    )
    assert ended.stderr == "0\n"


def test_a_worker_whose_pipe_broke_is_not_hidden(monkeypatch, capfd):
    def broken(words):
        raise BrokenPipeError("a worker's")

    monkeypatch.setitem(cli.COMMANDS, "info", broken)
    with pytest.raises(BrokenPipeError, match="a worker's"):
        cli.main(["info"])


def test_train_help_shows_the_chosen_loss(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--loss", "arcface", "--help"])
    words = capsys.readouterr().out
    assert "--loss.detached" in words and "--loss.lower FLOAT" not in words


def test_info_lists_everything(capsys):
    assert cli.main(["info", "--size", "112x96"]) == 0
    words = capsys.readouterr().out
    for name in [*backbones.names(), *losses.LOSSES, *REGULARISERS]:
        assert f"│ {name} " in words
    assert "--regularisers.center.weight 0.01" in words


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian"], "did you mean 'train'"),
        (["train"], "-o: name the folder"),
        (["train", "-o", "x"], "data.root: no images given"),
        (["train", "nowhere", "-o", "x"], "data.root: nowhere is not a folder"),
        (["train", "nowhere.toml", "-o", "x"], "nowhere.toml: No such file"),
        (["train", "-o"], "-o: needs a value"),
        (["train", "--loss", "eqn", "-o", "x"], "loss: 'eqn' is not known"),
        (["train", "--resume", "nowhere"], "--resume: nowhere has no config.toml"),
        (["train", "faces", "--resume", "x"], "--resume: takes a run's folder alone"),
        (["train", "--loss.lower", "0.1", "-o", "x", "--data.root", "."], "data.root"),
        (["evaluate"], "name one model or more"),
        (["evaluate", "nowhere", "--lfw", "x"], "nowhere: not a model; give the folder of a run"),
        (["evaluate", "os:", "--lfw", "x"], "os:: not module:function"),
        (["evaluate", "os:nothing", "--lfw", "x"], "has no attribute 'nothing'"),
        (["evaluate", "os:sep", "--lfw", "x"], "os:sep: not a function"),
        (["evaluate", "none.onnx", "--size", "112", "--lfw", "x"], "not HEIGHTxWIDTH"),
        (["evaluate", "none.onnx", "--lfw", "x"], "none.onnx"),
        (["evaluate", "os:listdir"], "name at least one set"),
        (["evaluate", "os:listdir", "os:listdir", "--lfw", "x"], "two models of one name"),
        (["evaluate", "os:listdir", "--lfw", "x", "--json", "no/where.json"], "there is no folder no"),
        (["evaluate", "os:listdir", "--lfw", "x", "--report", "."], "--report: . is a folder"),
        (["evaluate", "os:listdir", "--lfw", "x", "--report", "a", "--json", "a"], "name two files"),
        (["info", "--size", "big"], "not HEIGHTxWIDTH"),
        (["train", "--data.root", ".", "-o", "file"], "-o: file cannot be made (File exists)"),
        (["train", "--data.root", ".", "-o", "file/in"], "-o: file/in cannot be made (Not a directory)"),
        (["lab", "--lab.cfp", ".", "-o", "file"], "-o: file cannot be made (File exists)"),
        (["picture", "-o", "file/in"], "--output: file/in cannot be made (Not a directory)"),
        (["demo", "-o", "file/in"], "--output: file/in cannot be made (Not a directory)"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    assert cli.main(words) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # nothing is left behind
    captured = capsys.readouterr()
    assert captured.err.startswith("evenface: ") and says in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_says_no_is_one_sentence(number, capsys, monkeypatch):
    def fail(*_):
        raise OSError(number, os.strerror(number), "runs/x")

    monkeypatch.setitem(cli.COMMANDS, "info", fail)
    assert cli.main(["info"]) == 2
    assert capsys.readouterr().err == f"evenface: runs/x: {os.strerror(number)}\n"


def test_another_error_of_the_system_is_not_hidden(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "info", lambda words: Path("nowhere").stat())
    with pytest.raises(FileNotFoundError):
        cli.main(["info"])


def test_words_that_no_parser_knows_exit_with_2(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["train", "--data.rot", "x", "-o", "y"])
    assert exit_.value.code == 2


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    card = Card("tiny", {"embedding_size": 8}, InputFormat(32, 32, "gray"))
    save_model(tmp_path / "run", card.create(), card)
    return tmp_path / "run"


def test_evaluate_a_run_on_real_faces(run, data_root, tmp_path, capsys):
    lfw = str(data_root / "lfw")
    files = ["--json", str(tmp_path / "r.json"), "--report", str(tmp_path / "r.html")]
    assert cli.main(["evaluate", str(run), "--lfw", lfw, "--store", str(tmp_path / "emb"), *files]) == 0
    printed = capsys.readouterr().out
    assert "10 folds, population sd; 32x32 gray, (x-127.5)/127.5; sum flip" in printed
    (result,) = json.loads((tmp_path / "r.json").read_text())["results"]
    accuracy = result["rates"]["accuracy"]["value"]
    assert result["counts"]["genuine pairs"] == 3000 and 0.5 < accuracy < 0.8
    assert f"accuracy: {100 * accuracy:.2f} ±" in printed
    assert f"{100 * accuracy:.2f}" in (tmp_path / "r.html").read_text()
    (folder,) = (tmp_path / "emb").iterdir()
    assert cli.main(["evaluate", str(folder), "--lfw", lfw, "--json", str(tmp_path / "s.json")]) == 0
    (stored,) = json.loads((tmp_path / "s.json").read_text())["results"]
    assert stored.pop("model") == str(folder) and result.pop("model") == str(run)
    assert stored == result


def test_a_runs_own_card_says_its_format(run, capsys):
    assert cli.main(["evaluate", str(run), "--lfw", "x", "--size", "112x96"]) == 2
    assert "--size: " in (said := capsys.readouterr().err) and "says itself what it expects" in said


def test_a_python_function_stands_in_for_a_model(tmp_path, monkeypatch):
    (tmp_path / "mymodel.py").write_text("def embed(images):\n    return images.reshape(len(images), -1)\n")
    monkeypatch.chdir(tmp_path)
    model = open_model("mymodel:embed", FormatOptions("32x48", "gray", "128"))
    assert model.embedder(np.zeros((2, 1, 32, 48), np.float32)).shape == (2, 1536)
    assert str(model.embedder.format) == "32x48 gray, (x-127.5)/128"


def test_a_models_fingerprint_follows_its_weights(run):
    before = open_model(str(run)).fingerprint
    assert open_model(str(run)).fingerprint == before
    torch.manual_seed(1)
    card = Card("tiny", {"embedding_size": 8}, InputFormat(32, 32, "gray"))
    save_model(run, card.create(), card)
    assert open_model(str(run)).fingerprint != before


def test_a_mistake_in_the_second_set_loses_nothing_of_the_first(run, tmp_path, capsys):
    make_lfw(tmp_path / "lfw")
    (tmp_path / "mine.txt").write_text("a.png b.png 1\nc.png d.png 0\n")
    (tmp_path / "c.png").touch()
    for name in ("a.png", "b.png", "d.png"):
        cv2.imwrite(
            str(tmp_path / name), np.zeros((40, 40, 3), np.uint8)
        )  # not 112x112, nor is c.png a picture
    words = ["evaluate", str(run), "--lfw", str(tmp_path / "lfw"), "--pairs", str(tmp_path / "mine.txt")]
    assert cli.main([*words, "--json", str(tmp_path / "r.json"), "--report", str(tmp_path / "r.html")]) == 2
    assert "c.png" in (said := capsys.readouterr().err) or "a.png" in said
    (kept,) = json.loads((tmp_path / "r.json").read_text())["results"]
    assert kept["protocol"] == "LFW" and "LFW" in (tmp_path / "r.html").read_text()


def test_stored_embeddings_take_no_flip(tmp_path, capsys):
    np.save(tmp_path / "lfw.npy", np.ones((1, 2), np.float32))
    (tmp_path / "lfw.txt").write_text("a\n")
    assert cli.main(["evaluate", str(tmp_path), "--lfw", "x", "--flip", "none"]) == 2
    assert "--flip: the embeddings in" in capsys.readouterr().err


def test_train_and_version_from_a_real_shell(tmp_path):
    done = subprocess.run([sys.executable, "-m", "evenface", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("evenface 0.")
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat/a.jpg").write_bytes(b"x")
    words = [sys.executable, "-m", "evenface", "train", str(tmp_path / "flat"), "-o", str(tmp_path / "run")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2 and "data.root" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
