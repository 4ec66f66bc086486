"""The comparison file, its short form, and its way back to a file."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenface.compare.config import Comparison, Entry, Setting, from_names, parse, to_toml
from evenface.errors import UserError
from evenface.training.config import Named
from evenface.training.recipe import read_recipe

GRID = """
recipe = "lab.toml"
seeds = [4, 2]
reference = "EqM"
baseline = "imbalance 50"
figures = ["eer"]
lower_is_better = ["depth"]
flags = ["--lab.lfw", "LFW"]
[[losses]]
label = "EqM"
name = "eqm"
[[losses]]
name = "cosface"
scale = 32.0
[[settings]]
label = "imbalance 50"
set = { "lab.imbalance" = 50, lab.images = 3, "lab.cut" = "power" }
"""


def test_a_file_is_read(write):
    file = write(GRID)
    found = parse(read_recipe(file), file.parent)
    assert found == Comparison(
        recipe=file.parent / "lab.toml",
        losses=(Entry("EqM", Named("eqm")), Entry("cosface scale=32.0", Named("cosface", {"scale": 32.0}))),
        seeds=(4, 2),
        reference="EqM",
        settings=(Setting("imbalance 50", {"lab": {"imbalance": 50, "images": 3, "cut": "power"}}),),
        baseline="imbalance 50",
        figures=("eer",),
        lower_is_better=("depth",),
        flags=("--lab.lfw", "LFW"),
    )


def test_the_short_form_has_the_defaults():
    found = from_names(Path("r.toml"), "eqm, cosface", 3, None)
    assert [e.label for e in found.losses] == ["eqm", "cosface"] and found.seeds == (0, 1, 2)
    assert found.reference == "eqm" and found.settings == ()
    assert from_names(Path("r.toml"), "eqm,cosface", 1, "cosface").reference == "cosface"


def test_which_way_is_better():
    found = from_names(Path("r"), "eqm", 1, None)
    assert all(map(found.lower, ("eer", "scopes.cv", "margins.sd", "scopes.mean", "lfw.eer")))
    assert not any(map(found.lower, ("rank1", "tar@far=1e-2", "centres.mean", "lfw.accuracy")))
    assert Comparison(found.recipe, found.losses, (0,), "eqm", lower_is_better=("depth",)).lower("depth")


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
LABEL = TEXT.filter(lambda x: x.strip() and x.isprintable())
PLAIN = st.one_of(st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False), TEXT)
VALUE = st.one_of(PLAIN, st.booleans(), st.lists(PLAIN, max_size=3))
NAME = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
SET = st.recursive(
    st.dictionaries(NAME, VALUE, max_size=3), lambda x: st.dictionaries(NAME, x | VALUE, max_size=3)
)
ENTRY = st.builds(
    Entry,
    LABEL,
    st.builds(
        Named, st.just("arcface"), st.fixed_dictionaries({}, optional={"scale": PLAIN, "margin": VALUE})
    ),
)


@st.composite
def comparisons(draw):
    losses = draw(st.lists(ENTRY, min_size=1, max_size=4, unique_by=lambda e: e.label))
    settings = draw(st.lists(st.builds(Setting, LABEL, SET), max_size=3, unique_by=lambda s: s.label))
    return Comparison(
        recipe=Path(draw(NAME)),
        losses=tuple(losses),
        seeds=tuple(draw(st.lists(st.integers(0, 2**31), min_size=1, max_size=4, unique=True))),
        reference=draw(st.sampled_from(losses)).label,
        settings=tuple(settings),
        baseline=draw(st.sampled_from(["", *(setting.label for setting in settings)])),
        figures=tuple(draw(st.lists(TEXT, max_size=3, unique=True))),
        lower_is_better=tuple(draw(st.lists(TEXT, max_size=3))),
        flags=tuple(draw(st.lists(TEXT, max_size=3))),
    )


@given(comparisons())
def test_what_is_written_is_read_back_the_same(comparison):
    assert parse(tomllib.loads(to_toml(comparison)), Path()) == comparison


LOSS = '[[losses]]\nname = "eqm"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LOSS, "recipe: is missing"),
        ('recipe = "r"\nseeds = [0]\nfigure = ["eer"]\n' + LOSS, "figure: .* did you mean figures"),
        ('recipe = "r"\nseeds = [0]\n', "losses: is empty"),
        ('recipe = "r"\n' + LOSS, "seeds: is empty"),
        ('recipe = "r"\nseeds = 3\n' + LOSS, "seeds: 3 is not a list"),
        ('recipe = "r"\nseeds = [0.5]\n' + LOSS, "seeds: 0.5 is not a whole number"),
        ('recipe = "r"\nseeds = [true]\n' + LOSS, "seeds: True is not a whole number"),
        ('recipe = "r"\nseeds = [-1]\n' + LOSS, "seeds: -1 is outside its range"),
        ('recipe = "r"\nseeds = [1, 1]\n' + LOSS, "seeds: 1 is there twice"),
        ('recipe = 3\nseeds = [0]\n' + LOSS, "recipe: 3 is not a word"),
        ('recipe = "r"\nseeds = [0]\nlosses = ["eqm"]', r"begin each with \[\[losses\]\]"),
        ('recipe = "r"\nseeds = [0]\n' + LOSS + LOSS, "losses.label: 'eqm' is there twice"),
        ('recipe = "r"\nseeds = [0]\n[[losses]]\nscale = 1', "losses.name: is missing"),
        ('recipe = "r"\nseeds = [0]\n[[losses]]\nname = "eqn"', "losses.name: .* did you mean 'eqm'"),
        ('recipe = "r"\nseeds = [0]\n' + LOSS + "scal = 3", "'scal' is not known; did you mean 'scale'"),
        ('recipe = "r"\nseeds = [0]\n' + LOSS + "scale = inf", "scale: inf is not a number"),
        ('recipe = "r"\nseeds = [0]\n' + LOSS + 'label = ""', "losses.label: '' must have 1 to 60"),
        ('recipe = "r"\nseeds = [0]\nreference = "eqn"\n' + LOSS, "reference: .* did you mean 'eqm'"),
        ('recipe = "r"\nseeds = [0]\nbaseline = "x"\n' + LOSS, "baseline: 'x' is not known"),
        ('recipe = "r"\nseeds = [0]\n' + LOSS + '[[settings]]\nset = {}', "settings: needs a label"),
        ('recipe = "r"\nseeds = [0]\n' + LOSS + '[[settings]]\nlabel = "x"\nsets = 1', "mean settings.set"),
        ('recipe = "r"\nseeds = [0]\n' + LOSS + '[[settings]]\nlabel = "x"\nset = { "a b" = 1 }', "no name"),
        (
            'recipe = "r"\nseeds = [0]\n' + LOSS + '[[settings]]\nlabel = "x"\nset = { "a" = 1, "a.b" = 1 }',
            "a.b is below a setting that has a value",
        ),
        (
            'recipe = "r"\nseeds = [0]\n' + LOSS + '[[settings]]\nlabel = "x"\nset = { "a.b" = 1, a = 1 }',
            "a is there twice",
        ),
    ],
)  # fmt: skip
def test_mistakes_name_the_key(text, says):
    with pytest.raises(UserError, match=says):
        parse(tomllib.loads(text), Path())
