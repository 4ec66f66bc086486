"""The loop: it learns, repeats, resumes bit for bit, and stops with a sentence."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from evenface import cli, losses
from evenface.backbones.saved import load_model
from evenface.data import AugmentConfig, DataConfig
from evenface.errors import UserError
from evenface.evaluation.images import ImageSet
from evenface.training import arguments, checkpoint, measure
from evenface.training.alone import alone
from evenface.training.config import Config, EvaluateConfig, Named, to_toml
from evenface.training.diverged import Diverged
from evenface.training.ended import how_to_go_on
from evenface.training.loop import train
from evenface.training.measure import Measures
from evenface.training.processes import Processes
from evenface.training.run import Run
from machine import descendants, held_after, in_two, runs, started, wait_for

QUIET = Console(quiet=True)


def lines(folder: Path, kind: str = "train") -> list[dict]:
    return [x for x in map(json.loads, (folder / "log.jsonl").read_text().splitlines()) if x["kind"] == kind]


def same_weights(first: Path, second: Path) -> bool:
    a, b = (load_file(folder / "model.safetensors") for folder in (first, second))
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def same_state(first: Path, second: Path) -> bool:
    """Whether two checkpoints hold the same model, centres, optimizer, average and position."""

    (a, plain), (b, other) = (saved(folder) for folder in (first, second))
    return plain == other and a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def saved(run: Path) -> tuple[dict[str, torch.Tensor], dict]:
    return checkpoint.read(checkpoint.latest(run))


@pytest.mark.parametrize("loss", sorted(losses.LOSSES))
def test_every_loss_learns_the_people(config: Config, tmp_path: Path, loss: str):
    rate = 0.02 if loss == "npair" else 0.05  # its products of raw embeddings leap about
    settings = replace(config.train, epochs=8, ema=0.0, learning_rate=rate)
    config = replace(config, loss=Named(loss), train=settings)
    train(config, tmp_path / "run", console=QUIET)
    story = lines(tmp_path / "run")
    assert [x["step"] for x in story] == list(range(1, 33))
    values = [x["loss"] for x in story]
    assert np.mean(values[-8:]) < 0.8 * np.mean(values[:8])
    if issubclass(losses.LOSSES[loss], losses.CentreHead):
        assert story[-1]["centres_turned"] > 2
    else:
        assert "centres_turned" not in story[-1]
    if loss == "eqm":
        assert {"sample", "centre"} <= story[0].keys()


def test_a_loss_without_centres_trains_on_pairs_of_each_person(config: Config, tmp_path: Path):
    data = replace(config.data, sampler="pk", images_per_person=4)
    config = replace(config, data=data, loss=Named("triplet"), train=replace(config.train, epochs=12, ema=0))
    run = train(config, tmp_path / "run", console=QUIET)
    story = lines(run)
    values = [x["loss"] for x in story]
    assert np.mean(values[-8:]) < 0.8 * np.mean(values[:8])
    _, card = load_model(run)
    assert card.notes["loss"] == {"name": "triplet", "margin": 0.2} and "centres_turned" not in card.notes
    train(config, run, resume=True, console=QUIET)  # a finished run with a head that has no weights


def test_regularisers_add_to_the_loss_and_repeat_and_resume(config: Config, tmp_path: Path):
    extras = (Named("center", {"weight": 0.01}), Named("uniformface"))
    config = replace(config, regularisers=extras, train=replace(config.train, checkpoint_every=5))
    whole = train(config, tmp_path / "whole", console=QUIET)
    assert all(x["center"] > 0 and 1 / 3 <= x["uniformface"] <= 1 for x in lines(whole))
    notes = load_model(whole)[1].notes["regularisers"]
    assert notes == [
        {"name": "center", "weight": 0.01, "alpha": 0.5},
        {"name": "uniformface", "weight": 1.0},
    ]
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        _interrupt_at(patch, 7)
        train(config, stopped, console=QUIET)
    train(config, stopped, resume=True, console=QUIET)
    assert same_state(stopped, whole)
    plain = train(replace(config, regularisers=()), tmp_path / "plain", console=QUIET)
    assert not same_weights(plain, whole)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_part_of_the_people_drawn_for_each_batch_learns_and_resumes(
    config: Config, tmp_path: Path, optimizer: str
):
    """Other weights than with everybody, the same each time, and the optimizer's state of rows goes on."""
    rate = 0.05 if optimizer == "sgd" else 0.005
    options = replace(config.train, sample=0.3, optimizer=optimizer, learning_rate=rate, epochs=8, ema=0.0)
    config = replace(config, train=options)
    whole = train(config, tmp_path / "whole", console=QUIET)
    values = [x["loss"] for x in lines(whole)]
    assert np.mean(values[-8:]) < 0.8 * np.mean(values[:8])
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        _interrupt_at(patch, 7)
        train(replace(config, train=replace(options, checkpoint_every=5)), stopped, console=QUIET)
    train(config, stopped, resume=True, console=QUIET)
    assert same_weights(stopped, whole) and same_state(stopped, whole)
    everybody = train(replace(config, train=replace(options, sample=1.0)), tmp_path / "all", console=QUIET)
    assert not same_weights(everybody, whole)


