"""From pictures to thresholds, against plain counting; and the card that keeps them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation.conftest import make_lfw, raw_pixels

from evenface.backbones.saved import CARD, WEIGHTS, load_model, save_model, save_note
from evenface.data import Files
from evenface.errors import UserError
from evenface.evaluation.embed import FunctionEmbedder, embed
from evenface.evaluation.images import ImageSet, digest
from evenface.evaluation.metrics import roc
from evenface.evaluation.metrics.calibration import by_person, threshold_at
from evenface.evaluation.people import all_pairs
from evenface.evaluation.templates import unit_rows
from evenface.faces import InputFormat
from evenface.gallery import calibrate as module
from evenface.gallery.calibrate import calibrate, people_scores
from evenface.gallery.calibration import Calibration, read_calibration, write_calibration
from evenface.gallery.sets import LabelledSet, lfw_set, people_set

RAW = FunctionEmbedder(raw_pixels, InputFormat(16, 16, "gray"), "raw")


def given_labels(labels, pairs=None) -> LabelledSet:
    names = [str(i) for i in range(len(labels))]
    return LabelledSet("made up", ImageSet(Path(), names, lambda i: np.zeros(0)), labels, "none", pairs)


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 60))
def test_the_scores_of_all_pairs(seed, n, most):
    """In blocks smaller than the set, and with fewer kept than there are."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n + 2, 3)).astype(np.float32)
    labels = np.unique(np.append(rng.integers(0, 5, n), [5, 5]), return_inverse=True)[1]
    if labels.max() == 0:
        return
    scores, same = all_pairs(rows, labels)
    i, j = np.triu_indices(n + 2, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", 7)
        patch.setattr(module, "_MOST", most)
        found = people_scores(rows, given_labels(labels))
    kept = min(most, (~same).sum())
    assert found.impostors == (~same).sum() and len(found.scores) == len(found.people) == kept
    np.testing.assert_allclose(found.scores, np.sort(scores[~same])[::-1][:kept], atol=1e-6)
    assert (np.diff(found.scores) <= 0).all()
    person = {frozenset(labels[[a, b]]): [] for a, b in zip(i, j, strict=True)}
    for score, a, b in zip(scores, i, j, strict=True):
        person[frozenset(labels[[a, b]])].append(score)
    for score, two in zip(found.scores, found.people, strict=True):
        assert np.abs(np.array(person[frozenset(two)]) - score).min() < 1e-6
    order = np.argsort(found.genuine)
    np.testing.assert_allclose(found.genuine[order], np.sort(scores[same]), atol=1e-6)
    assert (np.bincount(found.genuine_people) == np.bincount(labels[i][same])).all()


def test_the_scores_of_listed_pairs():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(9, 4)).astype(np.float32), np.repeat(range(3), 3)
    pairs = rng.permutation(np.array([(a, b) for a in range(9) for b in range(a)]))[:20]
    found = people_scores(rows, given_labels(labels, pairs))
    unit = unit_rows(rows)
    expected = sorted(
        ((float(unit[a] @ unit[b]), {labels[a], labels[b]}) for a, b in pairs if labels[a] != labels[b]),
        key=lambda one: -one[0],
    )
    assert found.images is None and found.impostors == len(expected)
    np.testing.assert_allclose(found.scores, [score for score, _ in expected], atol=1e-6)
    assert [set(two) for two in found.people] == [two for _, two in expected]
    assert len(found.genuine) == 20 - len(expected)


def test_lone_people_make_no_genuine_pair():
    with pytest.raises(UserError, match="one of them with two pictures"):
        people_scores(np.eye(3, dtype=np.float32), given_labels(np.arange(3)))
    with pytest.raises(UserError, match="two people"):
        people_scores(np.eye(3, dtype=np.float32), given_labels(np.zeros(3, np.int64)))


