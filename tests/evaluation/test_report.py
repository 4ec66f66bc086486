import base64
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from math import inf, nan
from pathlib import Path

import cv2
import numpy as np
import pytest

from evenface.evaluation.embed import FunctionEmbedder
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.metrics import compare_by_person, read_eer, roc
from evenface.evaluation.protocols import lfw
from evenface.evaluation.report import write_report
from evenface.evaluation.report.faces import MOST, MOST_PICTURES
from evenface.evaluation.results import HardPair, Rate, Result
from machine import PATIENCE

from .report_page import Page, colours, crowd_result, no_pictures, pairs_result, search_result


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [
        pairs_result("model a", 0, 0.35),
        pairs_result("model b", 1, 0.45),
        search_result("model a", 0),
        search_result("model c", 1),
        crowd_result("model b"),
    ]


@pytest.fixture(scope="module")
def page(results: list[Result], tmp_path_factory: pytest.TempPathFactory) -> Page:
    return written(results, tmp_path_factory.mktemp("report"), colours)


def written(results: Sequence[Result], folder: Path, pictures=no_pictures) -> Page:
    write_report(folder / "report.html", results, pictures)
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_nothing_is_loaded_from_elsewhere(page: Page):
    assert all(value.startswith("data:image/jpeg;base64,") for value in page.attributes("src"))
    links = page.attributes("href") + page.attributes("xlink:href")
    targets = set(page.attributes("id"))
    assert links
    assert all(link[0] == "#" and link[1:] in targets for link in links)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "image"}
    for _, attributes in page.elements:
        assert all("http" not in value for name, value in attributes.items() if not name.startswith("xmlns"))
        assert not any(name.startswith("on") for name in attributes)


def test_no_id_stands_twice(page: Page):
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))


def test_every_rate_stands_in_its_row_under_its_model(page: Page, results: list[Result]):
    for protocol, occurrence in {"PAIRS": 0, "SEARCH": 2, "CROWD": 3}.items():  # 1: the differences on PAIRS
        table = page.table("Rate", occurrence)
        there = [result for result in results if result.protocol == protocol]
        assert table[""] == [result.model for result in there]
        for place, result in enumerate(there):
            for rate in result.rates:
                cell = table[rate.label][place]
                expected = "–" if np.isnan(rate.value) else f"{100 * rate.value:.2f}"
                if rate.deviation is not None:
                    expected += f" ± {100 * rate.deviation:.2f}"
                if rate.note:
                    expected += "*"
                if rate.interval is not None and not np.isnan(rate.interval[0]):
                    expected += f"{100 * rate.interval[0]:.2f} to {100 * rate.interval[1]:.2f}"
                if rate.threshold == inf:
                    expected += "above every score"
                elif not np.isnan(rate.threshold):
                    expected += f"score ≥ {rate.threshold:.4f}"
                assert cell == expected


def test_the_overview_has_every_rate_of_every_model(page: Page, results: list[Result]):
    rows = page.tables[0]
    assert rows[0][1:] == ["model a", "model b", "model c"]
    found: dict[tuple[str, str], list[str]] = {}
    protocol = ""
    for row in rows[1:]:
        if len(row) == 1:
            protocol = row[0]
        else:
            found[protocol, row[0]] = row[1:]
    for result in results:
        place = ("model a", "model b", "model c").index(result.model)
        for rate in result.rates:
            cell = found[result.protocol, rate.label][place]
            assert cell.startswith("–*" if np.isnan(rate.value) else f"{100 * rate.value:.2f}")
            assert ("*" in cell) == bool(rate.note)
    assert found["CROWD", "rank-1 among 1e6"] == ["", "40.0030.00 to 100.00", ""]


def test_what_the_figures_rest_on_is_said(page: Page, results: list[Result]):
    both = page.table("Convention", 0)
    assert both["genuine pairs"] == ["900"]
    assert both["impostor pairs"] == ["2,000"]
    assert both["crop"] == ["by hand"]
    assert both["tar reading"] == ["conservative"]
    assert both["flip"] == ["flip of model a", "flip of model b"]
    assert both["SHA-256 of the set"] == ["5e" * 32]
    assert both["SHA-256 of the pictures"] == ["71" * 32]
    for result in results:
        for words in (*result.conventions.values(), result.sha256, result.model, result.protocol):
            assert words in page.text
        for rate in result.rates:
            assert not rate.note or rate.note in page.text
    assert "TAR at FAR 1e-3: rests on too few: 2 impostor pairs may pass, fewer than 10." in page.text
    assert "TAR at FAR 1e-4: not measurable: 2,000 impostor pairs are fewer than 1/FAR." in page.text
    assert "not known: embeddings were given" in page.text


def test_a_note_on_some_models_names_them(tmp_path: Path):
    few = replace(search_result("b"), rates=(Rate("rank1", "rank-1", 0.5, note="few"), Rate("x", "X", nan)))
    page = written([search_result("a"), few], tmp_path)
    assert "* rank-1, b: few." in page.text
    assert "* X, b: not measurable." in page.text


