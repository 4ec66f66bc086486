"""The table's numbers, re-derived from the figures by hand; its text, and its files."""

import csv
import math
import re
from pathlib import Path

import pytest
from rich.console import Console

from evenface.compare.config import Comparison, Entry, Setting
from evenface.compare.files import write_summary, write_values
from evenface.compare.page import axis, write_page
from evenface.compare.table import tabulate
from evenface.compare.text import markdown, notes, show
from evenface.errors import UserError
from evenface.training.config import Named

A, B, C = (Entry(label, Named("eqm")) for label in ("ours", "other|one", "third"))
T4 = 4.302653  # Student's t that holds the middle 95 %, 2 degrees of freedom


def grid(seeds=(0, 1, 2), **more) -> Comparison:
    return Comparison(Path("r.toml"), (A, B, C), seeds, "ours", **more)


FOUND = {
    ("", "ours", 0): {"eer": 0.20, "angle": 50.0},
    ("", "ours", 1): {"eer": 0.22, "angle": 52.0},
    ("", "ours", 2): {"eer": 0.21, "angle": 51.0},
    ("", "other|one", 0): {"eer": 0.25, "angle": 50.5},
    ("", "other|one", 1): {"eer": 0.28, "angle": 51.0},
    ("", "other|one", 2): {"eer": 0.25, "angle": 51.0},
    ("", "third", 1): {"eer": 0.19},
}


def test_numbers_by_hand():
    table = tabulate(grid(), FOUND)
    assert table.figures == ("eer", "angle")
    ours, other, third = table.blocks[0].rows
    assert (ours.runs, other.runs, third.runs) == (3, 3, 1)
    number = other.numbers["eer"]
    assert number.summary.mean == pytest.approx(0.26)
    assert number.summary.sd == pytest.approx(math.sqrt((0.01**2 + 0.02**2 + 0.01**2) / 2))
    differences = [0.05, 0.06, 0.04]  # seed by seed
    half = T4 * math.sqrt((0.01**2 + 0.01**2) / 2) / math.sqrt(3)
    assert number.difference.mean == pytest.approx(sum(differences) / 3)
    assert number.difference.low == pytest.approx(0.05 - half, rel=1e-5)
    assert number.difference.high == pytest.approx(0.05 + half, rel=1e-5)
    assert number.difference.excludes_zero and not other.numbers["angle"].difference.excludes_zero
    assert ours.numbers["eer"].difference is None
    assert third.numbers["eer"].difference.mean == pytest.approx(0.19 - 0.22)  # of seed 1 alone
    assert third.numbers["eer"].difference.low is None and third.numbers["angle"].summary is None


def test_the_best_is_the_lowest_where_lower_is_better():
    best = {
        f: [row.numbers[f].best for row in tabulate(grid(), FOUND).blocks[0].rows] for f in ("eer", "angle")
    }
    assert best == {"eer": [False, False, True], "angle": [True, False, False]}
    lower = tabulate(grid(lower_is_better=("angle",)), FOUND).blocks[0].rows
    assert [row.numbers["angle"].best for row in lower] == [False, True, False]


def test_settings_are_blocks_and_figures_are_chosen():
    settings = (Setting("few", {}), Setting("many", {}))
    found = {("many", "ours", 0): {"eer": 0.5, "rank1": 0.1}}
    table = tabulate(grid(settings=settings, figures=("rank1",)), found)
    assert table.figures == ("rank1",)
    assert [[row.runs for row in block.rows] for block in table.blocks] == [[0, 0, 0], [1, 0, 0]]
    assert not table.blocks[1].rows[0].numbers["rank1"].best  # alone is not best
    for field in ("figures", "lower_is_better"):
        with pytest.raises(UserError, match=f"{field}: 'rank' is not known; did you mean 'rank1'"):
            tabulate(grid(settings=settings, **{field: ("rank",)}), found)


def test_what_a_setting_changes_is_paired_by_seed():
    """ours changes by .02, .04 and .03, other|one by .01 and .02 (its seed 2 is not finished)."""
    values = {
        ("few", "ours"): (0.20, 0.22, 0.21),
        ("many", "ours"): (0.22, 0.26, 0.24),
        ("few", "other|one"): (0.30, 0.30, 0.30),
        ("many", "other|one"): (0.31, 0.32),
    }
    found = {(*key, s): {"eer": v} for key, by_seed in values.items() for s, v in enumerate(by_seed)}
    found["many", "other|one", 0]["depth"] = 1.0
    settings = (Setting("many", {}), Setting("few", {}))
    table = tabulate(grid(settings=settings, baseline="few"), found)
    assert [block.setting for block in table.shown] == ["many", "few", "many: change from few"]
    ours, other, third = table.changes[0].rows
    assert ours.numbers["eer"].summary.mean == pytest.approx(0.03)
    assert ours.numbers["eer"].summary.sd == pytest.approx(0.01)
    assert other.numbers["eer"].summary.mean == pytest.approx(0.015) and other.numbers["eer"].best
    assert other.numbers["eer"].difference.mean == pytest.approx(-0.015)  # of -.01 and -.02
    assert (ours.runs, other.runs, third.runs) == (3, 2, 0) and other.numbers["depth"].summary is None
    assert "### many: change from few" in markdown(table) and any(
        "how much more a setting does" in n for n in notes(table)
    )