def test_thresholds_by_plain_counting(people):
    found = calibrate(RAW, "", people_set(people), (0.05, 0.3, 0.001), "concat", batch_size=5)
    paths = [people / f"p{p}/{i}.png" for p in range(6) for i in range(8)]
    scores, same = all_pairs(embed(RAW, Files(map(str, paths)), "concat"), np.repeat(range(6), 8))
    assert [at.fmr_target for at, _ in found.thresholds] == [0.3, 0.05, 0.001]
    for at, by in found.thresholds[:2]:
        good = [t for t in scores if (scores[~same] >= t).mean() <= at.fmr_target]
        assert at.threshold == pytest.approx(min(good), abs=1e-6)
        assert at.impostors == (~same).sum() == 960
        assert at.impostors_passing == (scores[~same] >= min(good)).sum()
        assert at.fnmr == pytest.approx((scores[same] < min(good)).mean())
        assert by.threshold[0] <= at.threshold <= by.threshold[1]
    assert not found.thresholds[2][0].measurable and found.thresholds[2][1] is None
    assert (found.people, found.pictures, found.picture_size, found.flip) == (6, 48, "40x40", "concat")
    assert found.set == f"{people}, all pairs of 48 pictures of 6 people"
    assert found.conventions["flip"] == "concat flip" and found.conventions["crop"] == "pictures as they are"
    assert found.pictures_sha256 == digest(paths) and found.sources_sha256 is None


def test_one_picture_under_two_names_makes_no_threshold(people, tmp_path):
    """Its copies have the cosine 1, more of them than may pass; float32 gives them values around it."""
    root = tmp_path / "twice"
    for person in range(6):
        shutil.copytree(people / f"p{person}", root / f"p{person}")
    shutil.copytree(people / "p0", root / "again")
    with pytest.raises(UserError, match=r"the highest score is that of more than 5\.376 impostor pairs"):
        calibrate(RAW, "", people_set(root), (4e-3,))