def test_a_loss_without_centres_has_no_people_to_draw(config: Config, tmp_path: Path):
    config = replace(config, loss=Named("npair"), train=replace(config.train, sample=0.5))
    with pytest.raises(UserError, match=r"train\.sample: NPair has no class centres to draw from"):
        train(config, tmp_path / "run", console=QUIET)


def test_a_regulariser_without_centres_to_regularise_is_refused(config: Config, tmp_path: Path):
    config = replace(config, loss=Named("npair"), regularisers=(Named("iam"),))
    with pytest.raises(UserError, match=r"regularisers\.iam: adds to a loss with class centres, and NPair"):
        train(config, tmp_path / "run", console=QUIET)


def test_the_folders_paths_hold_from_everywhere(config: Config, people: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(people.parent)
    near = replace(config, data=replace(config.data, root=Path(people.name), exclude=(Path("out.txt"),)))
    Path("out.txt").write_text("p5\n")
    train(near, tmp_path / "run", console=QUIET)
    monkeypatch.chdir(tmp_path)
    again = arguments.parse([], prog="", description="", recipe=tmp_path / "run/config.toml")
    assert (again.data.root, again.data.exclude) == (people, (people.parent / "out.txt",))
    assert again == replace(
        arguments.resolve(near), data=replace(near.data, root=people, exclude=(people.parent / "out.txt",))
    )


@pytest.mark.parametrize(
    ("error", "says", "code"),
    [
        (KeyboardInterrupt(), "evenface: stopped; the last checkpoint is", 130),
        (OSError(errno.ENOSPC, "No space left on device", "x"), "x: No space left on device; the last", 1),
    ],
)
def test_stopped_by_hand_or_a_full_disk_says_how_to_go_on(config, tmp_path, capfd, error, says, code):
    run = train(config, tmp_path / "run", console=QUIET)
    with pytest.raises(SystemExit) as left, how_to_go_on(run):
        raise error
    said = capfd.readouterr().err
    assert left.value.code == code and says in said and f"evenface train --resume {run}" in said
    with pytest.raises(FileNotFoundError), how_to_go_on(run):
        raise FileNotFoundError(errno.ENOENT, "a mistake of ours")


def test_the_folder_repeats_the_run(config: Config, tmp_path: Path):
    train(config, tmp_path / "a", console=QUIET)
    again = arguments.parse([], prog="", description="", recipe=tmp_path / "a/config.toml")
    assert again == arguments.resolve(config)
    train(again, tmp_path / "b", console=QUIET)
    assert same_weights(tmp_path / "a", tmp_path / "b") and same_state(tmp_path / "a", tmp_path / "b")
    other = replace(config, train=replace(config.train, seed=1))
    train(other, tmp_path / "c", console=QUIET)
    assert not same_weights(tmp_path / "a", tmp_path / "c")


def test_the_number_of_workers_changes_nothing(config: Config, tmp_path: Path):
    train(config, tmp_path / "0", console=QUIET)
    train(replace(config, data=replace(config.data, workers=2)), tmp_path / "2", console=QUIET)
    assert same_state(tmp_path / "0", tmp_path / "2")


def test_pictures_are_changed_on_the_device_as_by_the_workers(config: Config, tmp_path: Path):
    for where in ("workers", "device"):
        data = replace(config.data, augment_on=where, augment=AugmentConfig(flip=0.5, erase=0.5))
        train(replace(config, data=data), tmp_path / where, console=QUIET)
    # The mirror image and the rectangle are exact on both, so the runs are the same to the last bit.
    assert same_state(tmp_path / "workers", tmp_path / "device")
    plain = replace(config.data, augment=AugmentConfig(flip=0))
    train(replace(config, data=plain), tmp_path / "plain", console=QUIET)
    assert not same_weights(tmp_path / "plain", tmp_path / "device")


@pytest.mark.parametrize(("loss", "optimizer", "steps"), [("eqm", "sgd", 2), ("sphereface", "adamw", 8)])
def test_killed_and_resumed_ends_the_same_bit_for_bit(
    config: Config, tmp_path: Path, loss: str, optimizer: str, steps: int
):
    """SIGKILL to a real process after some steps: before the first regular checkpoint, and after."""
    config = replace(config, loss=Named(loss), train=replace(config.train, optimizer=optimizer))
    (tmp_path / "recipe.toml").write_text(to_toml(config))
    killed = tmp_path / "killed"
    words = [sys.executable, held_after(steps, tmp_path), "train", tmp_path / "recipe.toml", "-o", killed]
    with started(words, stderr=subprocess.DEVNULL) as process:
        log = killed / "log.jsonl"
        wait_for(lambda: log.exists() and len(lines(killed)) == steps, lambda: process.poll() is None)
        process.kill()
    at = saved(killed)[1]["step"]
    assert at == steps // 5 * 5
    cut_short = killed / "checkpoints/step-00000099.unfinished"  # as a kill while writing leaves it
    cut_short.mkdir()
    (cut_short / "shard-00001-model-00001-of-00001.safetensors").write_bytes(b"cut short")
    train(config, killed, resume=True, console=QUIET)
    assert [x["step"] for x in lines(killed, "resumed")] == ([at] if at else [])
    train(config, tmp_path / "whole", console=QUIET)
    assert same_weights(killed, tmp_path / "whole") and same_state(killed, tmp_path / "whole")
    assert not cut_short.exists()


def test_every_checkpoint_resumes_to_the_same_end(config: Config, tmp_path: Path):
    """Stopped after each single step in turn, as an exception at the next batch leaves it."""
    config = replace(config, train=replace(config.train, epochs=1.5, checkpoint_every=1))
    train(config, tmp_path / "whole", console=QUIET)
    steps = len(lines(tmp_path / "whole"))
    assert steps == 6
    for stop in range(steps):
        run = tmp_path / f"stopped-{stop}"
        with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
            _interrupt_at(patch, stop)
            train(config, run, console=QUIET)
        assert saved(run)[1]["step"] == stop
        train(config, run, resume=True, console=QUIET)
        assert same_state(run, tmp_path / "whole"), stop


def _interrupt_at(patch: pytest.MonkeyPatch, step: int) -> None:
    update = Run._update

    def stopping(self, *arguments):
        if self.step == step:
            raise KeyboardInterrupt
        return update(self, *arguments)

    patch.setattr(Run, "_update", stopping)


@pytest.fixture
def for_two(config: Config, tmp_path: Path) -> Config:
    """A backbone without batch norm, of which each process would have its own; its recipe is in recipe.toml.

    The sums of two processes run in another order, so float32 weights drift apart a little at every step, and
    the faster the sharper the loss is.
    """
    config = replace(
        config,
        input=replace(config.input, height=32, width=32),
        backbone=Named("sphereface4", {"embedding_size": 16}),
        loss=Named("eqm", {"centre_scale": 16.0}),
        train=replace(config.train, ema=0.0, learning_rate=0.01),
        evaluate=EvaluateConfig(geometry=True),
    )
    (tmp_path / "recipe.toml").write_text(to_toml(config))
    return config


def test_two_processes_train_as_one(for_two: Config, tmp_path: Path):
    train(for_two, tmp_path / "one", console=QUIET)
    in_two(["train", tmp_path / "recipe.toml", "-o", tmp_path / "two"], tmp_path)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-4)
    for a, b in zip(lines(tmp_path / "one"), lines(tmp_path / "two"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-3)
        assert a["centres_nearest"] == pytest.approx(b["centres_nearest"], abs=0.01)
    one, two = (json.loads((tmp_path / name / "figures.json").read_text()) for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-3) and "centres.mean" in one
    (one, _), (two, plain) = (saved(tmp_path / name) for name in ("one", "two"))
    assert plain["world"] == 2 and one.keys() == two.keys()
    torch.testing.assert_close(one["head.centres"], two["head.centres"], rtol=1e-3, atol=1e-4)


def test_two_processes_count_together_what_they_skip(for_two: Config, people: Path, tmp_path: Path):
    config = replace(for_two, data=with_broken(people, tmp_path / "broken"))
    (tmp_path / "recipe.toml").write_text(to_toml(config))
    in_two(["train", tmp_path / "recipe.toml", "-o", tmp_path / "two"], tmp_path)
    train(config, tmp_path / "one", console=QUIET)
    one, two = (load_model(tmp_path / name)[1].notes["images_skipped"] for name in ("one", "two"))
    assert one == two == saved(tmp_path / "two")[1]["skipped"] > 0
    second = lines(tmp_path / "two/rank1", "skipped")
    assert second and len(lines(tmp_path / "two", "skipped")) + len(second) == two


def test_a_run_of_two_killed_goes_on_in_two_and_in_one(for_two: Config, tmp_path: Path, capsys):
    whole, two, one = tmp_path / "whole", tmp_path / "two", tmp_path / "one"
    words = ["train", tmp_path / "recipe.toml", "--train.epochs", "5", "-o"]
    in_two([*words, whole], tmp_path)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    launched = [*torchrun, held_after(12, tmp_path), *words, two]
    with started(launched, stderr=subprocess.DEVNULL, env=one_thread) as run:
        last = checkpoint.folder(two, 10)
        wait_for(lambda: checkpoint.latest(two) == last, lambda: run.poll() is None)
        trainers = descendants(run.pid)  # which live on where the launcher alone is killed
        assert len(trainers) == 2
        for process in (run.pid, *trainers):
            os.kill(process, signal.SIGKILL)
    wait_for(lambda: not any(map(runs, trainers)))
    at = saved(two)[1]["step"]
    assert at == 10 < len(lines(whole))
    shutil.copytree(two, one)
    in_two(["train", "--resume", two], tmp_path)
    assert same_state(two, whole) and same_weights(two, whole)
    assert cli.main(["train", "--resume", str(one)]) == 0
    assert "began with 2 processes and goes on with 1" in capsys.readouterr().err
    assert [x["step"] for x in lines(one, "resumed")] == [at]
    story = lines(one)[-(20 - at) :]
    assert [x["step"] for x in story] == list(range(at + 1, 21))
    for a, b in zip(story, lines(whole)[at:], strict=True):  # of the same batches from the same weights
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    assert story[-1]["loss"] < lines(whole)[0]["loss"]
    assert saved(one)[1]["world"] == 1


@pytest.mark.parametrize("precision", ["bf16"])
def test_low_precision_learns(config: Config, tmp_path: Path, precision: str):
    config = replace(config, train=replace(config.train, precision=precision, epochs=8, ema=0.0))
    train(config, tmp_path / "run", console=QUIET)
    story = lines(tmp_path / "run")
    assert story[-1]["loss"] < 0.8 * story[0]["loss"]


def test_one_held_out_person_is_refused(config: Config, tmp_path: Path):
    config = replace(config, data=replace(config.data, holdout=1))
    with pytest.raises(UserError, match=r"data\.holdout: one person makes no pair of two people"):
        train(config, tmp_path / "run", console=QUIET)


def test_a_missing_picture_of_a_benchmark_is_told_before_the_first_step(
    config: Config, tmp_path: Path, monkeypatch
):
    pictures = ImageSet(tmp_path, ["ann/1.jpg", "ann/2.jpg"], lambda index: np.zeros((9, 9, 3), np.uint8))
    lfw = SimpleNamespace(images=pictures)
    monkeypatch.setitem(measure.BENCHMARKS, "lfw", lambda root: lfw)
    evaluate = replace(config.evaluate, lfw=tmp_path)
    with pytest.raises(UserError, match=r"ann/1\.jpg: missing and 1 more of 2; unpack the whole set"):
        train(replace(config, evaluate=evaluate), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run/log.jsonl").exists()


def test_measures_held_out_people_and_keeps_the_best(config: Config, tmp_path: Path):
    config = replace(
        config,
        data=replace(config.data, holdout=2),
        evaluate=EvaluateConfig(every=3),
        train=replace(config.train, epochs=6),
    )
    run = train(config, tmp_path / "run", console=QUIET)
    measured = lines(run, "measure")
    values = {x["step"]: x["heldout.auc"] for x in measured}
    assert list(values) == [3, 6, 9, 12]
    _, card = load_model(run)
    best = max(values.values())
    assert card.notes["measured"]["heldout.auc"] == best
    assert card.notes["step"] == next(step for step, value in values.items() if value == best)
    best_state = checkpoint.read(checkpoint.of_step(run, card.notes["step"]))[1]
    assert best_state["step"] == best_state["best_step"] == card.notes["step"]
    assert len(list((run / "checkpoints").iterdir())) == 3 and saved(run)[1]["step"] == 12
    assert card.notes["people"] == 4


def test_measures_the_geometry_of_the_training_people(config: Config, tmp_path: Path):
    run = train(replace(config, evaluate=EvaluateConfig(geometry=True)), tmp_path / "run", console=QUIET)
    _, card = load_model(run)
    figures = json.loads((run / "figures.json").read_text())
    assert figures["centres.mean"] == pytest.approx(card.notes["centres_nearest"], abs=1e-3)
    sd = figures["centres.cv"] * figures["centres.mean"]
    assert sd == pytest.approx(card.notes["centres_nearest_sd"], abs=1e-3)
    assert figures["margins.mean"] == pytest.approx(figures["centres.mean"] / 2 - figures["scopes.mean"])
    assert 0 < figures["scopes.mean"] < 120


def test_figures_are_there_when_the_run_is_complete(config: Config, tmp_path: Path, monkeypatch):
    config = replace(config, data=replace(config.data, holdout=2), evaluate=EvaluateConfig(every=4))
    figures = tmp_path / "run/figures.json"
    save = checkpoint.save

    def stop(run, parts, plain, *rest):
        if plain["step"] == 5:
            raise KeyboardInterrupt
        save(run, parts, plain, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "save", stop)
        train(config, tmp_path / "run", console=QUIET)
    assert not figures.exists()  # though the people were measured at step 4
    run = train(config, tmp_path / "run", resume=True, console=QUIET)
    _, card = load_model(run)
    assert "heldout.auc" in card.notes["measured"]
    assert json.loads(figures.read_text()) == card.notes["measured"]
    figures.unlink()
    train(config, tmp_path / "run", resume=True, console=QUIET)  # all steps are done already
    assert json.loads(figures.read_text()) == card.notes["measured"]


def test_a_nan_stops_with_step_files_and_checkpoint(config: Config, tmp_path: Path):
    config = replace(config, train=replace(config.train, learning_rate=1e5, clip=0.0, warmup=0.0, epochs=50))
    with pytest.raises(
        Diverged, match=r"NaN or infinite at step \d+, in the batch of .*\.png and 11 other"
    ) as error:
        train(config, tmp_path / "run", console=QUIET)
    words = str(error.value)
    assert "last good checkpoint is" in words and "train.learning_rate" in words
    (listing,) = (tmp_path / "run").glob("diverged-step-*")
    assert str(listing) in words and all(Path(x).exists() for x in listing.read_text().splitlines())
    state, _ = saved(tmp_path / "run")
    weights = [value for name, value in state.items() if name.startswith("net.")]
    assert weights and all(torch.isfinite(value).all() for value in weights)


def test_corrupt_pictures_stop_or_are_counted(config: Config, people: Path, tmp_path: Path):
    rows = [f"{p} {p.parent.name}" for p in sorted(people.glob("*/*.png"))]
    (tmp_path / "bad.jpg").write_bytes(b"not a picture")
    (tmp_path / "list.txt").write_text("\n".join([*rows, f"{tmp_path / 'bad.jpg'} p0"]) + "\n")
    data = DataConfig(list=tmp_path / "list.txt", workers=0)
    with pytest.raises(UserError, match=r"bad\.jpg: not a picture"):
        train(replace(config, data=data), tmp_path / "stop", console=QUIET)
    run = train(replace(config, data=replace(data, corrupt="skip")), tmp_path / "skip", console=QUIET)
    skipped = lines(run, "skipped")
    assert skipped and all(x["file"].endswith("bad.jpg") for x in skipped)
    assert load_model(run)[1].notes["images_skipped"] == len(skipped)


def with_broken(people: Path, folder: Path) -> DataConfig:
    """The people with one more file each, which is no picture."""
    shutil.copytree(people, folder)
    for one in folder.iterdir():
        (one / "broken.jpg").write_bytes(b"not a picture")
    return DataConfig(root=folder, workers=0, corrupt="skip")


def test_pictures_that_are_skipped_are_left_out_of_what_is_measured(config: Config, people, tmp_path: Path):
    plain = replace(
        config, data=DataConfig(root=people, workers=0, holdout=2), evaluate=EvaluateConfig(geometry=True)
    )
    broken = replace(plain, data=replace(with_broken(people, tmp_path / "broken"), holdout=2))
    run = train(broken, tmp_path / "run", console=QUIET)
    figures = json.loads((run / "figures.json").read_text())
    assert (
        figures.keys()
        == json.loads((train(plain, tmp_path / "plain", console=QUIET) / "figures.json").read_text()).keys()
    )
    assert load_model(run)[1].notes["images_skipped"] == len(lines(run, "skipped")) > 0
    (tmp_path / "broken/p0/broken.jpg").unlink()
    for number in range(8):  # nobody can be measured who has no picture left
        (tmp_path / f"broken/p0/{number}.png").write_bytes(b"not a picture")
    train(replace(broken, data=replace(broken.data, holdout=0)), tmp_path / "fewer", console=QUIET)


def test_a_measurement_that_fails_costs_no_step(config: Config, tmp_path: Path, monkeypatch):
    config = replace(config, data=replace(config.data, holdout=2))
    whole = train(config, tmp_path / "whole", console=QUIET)

    def fail(*_) -> None:
        raise UserError("the set is gone")

    with monkeypatch.context() as patch, pytest.raises(UserError, match="the set is gone"):
        patch.setattr(Measures, "__call__", fail)
        train(config, tmp_path / "run", console=QUIET)
    steps = len(lines(tmp_path / "run"))
    run = train(config, tmp_path / "run", resume=True, console=QUIET)
    assert (
        len(lines(run)) == steps == len(lines(whole)) and same_state(run, whole) and same_weights(run, whole)
    )
    assert (run / "figures.json").read_text() == (whole / "figures.json").read_text()


def test_two_trainings_do_not_share_a_folder(config: Config, tmp_path: Path):
    run = train(config, tmp_path / "run", console=QUIET)
    with (
        alone(run, "evenface train"),
        pytest.raises(UserError, match="run: another evenface train is at work"),
    ):
        train(config, run, resume=True, console=QUIET)
    train(config, run, resume=True, console=QUIET)


def test_a_folder_with_a_run_is_not_overwritten(config: Config, tmp_path: Path):
    train(config, tmp_path / "run", console=QUIET)
    with pytest.raises(UserError, match="already has a run"):
        train(config, tmp_path / "run", console=QUIET)


def test_one_image_for_each_process_is_refused(config: Config, tmp_path: Path):
    config = replace(config, train=replace(config.train, batch_size=2))
    with pytest.raises(UserError, match=r"train\.batch_size: 2 is one image for each of 2 processes"):
        Run(config, tmp_path / "run", Processes(0, 2, torch.device("cpu")), False, QUIET)


def test_resuming_with_other_people_is_refused(config: Config, tmp_path: Path):
    train(config, tmp_path / "run", console=QUIET)
    fewer = replace(config, data=replace(config.data, holdout=2))
    with pytest.raises(UserError, match="was trained on 48 images of 6 people, and now there are 32"):
        train(fewer, tmp_path / "run", resume=True, console=QUIET)


def test_fp16_and_cuda_without_a_gpu_are_refused(config: Config, tmp_path: Path):
    with pytest.raises(UserError, match=r"train\.precision: fp16 needs a GPU"):
        train(replace(config, train=replace(config.train, precision="fp16")), tmp_path / "a", console=QUIET)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match=r"train\.device: cuda"):
            train(replace(config, train=replace(config.train, device="cuda")), tmp_path / "b", console=QUIET)


def test_tensorboard_has_the_loss(config: Config, tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(
        replace(config, train=replace(config.train, tensorboard=True)), tmp_path / "run", console=QUIET
    )
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    logged = [e.value for e in events.Scalars("train/loss")]
    assert logged == pytest.approx([x["loss"] for x in lines(run)], rel=1e-6)
