"""Who is trained on and who is tested."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from evenface.errors import UserError
from evenface.lab.config import SetsConfig
from evenface.lab.sets import training_and_test


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def config(sets):
    return SetsConfig(cfp=sets["cfp"], lfw=sets["lfw"], faces=sets["faces"], exclude=(sets["out.txt"],))


def counts(faces):
    return torch.bincount(faces.labels).tolist()


def test_strangers_alone_are_tested(config, cache):
    """Bo Çelik of CFP is Bo_Celik of LFW; Person_U has one picture."""
    train, test = training_and_test(config, cache)
    assert counts(train) == [6] * 5 and counts(test) == [4] * 5
    assert counts(training_and_test(replace(config, strangers=False), cache)[1]) == [4] * 6
    assert counts(training_and_test(replace(config, test_most=3), cache)[1]) == [3] * 5


def test_sources_are_joined_and_people_left_out(config, cache):
    train, test = training_and_test(replace(config, train=("lfw", "faces"), test="cfp"), cache)
    assert counts(train) == [4] * 6 + [6, 5, 4]  # f3 is excluded
    assert counts(test) == [6] * 4


def test_a_cut_takes_those_with_the_most(config, cache):
    cut = replace(
        config, train=("lfw", "faces"), test="cfp", cut="geometric", people=3, images=9, imbalance=4.0
    )
    train, _ = training_and_test(cut, cache)
    assert sorted(counts(train), reverse=True) == [5, 3, 1]


def test_the_people_drawn_are_the_same_at_every_imbalance(config, cache):
    everybody = replace(config, train=("lfw", "faces"), test="cfp")
    all_images, _ = training_and_test(everybody, cache)
    means = torch.stack([all_images.features[all_images.labels == k].mean(0) for k in range(9)])

    def people(seed, imbalance):
        cut = replace(everybody, cut="power", drawn=True, people=3, images=9, imbalance=imbalance, seed=seed)
        train, _ = training_and_test(cut, cache)
        return sorted(counts(train)), set(torch.cdist(train.features, means).argmin(1).tolist())

    alike = [people(seed, 1.0) for seed in range(6)]
    assert all(sizes == [3, 3, 3] and len(who) == 3 for sizes, who in alike)
    assert len({frozenset(who) for _, who in alike}) > 3
    assert [people(seed, 2.0) for seed in range(6)] == [([2, 3, 4], who) for _, who in alike]


def test_holding_out_splits_the_training_people(config, cache):
    train, test = training_and_test(replace(config, holdout=2), cache)
    assert counts(train) == [6] * 3 and counts(test) == [6] * 2
    rows = torch.cat([train.features, test.features])
    assert len(np.unique(rows.numpy(), axis=0)) == 30  # nobody is in both


def test_the_seed_draws(config, cache):
    cut = replace(config, cut="geometric", images=15, imbalance=2.0, test_most=2)
    first, again, other = (training_and_test(replace(cut, seed=s), cache) for s in (0, 0, 1))
    for k in (0, 1):
        assert torch.equal(first[k].features, again[k].features)
        assert not torch.equal(first[k].features, other[k].features)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cfp": None}, r"lab\.cfp: this recipe needs the pictures of cfp; give --lab\.cfp DIR"),
        ({"holdout": 4}, r"lab\.holdout: 4 is too many of 5 people"),
        ({"cut": "power", "images": 4}, r"lab\.images: 4 are too few for 5 people"),
        ({"cut": "power", "images": 50}, r"place 1 of the cut needs 10 images and has 6"),
    ],
)
def test_what_cannot_be_is_refused(config, cache, change, words):
    with pytest.raises(UserError, match=words):
        training_and_test(replace(config, **change), cache)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train": ("cfq",)}, "lab.train.*did you mean 'cfp'"),
        ({"train": ("lfw",)}, "name sources, each once, but not lab.test"),
        ({"train": ()}, "name sources"),
        ({"imbalance": 0.5}, "lab.imbalance: 0.5 is outside"),
        ({"test_most": 1}, "lab.test_most"),
        ({"cut": "linear"}, "lab.cut"),
        ({"imbalance": 50}, r"lab\.imbalance: 50 is of a cut; give lab\.cut geometric or power"),
        ({"images": 50}, r"lab\.images: 50 is of a cut"),
        ({"people": 50}, r"lab\.people: 50 is of a cut"),
        ({"drawn": True}, "lab.drawn: .* give lab.cut geometric or power, and lab.people"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        SetsConfig(**settings)


def test_real_sets_share_the_people_we_know(data_root):
    """CFP's own names against LFW's folders: 176 people of CFP are in LFW too."""
    from evenface.lab.sources import shared

    config = SetsConfig(cfp=data_root / "cfp", lfw=data_root / "lfw")
    listed = (data_root / "cfp/overlap_with_lfw.csv").read_text().splitlines()[1:]
    assert shared("cfp", ("lfw",), config) == {line.split(",")[0] for line in listed}