def test_what_cannot_be_calibrated(people, tmp_path):
    with pytest.raises(UserError, match="--fmr: 2 is no false match rate"):
        calibrate(RAW, "", people_set(people), (2.0,))
    with pytest.raises(UserError, match="no threshold at any FMR; not measurable: 960 impostor pairs"):
        calibrate(RAW, "", people_set(people), (1e-4, 1e-5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST", 90)
        patch.setattr(module, "embed", lambda *_, **__: pytest.fail("was embedded first"))
        with pytest.raises(UserError, match=r"--fmr: 0\.1 of the 960 .* the 90 highest .* use 0\.09 or less"):
            calibrate(RAW, "", people_set(people), (0.2, 0.1))
    root = make_lfw(tmp_path / "lfw")
    next((root / "images").glob("*/*2.jpg")).unlink()
    with pytest.raises(UserError, match=r"_0002.jpg: missing"):
        calibrate(RAW, "", lfw_set(root, pairs="official"), (0.2,))


@pytest.fixture
def calibrated(run, people) -> tuple[Path, Calibration]:
    found = calibrate(RAW, digest([run / WEIGHTS]), people_set(people), (0.1, 1e-2, 1e-5))
    write_calibration(run, found)
    return run, found


def plain(found: Calibration) -> str:
    return json.dumps(found.to_json(), allow_nan=False)


def test_the_card_keeps_it_and_all_else(calibrated):
    run, found = calibrated
    _, card = load_model(run)
    assert list(card.notes) == ["step", "unknown", "calibration"]
    assert (card.notes["step"], card.notes["unknown"]) == (12, [1.5, None])
    again = read_calibration(run)
    assert plain(again) == plain(found)
    assert again.at(0.1) == found.thresholds[0] and again.at(0.01) == found.thresholds[1]
    row = card.notes["calibration"]["thresholds"][0]
    assert row["squared_l2"] == 2 - 2 * row["threshold"]
    assert row["l2"] == pytest.approx(np.sqrt(row["squared_l2"]))
    assert card.notes["calibration"]["thresholds"][2]["threshold"] is None


def test_a_second_calibration_replaces_the_first(calibrated):
    run, found = calibrated
    before = json.loads((run / CARD).read_text())
    before["more"] = {"a later version's field": 0.1}
    (run / CARD).write_text(json.dumps(before))
    write_calibration(run, replace(found, set="another", thresholds=found.thresholds[:1]))
    after = json.loads((run / CARD).read_text())
    assert after["notes"].pop("calibration")["set"] == "another"
    before["notes"].pop("calibration")
    assert after == before and list(after) == list(before)
    assert sorted(path.name for path in run.iterdir()) == [CARD, WEIGHTS]


def test_a_calibration_that_does_not_hold_is_not_used(calibrated):
    run, found = calibrated
    with pytest.raises(UserError, match=r"FMR 0.5 is not calibrated, only 1e-1, 1e-2; .*calibrate"):
        found.at(0.5)
    with pytest.raises(UserError, match=r"FMR 1e-5 on .*: not measurable: 960"):
        found.at(1e-5)
    net, card = load_model(run)
    good = found.to_json()
    row = good["thresholds"][0]
    rows = [row | change for change in ({"threshold": "0.3"}, {"fmr_interval": 1}, {"by_person": 3})]
    rows += [row | {"by_person": row["by_person"] | {"fmr": [0.1, "x"]}}, row | {"note": 5}]
    broken_rows = [{**good, "thresholds": [one]} for one in rows]
    more = [{**good, "thresholds": 3}, {**good, "date": 2026}, *broken_rows]
    for broken in ({}, [], "x", {"thresholds": [{}]}, *more):
        save_note(run, "calibration", broken)
        with pytest.raises(UserError, match=r"calibration cannot be read .* run `evenface calibrate"):
            read_calibration(run)
    write_calibration(run, found)
    (run / WEIGHTS).rename(run / "away")
    with pytest.raises(UserError, match=r"model.safetensors: No such file .* whole run"):
        read_calibration(run)
    (run / "away").rename(run / WEIGHTS)
    net.apply(lambda part: [p.data.mul_(2) for p in part.parameters(recurse=False)])
    save_model(run, net, card)
    with pytest.raises(UserError, match="calibrated with other weights"):
        read_calibration(run)
    save_model(run, net, replace(card, notes={}))
    with pytest.raises(UserError, match=r"is not calibrated.*evenface calibrate .*--threshold"):
        read_calibration(run)


def test_a_note_goes_into_a_models_card_only(tmp_path):
    with pytest.raises(UserError, match=r"card.json is missing"):
        save_note(tmp_path, "calibration", {})
    (tmp_path / CARD).write_text("[]")
    with pytest.raises(UserError, match="not a model's card"):
        save_note(tmp_path, "calibration", {})
    assert (tmp_path / CARD).read_text() == "[]"


def test_lfws_official_pairs(data_root):
    """Real faces; every threshold against the ROC of the pair list's scores."""
    of = lfw_set(data_root / "lfw", pairs="official")
    rows = embed(RAW, of.images)
    pairs = people_scores(rows, of)
    unit = unit_rows(rows).astype(np.float64)
    scores = (unit[of.pairs[:, 0]] * unit[of.pairs[:, 1]]).sum(1)
    curve = roc(scores, of.labels[of.pairs[:, 0]] == of.labels[of.pairs[:, 1]])
    for fmr, k in ((1e-1, 300), (1e-2, 30), (1e-3, 3)):
        at = threshold_at(pairs.scores, pairs.genuine, fmr, pairs.impostors)
        good = curve.false_accepts <= k
        assert at.threshold == pytest.approx(curve.thresholds[good][-1], abs=1e-6)
        assert (at.impostors_passing, at.impostors, at.genuine) == (k, 3000, 3000)
        assert at.genuine_rejected == 3000 - curve.true_accepts[good][-1]
        by = by_person(pairs, fmr, at.threshold, replicates=100)
        assert by.threshold[0] <= at.threshold <= by.threshold[1]