def test_markdown():
    text = markdown(tabulate(grid(), FOUND))
    assert "| loss | runs | eer (lower is better) | angle (higher is better) |" in text
    assert "| ours | 3 | 0.2100 ± 0.0100 | **51.00 ± 1.00** |" in text
    assert r"| other\|one | 3 | 0.2600 ± 0.0173<br>+0.0500 [+0.0252, +0.0748] \* |" in text
    assert "| third | 1 of 3 | **0.1900**<br>-0.0300 (1 seed: no interval) | – |" in text
    assert "There are 2: if nothing differed at all, about 0.1 of them" in text


def test_differences_over_fewer_seeds_say_so():
    found = {key: run for key, run in FOUND.items() if key != ("", "ours", 2)}
    assert "+0.0550 [-0.0085, +0.1185] (2 seeds)" in markdown(tabulate(grid(), found))


def test_one_seed_is_said_plainly():
    found = {key: run for key, run in FOUND.items() if key[2] == 0}
    said = " ".join(notes(tabulate(grid((0,)), found)))
    assert "One seed has neither a deviation nor an interval" in said and "not corrected" not in said


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_terminal_shows_everything_at_any_width(width):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(tabulate(grid(), FOUND), console)
    text = console.export_text()
    for words in ("0.2600 ± 0.0173", "+0.0500 [+0.0252, +0.0748] *", "51.00 ± 1.00", "1 of 3", "other|one"):
        assert words in text


def test_files_have_every_value(tmp_path):
    write_values(tmp_path / "v.csv", FOUND)
    rows = list(csv.DictReader((tmp_path / "v.csv").open(newline="")))
    assert {(r["setting"], r["loss"], int(r["seed"]), r["figure"]): float(r["value"]) for r in rows} == {
        (*key, figure): value for key, run in FOUND.items() for figure, value in run.items()
    }
    write_summary(tmp_path / "s.csv", tabulate(grid(), FOUND))
    by = {(r["loss"], r["figure"]): r for r in csv.DictReader((tmp_path / "s.csv").open(newline=""))}
    assert len(by) == 6 and by["third", "angle"]["n"] == "0" and by["third", "angle"]["mean"] == ""
    assert float(by["other|one", "eer"]["mean"]) == pytest.approx(0.26)
    assert float(by["other|one", "eer"]["low"]) == pytest.approx(0.0252, abs=5e-5)
    assert by["third", "eer"]["pairs"] == "1" and by["third", "eer"]["low"] == ""
    assert by["ours", "eer"]["difference"] == ""


def test_page_places_every_interval_on_its_axis(tmp_path):
    table = tabulate(grid(), FOUND)
    scale = axis(table, "eer")
    ticks = scale.ticks
    assert 0.0 in ticks and ticks[0] <= -0.03 and ticks[-1] >= 0.0748 and list(ticks) == sorted(ticks)
    assert [float(words) for words in scale.labels] == pytest.approx(list(ticks))
    left, right = scale(ticks[0]), scale(ticks[-1])
    assert scale(0.05) == pytest.approx(
        left + (right - left) * (0.05 - ticks[0]) / (ticks[-1] - ticks[0]), abs=0.06
    )
    write_page(tmp_path / "p.html", table, [])
    page = (tmp_path / "p.html").read_text()
    found = table.blocks[0].rows[1].numbers["eer"].difference
    assert f'<line x1="{scale(found.low)}" x2="{scale(found.high)}"' in page
    assert re.search(
        rf'<circle cx="{scale(found.mean)}" cy="14" r="4.5" fill="#d55e00"', page
    )  # surely worse
    assert "0.2600 ± 0.0173" in page and "other|one" in page
    assert not re.search(r"(src|href)=", page)  # nothing is loaded


def test_axis_labels_are_exact_at_every_size():
    for size in (3e-4, 0.004, 0.07, 0.5, 2.4, 37.0, 950.0):
        found = {("", "ours", 0): {"x": 1.0}, ("", "third", 0): {"x": 1.0 + size}}
        scale = axis(tabulate(grid((0,)), found), "x")
        assert [float(words) for words in scale.labels] == pytest.approx(list(scale.ticks))
    same = {("", "ours", 0): {"x": 1.0}, ("", "third", 0): {"x": 1.0}}
    assert axis(tabulate(grid((0,)), same), "x") is None
