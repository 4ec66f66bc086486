"""What a result prints and writes."""

import json

import numpy as np
import pytest

from evenface.evaluation.metrics import cmc, open_set, roc
from evenface.evaluation.results import Rate, Result, power


def test_a_rate_in_words():
    assert str(Rate("eer", "EER", 0.125)) == "EER: 12.50 %"
    assert str(Rate("accuracy", "accuracy", 0.9951, deviation=0.0032)) == "accuracy: 99.51 ± 0.32 %"
    at = Rate("tar@far=1e-4", "TAR at FAR 1e-4", 0.5, interval=(0.4, 0.6), note="rests on too few")
    assert str(at) == "TAR at FAR 1e-4: 50.00 % (95 %: 40.00 to 60.00)  * rests on too few"
    assert str(Rate("map", "mAP", np.nan, note="no probes")) == "mAP: no probes"


@pytest.mark.parametrize(
    ("value", "words"), [(1e-6, "1e-6"), (0.01, "1e-2"), (0.05, "0.05"), (1e6, "1e6"), (1, "1e0")]
)
def test_powers_of_ten_are_written_as_such(value, words):
    assert power(value) == words


def test_curves_are_counts_that_the_figures_can_be_read_off():
    rng = np.random.default_rng(0)
    scores, same = rng.normal(size=20_000), rng.random(20_000) < 0.3
    curve = roc(scores + same, same)
    opened = open_set(rng.normal(size=500), rng.random(500) < 0.8, rng.normal(size=900) - 1)
    result = Result(
        protocol="P",
        rates=(Rate("eer", "EER", 0.1),),
        counts={},
        conventions={},
        sha256="0" * 64,
        roc=curve,
        cmc=cmc([1, 1, 3]),
        open_set=opened,
    )
    found = json.loads(json.dumps(result.curves(200), allow_nan=False))
    written = found["roc"]
    assert len(written["thresholds"]) == len(written["false_accepts"]) <= 200
    assert written["thresholds"][0] is None and written["false_accepts"][-1] == curve.impostors
    points = set(zip(curve.false_accepts.tolist(), curve.true_accepts.tolist(), strict=True))
    assert set(zip(written["false_accepts"], written["true_accepts"], strict=True)) <= points
    assert found["cmc"]["probes"] == 3 and found["cmc"]["hits"][:3] == [2, 2, 3]
    assert (found["dir"]["mated"], found["dir"]["nonmated"]) == (500, 900)
    assert found["dir"]["false_positives"][-1] == 900 and len(found["dir"]["thresholds"]) <= 200


def test_a_result_is_read_by_key():
    result = Result(
        protocol="P", rates=(Rate("eer", "EER", 0.1),), counts={}, conventions={}, sha256="0" * 64
    )
    assert result["eer"].value == 0.1 and "eer" in result and "auc" not in result
    with pytest.raises(KeyError):
        result["auc"]
    assert result.curves() == {}