def test_names_are_harmless(tmp_path: Path):
    bad = "<script>alert('x')</script>"
    pair = HardPair(True, 0.1, 0, 0, ('"><img src=x>', "<u>/<u>.jpg"))
    result = pairs_result(
        bad, hardest=(pair,), protocol="<i>$\\bad$", conventions={"<u>": "<u>&"}, counts={"<s>": 3}
    )
    others = [pairs_result(name, protocol="<i>$\\bad$") for name in ("$x_1$ $\\bad$", "_hidden", "臉 & 網")]
    page = written([result, *others], tmp_path, colours)
    assert not {"script", "u", "s", "i"} & {tag for tag, _ in page.elements}
    assert all(attributes["src"].startswith("data:") for attributes in page.tags("img"))
    assert page.text.count(bad) >= 6  # tables, heads, and in every plot
    for words in ("$x_1$ $\\bad$", "_hidden", "臉 & 網", "<u>&", '"><img src=x>', "<i>$\\bad$"):
        assert words in page.text


def test_models_on_different_lists_are_not_compared(tmp_path: Path):
    plain = {"roc": None, "histogram": None, "hardest": ()}
    first = pairs_result("a", **plain)
    page = written([first, pairs_result("b", 1, sha256="00" * 32, **plain)], tmp_path)
    assert "Not comparable. The models were measured on different lists" in page.text
    assert "No interval of a difference" in page.text
    assert page.table("Convention")["SHA-256 of the set"] == ["5e" * 32, "00" * 32]
    page = written([first, pairs_result("b", 1, pictures="00" * 32, **plain)], tmp_path)
    assert "Not comparable. The models were measured on different pictures" in page.text
    page = written([first, pairs_result("b", 1, pictures="", **plain)], tmp_path)
    assert "Not comparable" not in page.text


def test_differences_are_those_by_person(page: Page, results: list[Result]):
    one, two = (result.pairs for result in results[:2])
    assert one and two and one.people is not None
    found = compare_by_person(one.scores, two.scores, one.same, one.people, {"eer": read_eer})["eer"]
    table = page.table("Rate", 1)
    assert table[""] == ["model b"]
    low, high = found.interval
    expected = f"{100 * found.difference:+.2f}{100 * low:+.2f} to {100 * high:+.2f}".replace("-", "−")
    assert table["EER"] == [expected]
    tar = results[1]["tar@far=1e-2"].value - results[0]["tar@far=1e-2"].value
    assert table["TAR at FAR 1e-2"][0].startswith(f"{100 * tar:+.2f}")
    assert "TAR at FAR 1e-3" not in table  # it rests on too few
    right = [((p.scores >= p.thresholds) == p.same).mean() for p in (one, two)]
    assert table["accuracy"][0].startswith(f"{100 * (right[1] - right[0]):+.2f}")


def test_pairs_of_unknown_people_have_no_differences(tmp_path: Path):
    pair = [pairs_result(name, seed) for seed, name in enumerate("ab")]
    unknown = [replace(r, pairs=replace(r.pairs, people=None)) for r in pair]  # type: ignore[type-var]
    assert "No interval of a difference: the list does not say who" in written(unknown, tmp_path).text


def test_hardest_pairs_are_shown_and_judged(page: Page, results: list[Result]):
    images = page.tags("img")
    shown = [
        pair
        for r in results
        for kind in (True, False)
        for pair in [p for p in r.hardest if p.same == kind][:12]
    ]
    assert [image["alt"] for image in images] == [name for pair in shown for name in pair.names]
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(images[0]["src"].split(",")[1]), np.uint8), 1)
    expected = colours("PAIRS", results[0].hardest[0].first)
    assert expected is not None
    assert np.abs(pixels[:, :, ::-1].astype(int) - expected).max() < 6
    # The middle one of the folds' thresholds 0.1, 0.2 and 0.3.
    wrong = sum((pair.score >= 0.2) != pair.same for pair in shown)
    assert 0 < wrong == page.text.count("✗ wrong")
    scores, same = results[0].pairs.scores, results[0].pairs.same  # type: ignore[union-attr]
    missed, passed = int((same & (scores < 0.2)).sum()), int((~same & (scores >= 0.2)).sum())
    assert (
        "At the threshold 0.2000, the middle one of the folds' thresholds, "
        f"{missed} of 900 genuine and {passed} of 2,000 impostor pairs are decided wrongly."
    ) in page.text
    first = results[0].hardest[0]
    assert f"{first.score:.4f}" in page.text
    stem = first.names[0].split("/")[1].removesuffix(".jpg")
    assert f"{stem}{first.names[1].removesuffix('.png')}" in page.text


def test_a_threshold_of_a_rate_judges_where_there_are_no_folds(tmp_path: Path):
    result = pairs_result("a", more={}, pairs=None)
    page = written([result], tmp_path)
    threshold = result["tar@far=1e-1"].threshold
    assert f"At the threshold {threshold:.4f}, that of TAR at FAR 1e-1, the pairs marked" in page.text
    pairs = [p for kind in (True, False) for p in [p for p in result.hardest if p.same == kind][:12]]
    assert page.text.count("✗ wrong") == sum((p.score >= threshold) != p.same for p in pairs)
    unjudged = replace(result, rates=(Rate("accuracy", "accuracy", 0.9),))
    assert "wrong" not in written([unjudged], tmp_path).text.replace("decided wrongly", "")


