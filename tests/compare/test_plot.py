"""The picture of a table: what is drawn where."""

import math
from pathlib import Path

import pytest

from evenface.compare.config import Comparison, Entry, Setting
from evenface.compare.plot import plot, write_plot
from evenface.compare.table import tabulate
from evenface.training.config import Named

LABELS = ("ours", "near", "worse", "level", "awry")
ENTRIES = tuple(Entry(label, Named("eqm")) for label in LABELS)
EER = {"ours": 0.20, "near": 0.19, "worse": 0.22, "level": 0.21, "awry": 0.9}


def test_without_settings_a_row_for_each_loss_the_best_on_top(tmp_path):
    found = {("", label, seed): {"eer": EER[label] + 0.01 * seed} for label in LABELS for seed in (0, 1)}
    table = tabulate(Comparison(Path("r.toml"), ENTRIES, (0, 1), "ours"), found)
    figure = plot(table, found)
    panel = figure.axes[0]
    assert [text.get_text() for text in panel.get_yticklabels()] == ["near", "ours", "level", "worse", "awry"]
    bars = {box.lines[0].get_ydata()[0]: box.lines[0].get_xdata()[0] for box in panel.containers}
    assert bars == pytest.approx({0: 0.195, 1: 0.205, 2: 0.215, 3: 0.225})
    assert panel.get_xlim()[1] < 0.3  # what lies far off is written at the edge, and squeezes nobody
    assert [text.get_text() for text in panel.texts] == ["0.905 ▸"]
    write_plot(tmp_path / "plot.png", table, found)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_with_settings_a_line_for_each_loss_in_their_order():
    settings = (Setting("few", {}), Setting("many", {}))
    found = {
        (setting.label, label, seed): {"eer": EER[label] + 0.1 * place + 0.02 * seed}
        for place, setting in enumerate(settings)
        for label in LABELS
        for seed in (0, 1)
        if (setting.label, label) != ("many", "awry")
    }
    table = tabulate(Comparison(Path("r.toml"), ENTRIES, (0, 1), "near", settings=settings), found)
    panel = plot(table, found).axes[0]
    assert [box.get_label() for box in panel.containers] == ["near", "ours", "worse", "level", "awry"]
    near = panel.containers[0]
    assert near.lines[0].get_ydata() == pytest.approx([0.20, 0.30])
    low, high = near.lines[2][0].get_segments()[0][:, 1]
    assert high - low == pytest.approx(2 * 0.02 / math.sqrt(2))  # one standard deviation either way
    assert math.isnan(panel.containers[4].lines[0].get_ydata()[1])
    assert [text.get_text() for text in panel.get_xticklabels()] == ["few", "many"]
