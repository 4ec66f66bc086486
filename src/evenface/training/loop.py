"""Training a model into a folder."""

from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from evenface.errors import UserError
from evenface.training.alone import alone
from evenface.training.arguments import resolve
from evenface.training.config import Config
from evenface.training.processes import processes
from evenface.training.run import Run


def train(config: Config, folder: Path, *, resume: bool = False, console: Console | None = None) -> Path:
    """Train a model into `folder`, which then holds all that is needed to use, repeat or go on with it.

    config.toml and environment.json repeat the run; log.jsonl tells its story; checkpoints/ goes on with it,
    bit for bit; model.safetensors and card.json are the model: the best one measured where
    `evaluate.every` is set, otherwise the last; figures.json, written at the end, is what it measured.

    Args:
        config: the settings.
        folder: made if absent.
        resume: go on from the last checkpoint. False refuses a folder that already has a run.
        console: where progress is shown; standard error if None.

    Returns:
        `folder`.

    Raises:
        UserError: a setting, file or folder is wrong; the message says which, and the cure.
        Diverged: the loss became NaN or infinite; the message names the step, the files and the checkpoint.
    """
    console = console or Console(stderr=True)
    if (folder / "config.toml").exists() and not resume:
        raise UserError(f"{folder}: already has a run; go on with `--resume {folder}`, or name another -o")
    with processes(config.train.device) as me:
        me.barrier()  # nobody writes before everybody has looked
        with alone(folder, "evenface train") if me.first else nullcontext():
            Run(resolve(config), folder, me, resume, console).go()
    return folder
