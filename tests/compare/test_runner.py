"""Processes: several at once, failures, and stopping; and what a second compare runs again."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evenface.compare.command import run
from evenface.compare.runner import IMPORTED, cores
from evenface.errors import UserError
from machine import PATIENCE, runs, started, wait_for

GRID = 'recipe = "lab.toml"\nseeds = [0, 1]\n[[losses]]\nname = "eqm"\n[[losses]]\nname = "cosface"\n'


def calls(ledger: Path) -> list[list[str]]:
    """The words of each call since the last look."""
    lines = (ledger / "calls").read_text().splitlines()
    (ledger / "calls").write_text("")
    return [json.loads(line) for line in lines]


@pytest.fixture
def compare(write, program, tmp_path):
    def go(text: str = GRID, *words: str, jobs: int = 2) -> int:
        return run([str(write(text)), "-o", str(tmp_path / "out"), "--jobs", str(jobs), *words], program)

    return go


def test_finished_runs_are_not_run_again_and_changed_ones_are(compare, ledger):
    assert compare() == 0 and len(calls(ledger)) == 4
    assert compare() == 0 and calls(ledger) == []
    assert compare(GRID + "scale = 32.0\nlabel = 'cosface'\n") == 0
    again = calls(ledger)
    assert len(again) == 2 and all("--loss.scale" in words for words in again)
    assert compare(GRID.replace("[0, 1]", "[0, 1, 2]") + "scale = 32.0\nlabel = 'cosface'\n") == 0
    assert [words[words.index("--train.seed") + 1] for words in calls(ledger)] == ["2", "2"]
    assert compare(GRID, "--table-only") == 0 and calls(ledger) == []


def test_words_of_the_command_line_reach_every_run_and_the_written_file(compare, ledger, tmp_path, program):
    assert compare(GRID, "--lab.test_most", "5", "--lab.cfp", "CFP") == 0
    found = calls(ledger)
    assert all(" ".join(words).count("--lab.test_most 5 --lab.cfp CFP --loss") == 1 for words in found)
    out = tmp_path / "out"
    assert run([str(out / "comparison.toml"), "-o", str(out)], program) == 0 and calls(ledger) == []
    assert (out / "recipe.toml").read_text() == (tmp_path / "lab.toml").read_text()


@pytest.mark.parametrize(("jobs", "mode"), [(2, "MEET"), (1, "ALONE")])
def test_as_many_at_once_as_asked_for(compare, tmp_path, monkeypatch, jobs, mode):
    monkeypatch.setenv(mode, "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    assert compare(jobs=jobs) == 0
    values = [line for line in (tmp_path / "out/table.csv").read_text().splitlines() if ",threads," in line]
    assert len(values) == 4
    assert all(float(line.rpartition(",")[2]) == max(1, cores() // jobs) for line in values)


def test_a_failure_stops_no_other_and_is_said_and_tried_again(compare, ledger, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FAIL", "cosface")
    assert compare() == 1
    assert len(calls(ledger)) == 4
    printed = capsys.readouterr().out
    log = tmp_path / "out/runs/cosface/seed-1/cell.log"
    assert f"failed: cosface, seed 1; all that it said is in {log}" in printed
    assert "exit code 1\nfirst words\nthe loss became NaN" in printed
    assert "the loss became NaN" in log.read_text()
    assert "the loss became NaN" in (tmp_path / "out/table.html").read_text()
    assert "| cosface | 0 of 2 | – |" in (tmp_path / "out/table.md").read_text()
    monkeypatch.delenv("FAIL")
    assert compare() == 0 and len(calls(ledger)) == 2
    assert "became NaN" not in (tmp_path / "out/table.html").read_text()


def test_a_figure_that_runs_do_not_have_is_said_with_the_first(compare, ledger, capsys):
    grid = 'recipe = "lab.toml"\nseeds = [0, 1]\nfigures = ["eer", "rank"]\n[[losses]]\nname = "eqm"\n'
    with pytest.raises(UserError, match="figures: 'rank' is not known; did you mean 'rank1'"):
        compare(grid)
    said = capsys.readouterr().err
    assert said.count("figures: 'rank' is none of") == 1 and len(calls(ledger)) == 2
    assert said.index("none of") < said.rindex("eqm, seed")


def test_a_training_goes_on_where_it_stopped(compare, ledger, monkeypatch, tmp_path):
    grid = 'recipe = "train.toml"\nseeds = [0]\n[[losses]]\nname = "eqm"\n'
    monkeypatch.setenv("HALT", "1")
    assert compare(grid) == 1
    monkeypatch.delenv("HALT")
    calls(ledger)
    assert compare(grid) == 0
    assert calls(ledger) == [["train", "--resume", str(tmp_path / "out/runs/eqm/seed-0")]]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopping_stops_the_runs_and_says_how_to_go_on(write, ledger, program, tmp_path, monkeypatch, how):
    monkeypatch.setenv("SLEEP", "1")
    out = tmp_path / "out"
    # A shell starts what it puts in the background with SIGINT ignored, and pytest hands that on.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from evenface.compare.command import run; sys.path.insert(0, sys.argv[1]); "
        "run(sys.argv[3:], sys.argv[2])"
    )
    whole = [sys.executable, "-c", code, str(ledger), program, str(write(GRID)), "-o", str(out)]
    pid = ledger / "pid"
    with started([*whole, "--jobs", "1"], stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: pid.exists() and pid.read_text() != "", lambda: process.poll() is None)
        process.send_signal(how)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert f"4 of 4 runs are left; go on with: evenface compare {out}/comparison.toml -o {out}" in said
    wait_for(lambda: not runs(int(pid.read_text())))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux has them")
def test_what_all_runs_are_forked_from_has_one_thread():
    code = f"""
import os, {", ".join(IMPORTED)}
if not (child := os.fork()):
    os._exit(0)
os.waitpid(child, 0)
print(len(os.listdir("/proc/self/task")))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "1\n"
