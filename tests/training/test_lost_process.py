"""Two processes of which one is killed, and SIGTERM: a sentence that says how to go on, and a prompt end."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from evenface import cli
from evenface.training import checkpoint
from evenface.training.config import Config, Named, to_toml
from evenface.training.processes import ProcessLost, processes
from machine import PATIENCE, free_port, held_after, started, wait_for

GONE = "evenface: another of the 2 processes is gone: killed, out of memory, or stopped by an error"


@pytest.fixture
def train(config: Config, tmp_path: Path) -> list[str]:
    """Words that train a tiny network for 20 steps into tmp_path/run."""
    return training(config, tmp_path, epochs=5)


def training(config: Config, folder: Path, epochs: int) -> list[str]:
    """That train a tiny network for four steps an epoch into `folder`/run."""
    settings = replace(config.train, epochs=epochs, checkpoint_every=10)
    config = replace(config, backbone=Named("tiny", {"embedding_size": 16}), train=settings)
    (folder / "recipe.toml").write_text(to_toml(config))
    return ["train", str(folder / "recipe.toml"), "-o", str(folder / "run")]


@pytest.fixture
def two(tmp_path: Path, config: Config) -> Iterator[list[BaseProcess]]:
    """Two processes that train until they are killed; what they say is in the files error0 and error1."""
    endless = training(config, tmp_path, epochs=100_000)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["evenface.training.loop"])  # to import it once
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    both: list[BaseProcess] = [
        context.Process(target=one, args=(endless, {**place, "RANK": str(r)}, tmp_path / f"error{r}"))
        for r in (0, 1)
    ]
    for process in both:
        process.start()
    try:
        wait_for_a_checkpoint(tmp_path / "run", lambda: all(process.is_alive() for process in both))
        yield both
    finally:
        for process in both:
            process.kill()
            process.join()


def one(words: list[str], place: dict[str, str], error: Path) -> None:
    os.environ.update(place)
    with open(error, "wb") as out:
        os.dup2(out.fileno(), sys.stderr.fileno())
    torch.set_num_threads(1)
    sys.exit(cli.main(words))


def wait_for_a_checkpoint(run: Path, alive: Callable[[], bool]) -> None:
    first = (None, checkpoint.folder(run, 0))  # later ones are deleted when there are more
    wait_for(lambda: checkpoint.latest(run) not in first, alive)


def how(run: Path, start: str = "evenface") -> str:
    """What the sentence ends with; some steps may have been saved since the checkpoint waited for."""
    last = max((run / "checkpoints").glob("step-????????"))
    return f"; the last checkpoint is {last}; go on with `{start} train --resume {run}`\n"


def ended(process: BaseProcess) -> int | None:
    process.join(PATIENCE)
    return process.exitcode


@pytest.mark.parametrize(("lost", "by"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGTERM)])
def test_started_by_hand_the_other_says_that_one_has_ended(
    tmp_path: Path, two: list[BaseProcess], lost: int, by: signal.Signals
):
    os.kill(two[lost].pid, by)
    # PyTorch tells it or does not.
    starts = {1: GONE, 128 + signal.SIGTERM: f"evenface: process {1 - lost} was stopped by SIGTERM, which it"}
    start = starts[ended(two[1 - lost])]
    said = (tmp_path / f"error{1 - lost}").read_text()
    assert said.splitlines(keepends=True)[-1].startswith(start) and said.endswith(how(tmp_path / "run"))
    assert said.count("evenface: ") == 1


def test_sigterm_ends_a_process_that_waits_for_another(tmp_path: Path, two: list[BaseProcess]):
    os.kill(two[1].pid, signal.SIGSTOP)
    time.sleep(0.5)  # a step later the first waits within PyTorch, or it is stopped on its way there
    two[0].terminate()
    assert ended(two[0]) == 128 + signal.SIGTERM
    said = (tmp_path / "error0").read_text().splitlines(keepends=True)[-1]
    assert said.startswith("evenface: process 0 was stopped by SIGTERM") and said.endswith(
        how(tmp_path / "run")
    )


def test_under_torchrun_all_end_and_one_process_goes_on(tmp_path: Path, train: list[str]):
    options = ["--nproc-per-node", "2", "--master-port", str(free_port()), "--redirects", "3"]
    options += ["--log-dir", str(tmp_path / "logs"), str(held_after(15, tmp_path))]
    words = [sys.executable, "-m", "torch.distributed.run", *options, *train]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with started(words, env=environment, stderr=subprocess.DEVNULL) as torchrun:
        run = tmp_path / "run"
        wait_for_a_checkpoint(run, lambda: torchrun.poll() is None)
        children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
        assert len(children) == 2
        os.kill(int(children[1]), signal.SIGKILL)
        assert torchrun.wait(PATIENCE) == 1
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    said = "".join(file.read_text() for file in (tmp_path / "logs").rglob("stderr.log"))
    # torchrun stops the other process, which may have found out by itself before.
    assert GONE in said or "was stopped by SIGTERM, which it gets when" in said
    assert how(run, "torchrun --nproc-per-node 2 -m evenface") in said
    assert "Traceback" not in said and said.count("evenface: ") == 1

    at = int(max((run / "checkpoints").glob("step-????????")).name[5:])
    assert at == 10
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert (run / "checkpoints/step-00000020").exists() and (run / "figures.json").exists()
    assert f'"kind": "resumed", "step": {at}' in (run / "log.jsonl").read_text()


@pytest.fixture
def one_of_two(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As in one of two processes, but without the group; says whether it was taken down."""
    calls: list[str] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(dist, "init_process_group", lambda backend, timeout: calls.append("joined"))
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: calls.append("left"))
    monkeypatch.setattr("evenface.training.processes.watched", nullcontext)
    return calls


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), dist.DistBackendError("ncclInvalidUsage")])
def test_another_error_stays_what_it_is(one_of_two: list[str], error: RuntimeError):
    with pytest.raises(RuntimeError) as raised, processes("cpu"):
        raise error
    assert raised.value is error and one_of_two == ["joined", "left"]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[/x/gloo/transport/tcp/pair.cc:537] Read error [::1]:2: Connection reset by peer"),
        dist.DistBackendError(
            "NCCL error: ...\nncclRemoteError: A call failed possibly due to a network error"
        ),
        dist.DistNetworkError("failed to recv, got 0 bytes"),
    ],
)
def test_a_connection_that_is_gone_is_a_lost_process(one_of_two: list[str], error: RuntimeError):
    with pytest.raises(ProcessLost, match="another of the 2 processes") as raised, processes("cpu"):
        raise error
    assert raised.value.__cause__ is error and one_of_two == ["joined"]
