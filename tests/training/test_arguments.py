"""File, command line and Python read the same settings; mistakes are named."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface import backbones, losses
from evenface.data import AugmentConfig, DataConfig
from evenface.errors import UserError
from evenface.faces import InputFormat
from evenface.training import arguments
from evenface.training.config import Config, EvaluateConfig, Named, TrainConfig, to_toml


def parse(*words: str, recipe: Path | None = None) -> Config:
    return arguments.parse(list(words), prog="test", description="", recipe=recipe)


def test_the_command_line_alone():
    config = parse(
        *("--data.root", "faces", "--loss.lower", "0.55"),
        *("--train.schedule", "step", "--train.milestones", "0.1", "0.2"),
    )
    assert config.data.root == Path("faces") and config.train.milestones == (0.1, 0.2)
    assert config.loss.name == "eqm" and config.loss.options["lower"] == 0.55
    assert config.loss.options["upper"] == 0.2 and config.loss.options["centre_upper"] == "auto"
    assert config.backbone == Named("mobilefacenet", {"embedding_size": 256})


@pytest.mark.parametrize("words", [("--loss", "cosface"), ("--loss=cosface",), ("--loss.name", "cosface")])
def test_a_loss_is_chosen_and_brings_its_settings(words):
    assert parse(*words, "--loss.margin", "0.2").loss == Named("cosface", {"scale": 64.0, "margin": 0.2})


def test_the_command_line_changes_single_settings_of_a_file(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[data]\nroot = "a"\nexclude = ["x", "y"]\n[loss]\nname = "eqm"\nlower = 0.5\nupper = 0.1\n'
    )
    config = parse("--loss.lower", "0.7", recipe=recipe)
    assert config.loss.options["lower"] == 0.7 and config.loss.options["upper"] == 0.1
    assert config.data.exclude == (Path("x"), Path("y"))


def test_a_name_alone_stands_for_its_table(tmp_path):
    (tmp_path / "r.toml").write_text('loss = "cosface"\nbackbone = "tiny"\n')
    config = parse(recipe=tmp_path / "r.toml")
    assert config.loss.name == "cosface" and config.backbone.name == "tiny"


def test_another_loss_leaves_the_files_own_settings_aside(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text('[data]\nroot = "a"\n[loss]\nname = "eqm"\nlower = 0.5\n')
    assert parse("--loss", "arcface", recipe=recipe).loss.options == {
        "scale": 64.0,
        "margin": 0.5,
        "detached": False,
    }


def test_regularisers_come_from_a_file_and_from_words(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[[regularisers]]\nname = "center"\nweight = 0.01\n[[regularisers]]\nname = "regularface"\n'
    )
    config = parse("--regularisers.iam.scale=16", "--regularisers.center.alpha", "0.4", recipe=recipe)
    assert config.regularisers == (
        Named("center", {"weight": 0.01, "alpha": 0.4}),
        Named("regularface", {"weight": 1.0}),
        Named("iam", {"weight": 0.1, "scale": 16.0}),
    )
    again = tmp_path / "again.toml"
    again.write_text(to_toml(config))
    assert parse(recipe=again) == config == arguments.resolve(config)
    assert parse().regularisers == ()
    few = replace(config, regularisers=(Named("center", {"weight": 0.01}),))
    assert arguments.resolve(few).regularisers == (Named("center", {"weight": 0.01, "alpha": 0.5}),)


def test_wrong_regularisers_are_refused():
    config = Config(data=DataConfig(root=Path("x")), loss=Named("cosface"))
    for names, words in (
        ([Named("iam"), Named("iam")], r"regularisers\.iam: is there twice"),
        ([Named("regular")], "regularisers: 'regular' is not known; did you mean 'regularface'"),
        (
            [Named("iam", {"alpha": 1})],
            r"regularisers\.iam\.alpha: iam has no such setting; it has weight, scale",
        ),
    ):
        with pytest.raises(UserError, match=words):
            arguments.resolve(replace(config, regularisers=tuple(names)))
    with pytest.raises(UserError, match="regularisers: 'centre' is not known; did you mean 'center'"):
        parse("--regularisers.centre.weight", "1")


@pytest.mark.parametrize("loss", sorted(losses.LOSSES))
@pytest.mark.parametrize("backbone", sorted(backbones.BACKBONES))
def test_every_pair_survives_the_file(tmp_path, loss, backbone):
    config = arguments.resolve(
        Config(data=DataConfig(root=Path("x")), loss=Named(loss), backbone=Named(backbone))
    )
    (tmp_path / "r.toml").write_text(to_toml(config))
    assert parse(recipe=tmp_path / "r.toml") == config


@settings(max_examples=40)
@given(
    root=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(lambda t: t != "None"),
    rate=st.floats(1e-9, 1e3),
    clip=st.floats(0.0),
    flag=st.booleans(),
    size=st.integers(16, 500),
)
def test_any_values_survive_the_file(tmp_path_factory, root, rate, clip, flag, size):
    config = arguments.resolve(
        Config(
            data=DataConfig(
                root=Path("/" + root), in_memory=flag, augment=AugmentConfig(erase_area=(0.1, 0.3))
            ),
            input=InputFormat(size, size, "gray", "128"),
            train=TrainConfig(learning_rate=rate, clip=clip, compile=flag),
            evaluate=EvaluateConfig(lfw=Path("/lfw") if flag else None),
        )
    )
    path = tmp_path_factory.mktemp("recipe") / "r.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert parse(recipe=path) == config


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[dta]\n", r"dta is not a setting; did you mean data\?"),
        ('[data]\nrot = "x"\n', r"data\.rot is not a setting; did you mean data\.root\?"),
        ("[loss]\nlowr = 0.5\n", r"loss\.lowr is not a setting; did you mean loss\.lower"),
        ("data = 3\n", "data is a table, not a setting"),
        ("loss = 3\n", "loss is a table or a name, for example loss = 'eqm'"),
        ("[train.epochs]\nx = 1\n", r"train\.epochs is a setting, not a table"),
        ("[data\n", "not a TOML file"),
        ('[loss]\nname = "eqn"\n', "loss: 'eqn' is not known; did you mean 'eqm'"),
        (
            'regularisers = ["iam"]\n',
            r"regularisers are tables with a name, for example \[\[regularisers\]\]",
        ),
        ("[[regularisers]]\nweight = 1\n", "regularisers are tables with a name"),
        ('[[regularisers]]\nname = "iam"\n' * 2, r"regularisers\.iam: is there twice"),
        ('[[regularisers]]\nname = "iam"\nwight = 1\n', r"did you mean regularisers\.iam\.weight"),
        ('data.in_memory = "yes"', r"r\.toml: data\.in_memory: 'yes' does not fit; give true or false"),
        ("data.in_memory = 1", r"data\.in_memory: 1 does not fit; give true or false"),
        ("data.workers = 2.5", r"data\.workers: 2\.5 does not fit; give a whole number"),
        ("data.root = 5", r"data\.root: 5 does not fit; give text"),
        ('data.corrupt = "no"', r"""data\.corrupt: 'no' does not fit; give "stop" or "skip\""""),
        ("data.exclude = [1]", r"data\.exclude: \[1\] does not fit; give a list, each text"),
        ("data.augment.erase_area = [0.1]", r"\[0\.1\] does not fit; give a list of 2, each a number"),
        ("train.epochs = true", r"train\.epochs: true does not fit; give a number"),
        ("train.epochs = 1979-05-27", r"train\.epochs: 1979-05-27 does not fit; give a number"),
        ("loss.lower = [1, 2]", r"loss\.lower: \[1, 2\] does not fit; give a number"),
        ('loss.centre_upper = "big"', r"""centre_upper: 'big' does not fit; give a number or "auto\""""),
        ("loss.name = 5", r"loss\.name: 5 does not fit; give text, as 'eqm'"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, content, words):
    (tmp_path / "r.toml").write_text(content)
    with pytest.raises(UserError, match=words):
        parse(recipe=tmp_path / "r.toml")


