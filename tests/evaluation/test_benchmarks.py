"""Every benchmark, through one suite: a small set of its form, and embeddings that nobody's network made."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenface.errors import UserError
from evenface.evaluation.benchmark import Benchmark
from evenface.evaluation.evaluate import evaluate_stored
from evenface.evaluation.protocols import BENCHMARKS
from evenface.evaluation.report import write_report
from evenface.evaluation.store import slug

from . import test_agedb, test_bin, test_calfw_cplfw, test_ijb, test_ijba, test_listed, test_ytf
from .conftest import make_cfp, make_lfw, picture, write
from .test_megaface import make_megaface
from .test_tinyface import make_tinyface


def cplfw(root: Path) -> Path:
    return test_calfw_cplfw.with_landmarks(test_calfw_cplfw.make(root, size=250), "CP")


def calfw(root: Path) -> Path:
    test_calfw_cplfw.with_landmarks(test_calfw_cplfw.make(root, size=250), "CA")
    (root / "pairs_CPLFW.txt").rename(root / "pairs_CALFW.txt")
    return root


def lfw_1n(root: Path) -> Path:
    make_lfw(root)
    write(root / "images/Zoe_Single/Zoe_Single_0001.jpg", picture(50, 1, 160))
    return root


def packed(root: Path) -> Path:
    root.mkdir()
    (root / "lfw.bin").write_bytes(pickle.dumps((test_bin.CONTENT, test_bin.SAME), 4))
    return root / "lfw.bin"


def listed(root: Path) -> Path:
    root.mkdir()
    (root / "mine.txt").write_text(test_listed.plain())
    return root / "mine.txt"


def people(root: Path) -> Path:
    for person in range(12):
        for number in range(person % 4 + 1):
            write(root / f"p{person}" / f"{number}.png", picture(person, number, 40))
    return root


def ytf(root: Path) -> Path:
    for video in test_ytf.videos():
        for number in range(1, 4):
            write(root / video / f"{number}.jpg", picture(0, number, 112))
    (root / "splits.txt").write_text("\n".join(test_ytf.lines()) + "\n")
    return root


def ijba(root: Path) -> Path:
    test_ijba.make(root)
    return root


MAKERS: dict[str, Callable[[Path], Path]] = {
    "lfw": make_lfw,
    "lfw-1n": lfw_1n,
    "cfp-ff": make_cfp,
    "cfp-fp": make_cfp,
    "calfw": calfw,
    "cplfw": cplfw,
    "agedb": lambda root: test_agedb.with_landmarks(test_agedb.make(root, size=250)),
    "bin": packed,
    "pairs": listed,
    "people": people,
    "ytf": ytf,
    "megaface": make_megaface,
    "ijbb": lambda root: test_ijb.write_lists(test_ijb.make(), root),
    "ijbc": lambda root: test_ijb.write_lists(test_ijb.make(), root, "ijbc", "G"),
    "ijba": ijba,
    "tinyface": make_tinyface,
}


@pytest.fixture(scope="module", params=sorted(MAKERS))
def benchmark(request, tmp_path_factory) -> Benchmark:
    return BENCHMARKS[request.param](MAKERS[request.param](tmp_path_factory.mktemp("sets") / "set"))


@pytest.fixture(scope="module")
def rows(benchmark) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(benchmark.images), 24)).astype(np.float32)


def plain(results) -> list[dict]:
    return [result.to_json() for result in results]


def test_every_benchmark_has_a_maker():
    assert set(MAKERS) == set(BENCHMARKS)


def test_results_are_whole(benchmark, rows):
    results = benchmark.score(rows)
    assert len({result.protocol for result in results}) == len(results)
    for result in results:
        assert len({rate.key for rate in result.rates}) == len(result.rates)
        assert all(np.isnan(rate.value) or 0 <= rate.value <= 1 for rate in result.rates)
        assert any(np.isfinite(rate.value) for rate in result.rates)
        assert all(rate.note for rate in result.rates if np.isnan(rate.value))
        for rate in result.rates:
            if rate.interval is not None and np.isfinite(rate.interval).all():
                assert rate.interval[0] <= rate.value <= rate.interval[1], rate
        assert all(isinstance(text, str) and text for text in result.conventions.values())
        assert all(count >= 0 for count in result.counts.values())
        assert len(result.sha256) == 64
        assert result.protocol in result.headline and result.sha256[:12] in result.headline
        assert result.roc is not None or result.cmc is not None
        for pair in result.hardest:
            assert 0 <= pair.first < len(benchmark.images) and 0 <= pair.second < len(benchmark.images)
        json.dumps({**result.to_json(), **result.curves()}, allow_nan=False)


def test_names_are_unique_lines(benchmark):
    names = list(benchmark.images.names)
    assert len(set(names)) == len(names)
    assert all(name.splitlines() == [name] for name in names)


def test_scoring_is_repeatable_and_blind_to_length(benchmark, rows):
    first = plain(benchmark.score(rows))
    assert plain(benchmark.score(rows)) == first
    assert plain(benchmark.score(rows * np.float32(8))) == first  # a power of two: every cosine the same


def test_perfect_embeddings_are_perfect(benchmark, rows):
    """One direction for each person: whoever reads people from names must find the same ones."""
    if not hasattr(benchmark, "people") or benchmark.people is None:
        pytest.skip("the set does not say who is on each picture")
    who = np.asarray(benchmark.people)
    item = getattr(benchmark, "item", None)
    who = who if item is None else who[item]
    directions = np.random.default_rng(1).normal(size=(len(rows) + 1, 64)).astype(np.float32)
    known = directions[who]
    others = np.random.default_rng(2).normal(size=(len(rows) - len(who), 64)).astype(np.float32)
    alone = np.flatnonzero(who < 0)  # distractors: nobody's mates
    known[alone] = np.random.default_rng(3).normal(size=(len(alone), 64))
    for result in benchmark.score(np.concatenate([known, others])):
        assert result.rates[0].value == 1.0, result.headline


def test_embeddings_that_do_not_fit_are_refused(benchmark, rows):
    with pytest.raises(UserError, match="embeddings"):
        benchmark.score(rows[:-1])
    for bad in (np.nan, np.inf, 0.0):
        wrong = rows.copy()
        wrong[len(rows) // 2] = bad
        with pytest.raises(UserError, match="all zero or not finite"):
            benchmark.score(wrong)


def test_stored_embeddings_need_no_pictures(benchmark, rows, tmp_path):
    name = slug(benchmark.name)
    np.save(tmp_path / f"{name}.npy", rows)
    (tmp_path / f"{name}.txt").write_text("\n".join(benchmark.images.names) + "\n")
    stored = evaluate_stored(tmp_path, benchmark, name="stored")
    for result, direct in zip(plain(stored), plain(benchmark.score(rows)), strict=True):
        assert result["rates"] == direct["rates"] and result["model"] == "stored"
    write_report(tmp_path / "report.html", stored, lambda protocol, index: None)
    page = (tmp_path / "report.html").read_text()
    assert all(result.protocol in page and result.sha256[:12] in page for result in stored)


def test_pictures_are_rgb_where_they_are_there(benchmark):
    try:
        benchmark.images.check()
    except UserError:
        pytest.skip("the maker writes lists alone")
    for index in (0, len(benchmark.images) - 1):
        image = benchmark.images[index]
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_an_absent_set_is_named(name, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        BENCHMARKS[name](tmp_path / "nowhere")