def test_pairs_without_pictures_keep_names_and_scores(tmp_path: Path):
    result = pairs_result("a")
    page = written([result], tmp_path)
    assert not page.tags("img")
    assert f"{result.hardest[0].score:.4f}" in page.text


def test_many_results_show_fewer_pairs(tmp_path: Path):
    for count, most in ((1, 12), (8, 7), (30, 4)):
        assert most == max(4, min(MOST, MOST_PICTURES // (4 * count)))
        few = [
            pairs_result("a", protocol=f"P{i}", roc=None, histogram=None, pairs=None) for i in range(count)
        ]
        assert len(written(few, tmp_path, colours).tags("img")) == count * 4 * most


def test_a_model_may_miss_a_protocol(page: Page):
    assert page.table("Rate", 2)[""] == ["model a", "model c"]
    # model c is the page's third, and so drawn in the third colour in its protocol's plots and heads.
    strokes = [attributes["stroke"] for tag, attributes in page.elements if tag == "line"]
    assert strokes == ["#d55e00", "#0072b2", "#009e73", "#d55e00", "#0072b2", "#0072b2", "#d55e00", "#0072b2",
                       "#d55e00", "#009e73", "#d55e00", "#009e73", "#0072b2"]  # fmt: skip


def test_one_result_makes_a_page(tmp_path: Path):
    page = written([search_result("only")], tmp_path)
    assert page.tables[0][0] == ["Rate", "only"]  # an overview would say the same again
    assert "only on SEARCH" in page.text


def test_a_page_can_be_heard(page: Page, results: list[Result]):
    labels = [a["aria-label"] for a in page.tags("svg") if "aria-label" in a]
    assert len(labels) == 6
    assert labels[0].startswith("ROC on PAIRS of model a, model b. TAR over FAR")
    assert all(a.get("role") == "img" for a in page.tags("svg") if "aria-label" in a)
    assert all(a.get("aria-hidden") == "true" for a in page.tags("svg") if "aria-label" not in a)
    assert all(a.get("scope") in ("col", "row", "rowgroup") for a in page.tags("th"))
    assert ("html", {"lang": "en"}) in page.elements


def test_results_must_be_one_for_each_model_and_protocol(tmp_path: Path):
    with pytest.raises(ValueError, match="2 results for 1 pairs of model and protocol"):
        write_report(tmp_path / "x.html", [search_result("a"), search_result("a", 1)], no_pictures)
    with pytest.raises(ValueError, match="0 results"):
        write_report(tmp_path / "x.html", [], no_pictures)


def test_long_curves_make_a_small_page(tmp_path: Path):
    rng = np.random.default_rng(0)
    same = np.arange(400_000) < 40_000
    long = []
    for model in "abcd":
        curve = roc(rng.normal(np.where(same, 0.5, 0), 0.12), same)
        assert len(curve.far) > 390_000
        long.append(pairs_result(model, roc=curve, pairs=None))
    write_report(tmp_path / "x.html", long, no_pictures)
    assert (tmp_path / "x.html").stat().st_size < 500_000


def test_a_miniature_of_lfw_end_to_end(lfw_root: Path, raw: FunctionEmbedder, tmp_path: Path):
    pairs = lfw(lfw_root)
    (result,) = evaluate(raw, pairs)
    page = written([result], tmp_path, lambda protocol, index: pairs.images.read(index))
    assert page.table("Rate")["accuracy"][0].startswith(f"{100 * result['accuracy'].value:.2f} ± ")
    assert len(page.tags("img")) == 24  # 6 genuine and 6 impostor pairs
    for words in (*result.conventions.values(), result.sha256, result.pictures):
        assert words in page.text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_narrow_screen_needs_no_sideways_scrolling(results: list[Result], tmp_path: Path):
    long = [
        replace(results[0], model=name, pairs=None, conventions={"format": name}, sha256=name)
        for name in ("runs/" + "a_very_long_name-" * 6, *("x" * 64 + str(i) for i in range(5)))
    ]
    write_report(tmp_path / "report.html", [*results, *long], colours)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    # A frame of its own width, as a window has a least one.
    measure = (
        "<body><iframe width=420 height=900 srcdoc='' "
        'onload="const d = this.contentDocument.documentElement;'
        "document.title = d.scrollWidth + ' of ' + d.clientWidth + ' and ' + d.scrollHeight\"></iframe>"
    )
    quoted = text.replace("&", "&amp;").replace("'", "&#39;")
    (tmp_path / "measure.html").write_text(
        measure.replace("srcdoc=''", f"srcdoc='{quoted}'"), encoding="utf-8"
    )
    words = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (tmp_path / "measure.html").as_uri(),
    ]  # fmt: skip
    dumped = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    found = re.search(r"<title>(\d+) of (\d+) and (\d+)</title>", unescape(dumped))
    assert found, dumped[:300]
    wide, room, high = map(int, found.groups())
    assert wide <= room <= 420
    assert high > 3000
