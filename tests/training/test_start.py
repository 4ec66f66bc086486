"""Beginning from a trained run: whose centre is kept, where new people start, and a backbone that waits."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from evenface import cli, losses
from evenface.analyze.run import read_run
from evenface.backbones.saved import Card, load_card, load_model, save_model, save_note
from evenface.data import AugmentConfig, DataConfig, FaceSet, load, read_folder
from evenface.errors import UserError
from evenface.evaluation.embed import embed
from evenface.evaluation.people import unit_rows
from evenface.evaluation.torch_embedder import TorchEmbedder
from evenface.faces import InputFormat
from evenface.losses import regularisers
from evenface.losses.centre_head import INITIAL_STD
from evenface.losses.classes import divided
from evenface.training import arguments, checkpoint, start
from evenface.training.config import Config, EvaluateConfig, Named, StartConfig, TrainConfig, to_toml
from evenface.training.loop import train
from evenface.training.means import mean_directions
from evenface.training.run import Run
from evenface.training.start import Start
from machine import in_two

QUIET = Console(quiet=True)
D = 4
OLD = ["ann", "bob", "cy", "dan", "eve"]
NEW = ["bob", "eve", "fay", "gus"]


def fill(old: Start, head: losses.FaceLoss, loss: str, people: list[str] = NEW) -> dict:
    return old.fill(head, loss, people, len(people), means)


def old_run(loss: str = "cosface") -> Start:
    """A run of five people, with a value of its own in every place."""
    head = losses.create(loss, len(OLD), D)
    if isinstance(head, losses.CentreHead):
        regularisers.add(head, "center")
    generator = torch.Generator().manual_seed(1)
    values = {
        name: (torch.rand(x.shape, generator=generator) * 8 + 1).to(x.dtype)
        for name, x in head.state_dict().items()
    }
    return Start(Path("old"), 7, {}, loss, values, OLD)


def new_head(loss: str, classes: int = len(NEW)) -> losses.FaceLoss:
    torch.manual_seed(2)
    head = losses.create(loss, classes, D)
    if isinstance(head, losses.CentreHead):
        regularisers.add(head, "center")
    return head


def means(labels: list[int]) -> Tensor:
    """Unit vectors that tell one label from another."""
    angle = torch.tensor(labels, dtype=torch.float32)
    return torch.stack([angle.cos(), angle.sin(), 0 * angle, 0 * angle], dim=1)


@pytest.mark.parametrize("loss", ["cosface", "softmax", "adaptiveface", "subcentre-arcface"])
def test_people_keep_what_the_loss_had_of_them(loss):
    old, head = old_run(loss), new_head(loss)
    fresh = {name: x.clone() for name, x in head.state_dict().items()}
    note = fill(old, head, loss)
    state = head.state_dict()
    names = head.per_class()
    assert {"centres", "regularisers.center.centres"} <= names
    for name in names:
        assert torch.equal(state[name][0], old.head[name][1]) and torch.equal(
            state[name][1], old.head[name][4]
        )
        if name != "centres":
            assert torch.equal(state[name][2:], fresh[name][2:])
    for name in state.keys() - names:
        assert torch.equal(state[name], fresh[name])  # of no class
    assert note == {"run": "old", "step": 7, "kept": 2, "new": 2, "dropped": 3, "rivals": 0}


def test_another_loss_takes_the_centres_alone():
    old, head = old_run("adaptiveface"), new_head("softmax")
    fill(old, head, "softmax")
    assert torch.equal(head.centres[:2], old.head["centres"][[1, 4]])
    assert not head.bias.any() and not head.regularisers["center"].centres.any()


@pytest.mark.parametrize("loss", ["cosface", "subcentre-arcface"])
def test_new_people_start_at_their_mean_as_long_as_the_old_centres_are(loss):
    old, head = old_run(loss), new_head(loss)
    asked = []
    old.fill(head, loss, NEW, 4, lambda labels: asked.append(labels) or means(labels))
    assert asked == [[2, 3]]
    length = np.linalg.norm(old.head["centres"].numpy(), axis=-1).mean()
    centres = head.centres.detach().numpy().reshape(len(NEW), -1, D)
    for label in (2, 3):
        for centre in centres[label]:
            np.testing.assert_allclose(centre, length * means([label])[0].numpy(), rtol=1e-6, atol=1e-6)


def test_nobody_is_embedded_where_everybody_is_known():
    old, head = old_run(), new_head("cosface", 2)
    note = old.fill(head, "cosface", ["eve", "ann"], 2, lambda labels: pytest.fail("embedded"))
    assert torch.equal(head.centres.detach(), old.head["centres"][[4, 0]])
    assert (note["kept"], note["new"], note["dropped"]) == (2, 0, 3)


def test_others_are_kept_as_classes_behind_the_people():
    old = old_run()
    people = [*NEW, *old.others(NEW)]
    assert people[4:] == ["ann", "cy", "dan"]
    head = new_head("cosface", 7)
    note = old.fill(head, "cosface", people, 4, means)
    assert torch.equal(head.centres[[0, 1, 4, 5, 6]].detach(), old.head["centres"][[1, 4, 0, 2, 3]])
    assert note == {"run": "old", "step": 7, "kept": 2, "new": 2, "dropped": 0, "rivals": 3}
    assert start.sentences(note) == [
        "begins from old at step 7: 2 people keep their class centres, 2 new ones start at the mean of their "
        "pictures' embeddings, 3 others stay as rivals without pictures"
    ]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("triplet", "cosface", "its loss, triplet, has no class centres"),
        ("cosface", "triplet", "triplet has no class centres"),
        ("subcentre-arcface", "arcface", "its loss, subcentre-arcface, has class centres of another shape"),
        (None, "cosface", "its folder has no checkpoints, which hold the class centres"),
    ],
)
def test_only_the_backbone_is_taken_where_no_centre_fits(old, new, why):
    began = old_run(old) if old else Start(Path("old"), None, {}, None, {}, [])
    head = new_head(new)
    note = fill(began, head, new)
    assert note["backbone_only"] == why and note["kept"] == 0
    (sentence,) = start.sentences(note)
    assert f"of which only the backbone is taken, since {why}" in sentence
    if new == "triplet":
        assert note["new"] == 0 and "mean" not in sentence
        return
    assert (
        note["new"] == 4
        and "all 4 people's centres start at the mean of their pictures' embeddings" in sentence
    )
    length = INITIAL_STD * np.sqrt(D)  # as the loss would have drawn them
    np.testing.assert_allclose(head.centres.detach(), length * means([0, 1, 2, 3]), rtol=1e-6, atol=1e-8)
    with pytest.raises(UserError, match=r"start\.others: there are no centres to keep, since"):
        began.fill(new_head(new, 5), new, [*NEW, "ann"], 4, means)


def test_each_process_fills_the_classes_that_it_holds():
    whole = new_head("softmax")
    note = fill(old_run("softmax"), whole, "softmax")
    parts, asked = [], []
    for rank in range(3):
        with divided(rank, 3):
            head = new_head("softmax")
        wanted: list[int] = []
        began = old_run("softmax")
        assert note == began.fill(head, "softmax", NEW, 4, lambda x, all=wanted: all.extend(x) or means(x))
        parts.append(head.state_dict())
        asked.append(wanted)
    assert [len(part["centres"]) for part in parts] == [2, 2, 0]  # ceil(4 / 3) each
    assert asked == [[], [2, 3], []]
    for name in whole.per_class():
        assert torch.equal(torch.cat([part[name] for part in parts]), whole.state_dict()[name])


# Means of embeddings.


@pytest.fixture
def small_net() -> tuple[torch.nn.Module, InputFormat]:
    torch.manual_seed(3)
    card = Card("compact", {"embedding_size": 16}, InputFormat(32, 32, "gray"))
    return card.create().eval(), card.format


def test_means_are_of_unit_vectors_without_augmentation(people, small_net):
    net, form = small_net
    faces = read_folder(people)
    embedder = TorchEmbedder(net, form)
    found = mean_directions(embedder, faces, [1, 4], 16, "stop", 2).numpy()
    for row, name in zip(found, ("p1", "p4"), strict=True):
        total = np.zeros(16)
        for file in sorted((people / name).iterdir()):
            small = cv2.resize(cv2.imread(str(file)), (32, 32), interpolation=cv2.INTER_AREA)
            gray = torch.tensor(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), dtype=torch.float32)
            image = (gray - 127.5) / 127.5
            with torch.no_grad():
                embedding = net(image[None, None])[0].double().numpy()
            total += embedding / np.linalg.norm(embedding)
        np.testing.assert_allclose(row, total / np.linalg.norm(total), atol=1e-5)
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-6)
    assert found[0] @ found[1] < 0.99


def test_pictures_that_cannot_be_read_stop_or_are_left_out(people, small_net, tmp_path):
    net, form = small_net
    shutil.copytree(people, tmp_path / "set")
    embedder = TorchEmbedder(net, form)
    whole = mean_directions(embedder, read_folder(tmp_path / "set"), [0, 2], 16, "stop", 1)
    for file in ("p2/3.png", "p2/5.png"):
        (tmp_path / "set" / file).write_bytes(b"no picture")
    faces = read_folder(tmp_path / "set")
    with pytest.raises(UserError, match=r"p2/3\.png: not a picture"):
        mean_directions(embedder, faces, [0, 2], 16, "stop", 1)
    some = mean_directions(embedder, faces, [0, 2], 16, "skip", 1)
    for file in ("p2/3.png", "p2/5.png"):
        (tmp_path / "set" / file).unlink()
    without = mean_directions(embedder, read_folder(tmp_path / "set"), [0, 2], 16, "stop", 1)
    torch.testing.assert_close(some, without, rtol=0, atol=1e-6)
    assert (some[1] - whole[1]).abs().max() > 1e-4
    for file in (tmp_path / "set/p2").iterdir():
        file.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"data\.corrupt: none of the pictures of p2 can be read"):
        mean_directions(embedder, read_folder(tmp_path / "set"), [0, 2], 16, "skip", 1)


# Settings.


@pytest.fixture
def model(tmp_path) -> Path:
    """A folder that has a model and no checkpoints."""
    torch.manual_seed(0)
    card = Card("compact", {"embedding_size": 24, "dropout": 0.1}, InputFormat(32, 48, "gray", "128"))
    save_model(tmp_path / "model", card.create(), card)
    return tmp_path / "model"


def parse(*words: str, recipe: Path | None = None) -> Config:
    return arguments.parse(list(words), prog="test", description="", recipe=recipe)


def test_backbone_and_input_are_taken_over(model, tmp_path):
    card = load_card(model)
    for config in (
        parse("--start.run", str(model)),
        parse(f"--start.run={model}", "--backbone", "compact", "--input.height", "32"),
    ):
        assert config.backbone.name == "compact" and config.input == card.format
        assert {**config.backbone.options, **card.options} == config.backbone.options
        assert (
            start.read(arguments.resolve(config), model).net.keys()
            == load_file(model / "model.safetensors").keys()
        )
    recipe = tmp_path / "r.toml"
    recipe.write_text(f'backbone = "compact"\n[start]\nrun = "{model}"\n[loss]\nname = "cosface"\n')
    assert parse(recipe=recipe).backbone == config.backbone
    assert parse("--backbone", "tiny").backbone.options["embedding_size"] == 256


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--backbone", "tiny"], "backbone.name: tiny is asked for, and .* has compact"),
        (["--backbone.embedding-size", "16"], "backbone.embedding_size: 16 is asked for, and .* has 24"),
        (["--input.colour", "rgb"], "input.colour: rgb is asked for, and .* has gray"),
    ],
)
@pytest.mark.parametrize("place", ["words", "recipe"])
def test_another_backbone_or_input_is_refused_by_field(model, tmp_path, words, says, place):
    recipe = None
    if place == "recipe":
        table, _, field = words[0].removeprefix("--").partition(".")
        value = words[1] if words[1].isdigit() else f'"{words[1]}"'
        recipe = tmp_path / "r.toml"
        recipe.write_text(f"[{table}]\n{(field or 'name').replace('-', '_')} = {value}\n")
        words = []
    config = arguments.resolve(parse("--start.run", str(model), *words, recipe=recipe))
    with pytest.raises(UserError, match=says):
        start.read(config, model)


def test_a_whole_recipe_is_read_without_the_run_that_it_names(model, tmp_path):
    config = arguments.resolve(parse("--start.run", str(model), "--start.freeze", "3", "--data.root", "x"))
    (tmp_path / "r.toml").write_text(to_toml(config))
    shutil.rmtree(model)
    assert parse(recipe=tmp_path / "r.toml") == config
    (tmp_path / "short.toml").write_text(f'[start]\nrun = "{model}"\n')
    with pytest.raises(UserError, match=r"no trained model here \(card\.json is missing\)"):
        parse(recipe=tmp_path / "short.toml")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: StartConfig(freeze=3), r"start\.freeze: .* name that with start\.run"),
        (lambda: StartConfig(others="keep"), r"start\.others: .* name that with start\.run"),
        (lambda: StartConfig(Path("x"), "all"), r"start\.others: 'all' is none of drop, keep"),
        (lambda: StartConfig(Path("x"), freeze=-1), r"start\.freeze: -1"),
    ],
)
def test_wrong_settings_are_refused(make, says):
    with pytest.raises(UserError, match=says):
        make()


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["train", "--help"])
    assert exit_.value.code == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "evenface train more-faces/ --start.run runs/mine" in words
    for flag in ("--start.run", "--start.others {drop,keep}", "--start.freeze INT"):
        assert flag in words
    assert "Begin from a trained run" in words


# Runs.

LAST = 6  # step of each


def settings(people: Path, without: tuple[str, ...], folder: Path, epochs: float, **more) -> Config:
    """LAST steps on the made-up people but some, with dropout, random changes and a moving average."""
    absent = folder / "absent.txt"
    absent.write_text("\n".join(without) + "\n")
    return Config(
        data=DataConfig(
            root=people, exclude=(absent,), workers=0, augment=AugmentConfig(shift=0.1, erase=0.5)
        ),
        input=InputFormat(32, 32, "gray"),
        backbone=Named("compact", {"embedding_size": 16, "dropout": 0.2}),
        loss=Named("cosface"),
        train=TrainConfig(
            epochs=epochs,
            batch_size=8,
            learning_rate=0.05,
            log_every=1,
            checkpoint_every=1,
            keep_checkpoints=100,
            ema=0.5,
            device="cpu",
        ),
        **more,
    )


@pytest.fixture(scope="module")
def old(people, tmp_path_factory) -> Path:
    """A run on p0 to p3, of which the model is the moving average."""
    folder = tmp_path_factory.mktemp("old")
    return train(settings(people, ("p4", "p5"), folder, 1.5), folder / "run", console=QUIET)


@pytest.fixture
def config(people, old, tmp_path) -> Config:
    """A run on p1 to p5."""
    return settings(people, ("p0",), tmp_path, 1.2, start=StartConfig(old))


def at(run: Path, step: int) -> dict[str, Tensor]:
    return checkpoint.read(checkpoint.of_step(run, step))[0]


def of_net(state: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {name.removeprefix("net."): value for name, value in state.items() if name.startswith("net.")}
    assert len(found) > 10
    return found


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_run_begins_with_the_others_model_and_centres(config, old, tmp_path):
    said = Console(record=True, width=500, quiet=False, file=open(os.devnull, "w"))  # noqa: SIM115
    run = train(config, tmp_path / "run", console=said)
    first, before = at(run, 0), at(old, LAST)
    assert equal(of_net(first), load_file(old / "model.safetensors"))
    assert not equal(of_net(first), of_net(before))  # of which the model is the average
    assert json.loads((run / "identities.json").read_text()) == ["p1", "p2", "p3", "p4", "p5"]
    assert torch.equal(first["head.centres"][:3], before["head.centres"][1:])
    net, card = load_model(old)
    faces = load(config.data, 0)[0]
    new = mean_directions(TorchEmbedder(net, card.format), faces, [3, 4], 16, "stop", 1)
    length = before["head.centres"].norm(dim=1).mean()
    torch.testing.assert_close(first["head.centres"][3:], length * new)
    assert not any(
        torch.equal(a, b) for a, b in zip(at(run, LAST)["head.centres"], first["head.centres"], strict=True)
    )
    note = load_card(run).notes["start"]
    assert note == {"run": str(old), "step": 6, "kept": 3, "new": 2, "dropped": 1, "rivals": 0}
    assert (
        f"begins from {old} at step 6: 3 people keep their class centres, 2 new ones start at the mean of "
        "their pictures' embeddings, 1 others are left out" in said.export_text()
    )
    recorded = parse(recipe=run / "config.toml")
    assert recorded == arguments.resolve(config) and recorded.start.run == old


def test_weights_and_centres_are_of_the_models_step(config, old, tmp_path):
    shutil.copytree(old, tmp_path / "old")
    save_note(tmp_path / "old", "step", 2)
    began = start.read(arguments.resolve(config), tmp_path / "old")
    assert began.step == 2 and torch.equal(began.head["centres"], at(old, 2)["head.centres"])
    assert not torch.equal(began.head["centres"], at(old, LAST)["head.centres"])
    save_note(tmp_path / "old", "step", 99)
    with pytest.raises(UserError, match="no checkpoint of step 99"):
        start.read(arguments.resolve(config), tmp_path / "old")
    save_note(tmp_path / "old", "step", 2)
    (tmp_path / "old/identities.json").write_text('["p0"]')
    with pytest.raises(UserError, match=r"names 1 people, and the checkpoint has 4 class centres"):
        start.read(arguments.resolve(config), tmp_path / "old")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_frozen_backbone_stays_and_then_moves(config, tmp_path, optimizer):
    rate = 0.05 if optimizer == "sgd" else 0.002
    config = replace(
        config,
        start=replace(config.start, freeze=3),
        train=replace(config.train, optimizer=optimizer, learning_rate=rate, weight_decay=0.01),
    )
    run = train(config, tmp_path / "run", console=QUIET)
    states = [at(run, step) for step in range(LAST + 1)]
    for step in range(1, 4):
        assert equal(of_net(states[step]), of_net(states[0]))  # the statistics of batch norm among them
        assert not torch.equal(states[step]["head.centres"], states[step - 1]["head.centres"])
        assert not any(name.startswith("optimizer.net.") for name in states[step])
    for step in range(4, LAST + 1):
        moved = of_net(states[step])
        for name, value in of_net(states[step - 1]).items():
            assert not torch.equal(moved[name], value), (step, name)
    averages = {name: value for name, value in states[3].items() if name.startswith("average.module.")}
    assert averages and all(torch.equal(v, states[0][f"net.{n[15:]}"]) for n, v in averages.items())


def test_a_run_that_is_stopped_goes_on_without_the_old_one(config, old, tmp_path):
    shutil.copytree(old, tmp_path / "old")
    config = replace(config, start=StartConfig(tmp_path / "old", others="keep", freeze=3))
    whole = train(config, tmp_path / "whole", console=QUIET)
    stopped = {stop: tmp_path / f"stopped-{stop}" for stop in (2, 3, 4)}
    for stop, run in stopped.items():
        with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
            _interrupt_at(patch, stop)
            train(config, run, console=QUIET)
    shutil.rmtree(tmp_path / "old")
    for stop, run in stopped.items():
        recipe = parse(recipe=run / "config.toml")
        train(recipe, run, resume=True, console=QUIET)
        (a, plain), (b, other) = (checkpoint.read(checkpoint.latest(folder)) for folder in (run, whole))
        assert plain == other and equal(a, b), stop
        assert equal(load_file(run / "model.safetensors"), load_file(whole / "model.safetensors"))
        assert load_card(run).notes["start"] == load_card(whole).notes["start"]
        # Where the centres started is not known any more.
        assert ("centres_turned" in load_card(run).notes, "centres_turned" in load_card(whole).notes) == (
            False,
            True,
        )
        assert "centres_nearest" in load_card(run).notes
    elsewhere = replace(config, start=replace(config.start, run=tmp_path / "other"))
    with pytest.raises(UserError, match=r"start\.run: .*other is asked for, and the run began from .*old"):
        train(elsewhere, whole, resume=True, console=QUIET)


def _interrupt_at(patch: pytest.MonkeyPatch, step: int) -> None:
    update = Run._update

    def stopping(self, *values):
        if self.step == step:
            raise KeyboardInterrupt
        return update(self, *values)

    patch.setattr(Run, "_update", stopping)


def test_kept_people_are_rivals_that_move(config, old, tmp_path):
    kept = replace(config, start=replace(config.start, others="keep"), evaluate=EvaluateConfig(geometry=True))
    run = train(kept, tmp_path / "kept", console=QUIET)
    assert json.loads((run / "identities.json").read_text()) == ["p1", "p2", "p3", "p4", "p5", "p0"]
    first, last = at(run, 0)["head.centres"], at(run, LAST)["head.centres"]
    assert torch.equal(first[5], at(old, LAST)["head.centres"][0]) and not torch.equal(first[5], last[5])
    notes = load_card(run).notes
    assert notes["people"] == 5 and notes["images"] == 40 and notes["start"]["rivals"] == 1
    apart = torch.nn.functional.normalize(last[:5])  # of the people who have pictures
    nearest = (apart @ apart.T - 2 * torch.eye(5)).max(dim=1).values.clamp(-1, 1).acos().rad2deg()
    assert json.loads((run / "figures.json").read_text())["centres.mean"] == pytest.approx(
        float(nearest.mean()), abs=1e-3
    )
    trained = read_run(run)
    assert trained.identities == ["p1", "p2", "p3", "p4", "p5"]
    torch.testing.assert_close(trained.centres, apart)
    # The next run knows everybody by name.
    again = replace(config, start=StartConfig(run))
    note = load_card(train(again, tmp_path / "again", console=QUIET)).notes["start"]
    assert (note["kept"], note["new"], note["dropped"]) == (5, 0, 1)
    with pytest.raises(UserError, match=r"start\.others: keep makes classes without pictures, which ldam"):
        train(replace(kept, loss=Named("ldam")), tmp_path / "ldam", console=QUIET)
    shorter = replace(kept, data=replace(kept.data, exclude=()))
    with pytest.raises(UserError, match="was trained on 40 images of 5 people, and now there are 48"):
        train(shorter, run, resume=True, console=QUIET)


def test_class_sizes_are_of_the_new_pictures(people, config, tmp_path):
    data = replace(config.data, exclude=())
    config = replace(config, train=replace(config.train, epochs=1.0, checkpoint_every=100))
    first = replace(config, data=data, loss=Named("ldam"), start=StartConfig())
    run = train(first, tmp_path / "first", console=QUIET)
    listed = [f"{file} {file.parent.name}" for file in sorted(people.glob("*/*.png"))]
    (tmp_path / "fewer.txt").write_text("\n".join(listed[3:]) + "\n")  # p0 has 5 of 8
    fewer = DataConfig(list=tmp_path / "fewer.txt", workers=0)
    begun = train(replace(first, data=fewer, start=StartConfig(run)), tmp_path / "begun", console=QUIET)
    assert at(run, LAST)["head.class_sizes"].tolist() == [8] * 6
    assert at(begun, 0)["head.class_sizes"].tolist() == [5, 8, 8, 8, 8, 8]


def test_a_frozen_backbone_and_a_loss_without_weights_are_refused(config, tmp_path):
    data = replace(config.data, sampler="pk", images_per_person=4)
    config = replace(config, train=replace(config.train, epochs=0.5, checkpoint_every=100))
    config = replace(config, data=data, loss=Named("triplet"), start=replace(config.start, freeze=1))
    with pytest.raises(UserError, match=r"start\.freeze: triplet has nothing that learns"):
        train(config, tmp_path / "run", console=QUIET)
    run = train(replace(config, start=replace(config.start, freeze=0)), tmp_path / "run", console=QUIET)
    assert load_card(run).notes["start"]["backbone_only"] == "triplet has no class centres"
    back = replace(config, loss=Named("cosface"), start=StartConfig(run))
    note = load_card(train(back, tmp_path / "back", console=QUIET)).notes["start"]
    assert note["backbone_only"] == "its loss, triplet, has no class centres" and note["new"] == 5


def test_two_processes_begin_and_wait_as_one(config, tmp_path):
    config = replace(config, start=replace(config.start, freeze=3, others="keep"))
    (tmp_path / "recipe.toml").write_text(to_toml(config))
    one = train(config, tmp_path / "one", console=QUIET)
    said = in_two(["train", tmp_path / "recipe.toml", "-o", tmp_path / "two"], tmp_path)
    assert said.count("begins from") == 1
    assert equal(at(one, 0), at(tmp_path / "two", 0))
    whole, parts = at(one, 3), at(tmp_path / "two", 3)
    assert equal(of_net(whole), of_net(parts)) and equal(of_net(parts), of_net(at(one, 0)))
    torch.testing.assert_close(whole["head.centres"], parts["head.centres"], rtol=1e-4, atol=1e-6)
    assert not equal(of_net(parts), of_net(at(tmp_path / "two", 4)))
    assert load_card(tmp_path / "two").notes["start"] == load_card(one).notes["start"]


def test_new_real_people_begin_near_their_own_centre(data_root, tmp_path):
    """Before any step, pictures that no mean was made of are nearest to their own person's centre."""
    folders = sorted(x for x in (data_root / "celeb/images").iterdir() if len(list(x.iterdir())) >= 30)
    known, new = folders[:40], folders[40:60]
    pictures = {folder: sorted(folder.iterdir())[:30] for folder in (*known, *new)}

    def listed(name: str, people: list[Path], images: int) -> str:
        rows = [f"{file} {folder.name}\n" for folder in people for file in pictures[folder][:images]]
        (tmp_path / name).write_text("".join(rows))
        return str(tmp_path / name)

    words = ["--data.workers", "0", "--train.device", "cpu", "--train.batch-size", "60"]
    first = ["--loss", "cosface", "--loss.scale", "32", "--backbone", "compact", "--input.colour", "gray"]
    first += ["--input.height", "32", "--input.width", "32", "--backbone.embedding-size", "64"]
    first += ["--train.epochs", "4", "--train.learning-rate", "0.05"]
    first += ["--data.list", listed("known.txt", known, 30), "-o", str(tmp_path / "old")]
    assert cli.main(["train", *words, *first]) == 0
    both = ["--data.list", listed("both.txt", folders[:60], 15), "-o", str(tmp_path / "new")]
    begin = ["--start.run", str(tmp_path / "old"), "--loss", "cosface", "--train.epochs", "0.01"]
    assert cli.main(["train", *words, *begin, *both]) == 0
    assert load_card(tmp_path / "new").notes["start"]["new"] == 20

    net, card = load_model(tmp_path / "old")
    names = json.loads((tmp_path / "new/identities.json").read_text())
    files = [file for folder in new for file in pictures[folder][15:]]
    faces = FaceSet.of(files, [file.parent.name for file in files])
    rows = unit_rows(embed(TorchEmbedder(net, card.format), faces.pictures))
    own = np.array([names.index(file.parent.name) for file in files])
    assert len(own) == 300 and len(names) == 60
    centres = unit_rows(at(tmp_path / "new", 0)["head.centres"].numpy())
    by_means = ((rows @ centres.T).argmax(axis=1) == own).mean()
    centres[own[::15]] = unit_rows(np.random.default_rng(0).normal(size=(20, 64)))
    drawn = ((rows @ centres.T).argmax(axis=1) == own).mean()
    print(f"nearest to their own of 60 centres: {by_means:.1%} by means, {drawn:.1%} where they are drawn")
    assert by_means > 6 / 60 and drawn < 3 / 60
