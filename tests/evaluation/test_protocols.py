"""LFW and CFP, through one suite on a miniature set with known answers; then the real sets' counts."""

import json

import numpy as np
import pytest

from evenface.errors import UserError
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.protocols import BENCHMARKS

from .conftest import EACH, FOLDS, MINIATURES


@pytest.fixture(params=sorted(MINIATURES))
def miniature(request, tmp_path):
    """(root, loader) of a fresh small set."""
    make, _ = MINIATURES[request.param]
    return make(tmp_path / "set"), BENCHMARKS[request.param]


def test_pairs_are_in_balanced_folds_and_point_at_pictures(miniature):
    root, load = miniature
    pairs = load(root)
    assert len(pairs) == FOLDS * 2 * EACH
    for fold in range(FOLDS):
        assert pairs.same[pairs.fold == fold].tolist() == [True] * EACH + [False] * EACH
    assert set(pairs.first) | set(pairs.second) == set(range(len(pairs.images)))
    assert len(set(pairs.images.names)) == len(pairs.images)
    # The person is in the path: genuine pairs share it, impostor pairs do not.
    person = [
        next(part for part in name.split("/")[::-1] if part.startswith("Person") or len(part) == 3)
        for name in pairs.images.names
    ]
    person = [name.rsplit("_", 1)[0] if name.endswith(".jpg") else name for name in person]
    agree = [person[a] == person[b] for a, b in zip(pairs.first, pairs.second, strict=True)]
    assert agree == pairs.same.tolist()
    assert ((pairs.people[pairs.first] == pairs.people[pairs.second]) == pairs.same).all()


def test_pictures_load_as_template_crops(miniature):
    root, load = miniature
    pairs = load(root)
    for index in range(len(pairs.images)):
        crop = pairs.images[index]
        assert (crop.shape, crop.dtype) == ((112, 112, 3), np.uint8)
        assert crop.std() > 5


def test_people_who_look_alike_are_told_apart(miniature, raw):
    root, load = miniature
    (result,) = evaluate(raw, load(root), batch_size=5)
    assert (result["accuracy"].value, result["accuracy"].deviation) == (1.0, 0.0)
    assert (result["auc"].value, result["eer"].value) == (1.0, 0.0)
    json.dumps(result.to_json(), allow_nan=False)


def test_sha256_follows_content_alone(miniature, tmp_path):
    root, load = miniature

    def sums(pairs):
        return pairs.sha256, pairs.images.sha256

    before = sums(load(root))
    assert sums(load(root)) == before
    moved = root.rename(tmp_path / "elsewhere")
    pairs = load(moved)
    assert sums(pairs) == before
    for path in (pairs.images.path(len(pairs.images) - 1), *pairs.sources[:: max(1, len(pairs.sources) - 1)]):
        content = path.read_bytes()
        picture = path.suffix == ".jpg"
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if picture else content + b"\n")
        lists, pictures = sums(load(moved))
        assert (lists == before[0], pictures == before[1]) == (picture, not picture), path
        path.write_bytes(content)
    assert sums(load(moved)) == before


def test_a_missing_picture_is_named(miniature, raw):
    root, load = miniature
    images = load(root).images
    images.path(3).unlink()
    with pytest.raises(UserError, match=f"{images.path(3).name}: missing; unpack"):
        load(root).images.check()
    images.path(4).unlink()
    with pytest.raises(UserError, match=f"{images.path(3).name}: missing and 1 more of {len(images)}"):
        evaluate(raw, load(root))


def test_a_broken_picture_is_named_by_the_evaluation(miniature, raw):
    root, load = miniature
    pairs = load(root)
    broken = pairs.images.path(2)
    broken.write_bytes(b"no picture")
    with pytest.raises(UserError, match=broken.name):
        evaluate(raw, pairs)


@pytest.mark.parametrize(
    ("name", "folder", "folds", "each", "pictures"),
    [("lfw", "lfw", 10, 300, 7701), ("cfp-ff", "cfp", 10, 350, None), ("cfp-fp", "cfp", 10, 350, None)],
)
def test_the_real_set_is_complete(data_root, name, folder, folds, each, pictures):
    pairs = BENCHMARKS[name](data_root / folder)
    for fold in range(folds):
        assert pairs.same[pairs.fold == fold].sum() == (~pairs.same[pairs.fold == fold]).sum() == each
    assert len(pairs) == folds * 2 * each
    if pictures is not None:
        assert len(pairs.images) == pictures
    pairs.images.check()


@pytest.mark.parametrize(("kind", "second"), [("ff", "frontal"), ("fp", "profile")])
def test_real_cfp_pairs_agree_with_the_people_in_their_paths(data_root, kind, second):
    """Which number is the frontal one is not in CFP's read-me: read otherwise, these would not hold."""
    pairs = BENCHMARKS[f"cfp-{kind}"](data_root / "cfp")
    person = np.array([name.split("/")[-3] for name in pairs.images.names])
    pose = np.array([name.split("/")[-2] for name in pairs.images.names])
    assert (pose[pairs.first] == "frontal").all()
    assert (pose[pairs.second] == second).all()
    assert ((person[pairs.first] == person[pairs.second]) == pairs.same).all()
    # The folds have no people in common, as CFP's read-me promises.
    folds = [
        set(person[pairs.first[pairs.fold == f]]) | set(person[pairs.second[pairs.fold == f]])
        for f in range(10)
    ]
    assert sum(map(len, folds)) == len(set().union(*folds))
