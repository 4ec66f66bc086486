"""The runs of a grid: their words, their folders, and which are done."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenface import recipes
from evenface.compare.cells import _name, plan, require_pictures
from evenface.compare.config import parse
from evenface.errors import UserError
from evenface.training.recipe import read_recipe

COMPARISONS = [f for f in sorted(recipes.FOLDER.rglob("*.toml")) if "losses" in read_recipe(f)]


def cells_of(file: Path, folder: Path):
    return plan(parse(read_recipe(file), file.parent), folder)


def test_words_and_order_of_a_lab_grid(write, tmp_path):
    file = write("""
        recipe = "lab.toml"
        seeds = [3, 1]
        flags = ["--lab.test_most", "7"]
        [[losses]]
        name = "eqm"
        upper = -0.5
        centre_upper = "auto"
        [[losses]]
        name = "arcface"
        detached = true
        [[settings]]
        label = "plain"
        [[settings]]
        label = "imbalance 50/1"
        set = { "lab.imbalance" = 50, lab.strangers = false, lab.train = ["lfw", "faces"], lab.test = "cfp" }
    """)
    cells = cells_of(file, tmp_path / "out")
    first, last = "eqm upper=-0.5 centre_upper=auto", "arcface detached=True"
    assert [(c.seed, c.setting, c.loss) for c in cells] == [
        (seed, setting, loss)
        for seed in (3, 1)
        for setting in ("plain", "imbalance 50/1")
        for loss in (first, last)
    ]
    folder = tmp_path / "out/runs/imbalance 50%002f1/arcface detached=True/seed-1"
    assert cells[-1].words == tuple(
        f"lab|{tmp_path}/out/recipe.toml|-o|{folder}|--lab.test_most|7|--loss|arcface|--loss.detached|"
        "--lab.imbalance|50|--lab.no-strangers|--lab.train|lfw|faces|--lab.test|cfp|"
        "--train.seed|1|--lab.seed|1".split("|")
    )
    settings = cells[-1].settings
    assert settings["loss"] == {"name": "arcface", "scale": 64.0, "margin": 0.5, "detached": True}
    assert settings["lab"]["imbalance"] == 50 and settings["lab"]["seed"] == settings["train"]["seed"] == 1
    assert settings["lab"]["test_most"] == 7 and cells[0].settings["loss"]["upper"] == -0.5


def test_a_training_grid_has_one_seed(write, tmp_path):
    cells = cells_of(write('recipe = "train.toml"\nseeds = [5]\n[[losses]]\nname = "eqm"'), tmp_path)
    assert cells[0].words[0] == "train" and cells[0].words[-2:] == ("--train.seed", "5")
    assert "--lab.seed" not in cells[0].words and cells[0].settings["train"]["seed"] == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            'flags = ["--train.seed=3"]\n[[losses]]\nname = "eqm"',
            "seeds of a comparison stand in its `seeds`",
        ),
        (
            '[[losses]]\nname = "eqm"\n[[settings]]\nlabel = "x"\nset = { "lab.seed" = 1 }',
            "seeds of a comparison stand in its `seeds`",
        ),
        (
            '[[losses]]\nname = "eqm"\n[[settings]]\nlabel = "x"\nset = { "loss.name" = "cosface" }',
            r"losses of a comparison stand in \[\[losses\]\]",
        ),
        (
            '[[losses]]\nname = "eqm"\nscale = 8\n[[settings]]\nlabel = "x"\nset = { "loss.scale" = 16 }',
            "loss.scale is said by the loss eqm scale=8 too",
        ),
    ],
)
def test_what_the_grid_itself_says_is_refused_elsewhere(write, tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        cells_of(write('recipe = "lab.toml"\nseeds = [0]\n' + text), tmp_path)


def test_a_setting_may_be_one_of_the_losses(write, tmp_path):
    text = """recipe = "lab.toml"