def test_a_file_may_say_a_value_more_shortly(tmp_path):
    (tmp_path / "r.toml").write_text(
        'data.exclude = "x"\ntrain.schedule = "step"\ntrain.milestones = 0.5\ntrain.epochs = 3\n'
        "input.pixels = 128\nloss.centre_upper = 1"
    )
    config = parse(recipe=tmp_path / "r.toml")
    assert config.data.exclude == (Path("x"),) and config.train.milestones == (0.5,)
    assert config.train.epochs == 3 and config.input.pixels == "128"
    assert config.loss.options["centre_upper"] == 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.toml: No such file"):
        parse(recipe=tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TrainConfig(epochs=0), r"train\.epochs"),
        (lambda: TrainConfig(batch_size=1), r"train\.batch_size"),
        (lambda: TrainConfig(ema=1.0), r"train\.ema"),
        (lambda: TrainConfig(milestones=(0.9, 0.5)), r"train\.milestones"),
        (
            lambda: TrainConfig(milestones=(0.2,)),
            r"train\.milestones: are of the step schedule",
        ),
        (
            lambda: Config(DataConfig(), evaluate=EvaluateConfig(every=9)),
            r"every: there is nothing to",
        ),
        (lambda: TrainConfig(optimizer="sdg"), r"train\.optimizer: 'sdg' is none of sgd, adamw"),
        (lambda: EvaluateConfig(every=-1), r"evaluate\.every"),
        (lambda: InputFormat(8, 8), r"input\.height"),
        (lambda: InputFormat.size("112"), "not HEIGHTxWIDTH"),
    ],
)
def test_settings_out_of_range_name_the_field(make, words):
    with pytest.raises(UserError, match=words):
        make()


def test_options_that_a_loss_does_not_have_are_refused():
    config = Config(data=DataConfig(root=Path("x")), loss=Named("cosface", {"lower": 0.5}))
    with pytest.raises(UserError, match=r"loss\.lower: cosface has no such setting; it has scale, margin"):
        arguments.resolve(config)
    with pytest.raises(UserError, match="backbone: 'resnet' is not known"):
        arguments.resolve(replace(config, loss=Named("eqm"), backbone=Named("resnet")))