seeds = [0]
losses = [{ name = "eqm" }, { name = "cosface", margin = 0.2 }]
settings = [{ label = "8", set = { loss.scale = 8 } }, { label = "16", set = { loss.scale = 16 } }]
"""
    found = [(cell.setting, cell.settings["loss"]) for cell in cells_of(write(text), tmp_path)]
    assert [(label, loss["name"], loss["scale"]) for label, loss in found] == [
        ("8", "eqm", 8),
        ("8", "cosface", 8),
        ("16", "eqm", 16),
        ("16", "cosface", 16),
    ]
    assert found[1][1]["margin"] == found[3][1]["margin"] == 0.2


def test_mistakes_are_found_before_the_first_run(write, tmp_path, capsys):
    grid = 'seeds = [0]\n[[losses]]\nname = "eqm"\n'
    with pytest.raises(UserError, match=r"no\.toml: No such file"):
        cells_of(write('recipe = "no.toml"\n' + grid), tmp_path)
    with pytest.raises(SystemExit):
        cells_of(write('recipe = "lab.toml"\nflags = ["--lab.imbalence", "3"]\n' + grid), tmp_path)
    assert "--lab.imbalence" in capsys.readouterr().err
    (tmp_path / "train.toml").write_text('[data]\nroot = "people"\n')
    with pytest.raises(UserError, match=r"train\.toml: measures nothing .* set data.holdout"):
        cells_of(write('recipe = "train.toml"\n' + grid), tmp_path)
    with pytest.raises(UserError, match=r"loss\.margin: 9"):
        cells_of(
            write('recipe = "lab.toml"\n' + grid + '[[losses]]\nname = "arcface"\nmargin = 9\n'), tmp_path
        )
    (tmp_path / "train.toml").write_text(
        '[data]\nroot = "people"\nholdout = 2\n[backbone]\nname = "compact"\ndropout = 1.0\n'
    )
    with pytest.raises(UserError, match=r"dropout: 1\.0 is out of range"):
        cells_of(write('recipe = "train.toml"\n' + grid), tmp_path)


def test_pictures_that_nobody_named_are_asked_for_before_the_first_run(write, tmp_path):
    grid = 'seeds = [0]\n[[losses]]\nname = "eqm"\n'
    (tmp_path / "bare.toml").write_text("[lab]\n")
    lab = cells_of(write('recipe = "bare.toml"\n' + grid), tmp_path)
    with pytest.raises(UserError, match=r"^lab\.cfp: .*eqm.* needs the pictures of cfp; give --lab\.cfp DIR"):
        require_pictures(lab)
    cfp = 'flags = ["--lab.cfp", "x"]\n'
    with pytest.raises(UserError, match=r"^lab\.lfw: .* needs the pictures of lfw"):
        require_pictures(cells_of(write('recipe = "bare.toml"\n' + cfp + grid), tmp_path))
    held = 'flags = ["--lab.cfp", "x", "--lab.holdout", "9"]\n'  # the test is of the training's own people
    require_pictures(cells_of(write('recipe = "bare.toml"\n' + held + grid), tmp_path))
    (tmp_path / "train.toml").write_text("[data]\nholdout = 2\n")
    with pytest.raises(UserError, match=r"^data\.root: .* give --data\.root DIR"):
        require_pictures(cells_of(write('recipe = "train.toml"\n' + grid), tmp_path))


@pytest.mark.parametrize("file", COMPARISONS, ids=lambda f: f.stem)
def test_the_comparisons_of_recipes_are_whole(file, tmp_path):
    comparison = parse(read_recipe(file), file.parent)
    if "lab" not in read_recipe(comparison.recipe):  # where LFW lies is the reader's to say
        comparison = replace(comparison, flags=(*comparison.flags, "--evaluate.lfw", str(tmp_path)))
    cells = plan(comparison, tmp_path)
    assert len(cells) == len(comparison.seeds) * len(comparison.losses) * max(1, len(comparison.settings))
    assert len({cell.folder for cell in cells}) == len(cells)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_two_labels_share_a_folder(first, second):
    assert (_name(first) == _name(second)) == (first == second)
    assert "/" not in _name(first) and "\0" not in _name(first) and _name(first) not in (".", "..")


@pytest.fixture
def cell(write, tmp_path):
    return cells_of(write('recipe = "lab.toml"\nseeds = [0]\n[[losses]]\nname = "eqm"'), tmp_path / "out")[0]


def test_done_means_whole_figures_of_the_same_settings(cell, write, tmp_path):
    assert cell.figures() is None
    assert cell.prepare() == list(cell.words) and cell.figures() is None
    file = cell.folder / "figures.json"
    file.write_text('{"eer": 0.2')
    assert cell.figures() is None
    file.write_text('{"eer": 0.25, "n": 3, "none": null, "nan": NaN, "inf": Infinity}')
    assert cell.figures() == {"eer": 0.25, "n": 3.0}
    (tmp_path / "lab.toml").write_text(
        '# another comment\n[lab]\ncfp = "cfp"\nlfw = "lfw"\ncut = "power"\n\nimbalance = 1.0\n'
    )
    again = write(
        'recipe = "lab.toml"\nseeds = [0, 1]\n[[losses]]\nname = "eqm"\nscale = 32.0\nlabel = "eqm"'
    )
    assert cells_of(again, tmp_path / "out")[0].figures() == cell.figures()  # said otherwise, the same run
    (tmp_path / "lab.toml").write_text('[lab]\ncfp = "cfp"\nlfw = "lfw"\ncut = "power"\nimbalance = 2\n')
    changed = cells_of(again, tmp_path / "out")[0]
    assert changed.folder == cell.folder and changed.figures() is None
    changed.prepare()
    assert not file.exists() and cell.figures() is None


def test_a_lab_run_that_was_begun_starts_again(cell):
    cell.prepare()
    (cell.folder / "checkpoints/step-00000500").mkdir(parents=True)
    (cell.folder / "config.toml").touch()
    assert cell.prepare() == list(cell.words) and not (cell.folder / "checkpoints").exists()


def test_a_training_that_was_begun_goes_on(write, tmp_path):
    file = write('recipe = "train.toml"\nseeds = [0]\n[[losses]]\nname = "eqm"')
    cell = cells_of(file, tmp_path / "out")[0]
    cell.prepare()
    (cell.folder / "checkpoints/step-00000500").mkdir(parents=True)
    assert cell.prepare() == list(cell.words)  # no config.toml: it was stopped before it began
    (cell.folder / "checkpoints/step-00000500").mkdir(parents=True)
    (cell.folder / "config.toml").touch()
    assert cell.prepare() == ["train", "--resume", str(cell.folder)]
    (tmp_path / "train.toml").write_text('[data]\nroot = "people"\nholdout = 3\n')
    changed = cells_of(file, tmp_path / "out")[0]
    assert changed.prepare() == list(changed.words) and not (cell.folder / "checkpoints").exists()


def test_the_last_lines_of_a_failure_are_kept_until_it_is_tried_again(cell):
    cell.prepare()
    cell.log.write_text("\n".join(f"line {i}\n" for i in range(9)))
    assert cell.fail(2).splitlines() == ["exit code 2", *(f"line {i}" for i in range(4, 9))]
    assert cell.error() == cell.fail(2) and cell.fail(0).startswith("ended without figures.json")
    cell.prepare()
    assert cell.error() is None
    assert json.loads((cell.folder / "cell.json").read_text())["command"] == "lab"
