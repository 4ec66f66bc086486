"""Every setting of a training run. The recipe file, the command line and Python read these classes."""

import json
import math
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from evenface.data import DataConfig
from evenface.errors import UserError, require_range
from evenface.evaluation.embed import Flip
from evenface.faces import InputFormat

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["cosine", "step"]
Precision = Literal["float32", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda"]
Others = Literal["drop", "keep"]


@dataclass(frozen=True)
class Named:
    """An entry of a table (a loss, a regulariser, a backbone) and the keyword arguments it is made with."""

    name: str
    """A name of the table."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of that class or function, documented there."""


@dataclass(frozen=True)
class TrainConfig:
    """How the weights are found."""

    epochs: float = 20.0
    """How often each image is seen, on average; more than 0."""
    batch_size: int = 128
    """Images a step, over all processes; 2 or more."""
    optimizer: Optimizer = "sgd"
    """sgd (with Nesterov momentum 0.9) or adamw."""
    learning_rate: float = 0.1
    """The largest, after the warm-up; more than 0. About 0.1 for sgd and 0.001 to 0.003 for adamw."""
    schedule: Schedule = "cosine"
    """cosine falls to 0 at the end; step divides by 10 at each milestone."""
    milestones: tuple[float, ...] = (0.5, 0.75, 0.9)
    """For the step schedule: fractions of the training, between 0 and 1, rising."""
    warmup: float = 0.05
    """Fraction of the training in which the learning rate rises from 0, 0 to 1."""
    weight_decay: float = 5e-4
    """0 or more. Norms, biases and PReLU slopes are left alone."""
    sample: float = 1.0
    """Fraction of the people not in a batch that it is compared with, drawn anew each time (Partial FC);
    above 0, 1 is everybody. For very many people: less time and memory a step."""
    clip: float = 5.0
    """Largest norm of the gradient of all weights together; 0 is no limit."""
    ema: float = 0.0
    """Decay a step of a moving average of the weights, which is then what is measured and kept; 0 is none."""
    precision: Precision = "float32"
    """Of the network's products. bf16: faster on a GPU, and on a CPU that has them; fp16 (GPU only) scales
    the loss. The loss itself is always float32."""
    device: Device = "auto"
    """auto takes a GPU if there is one."""
    compile: bool = False
    """Compile the network: minutes at the start, faster steps on a GPU."""
    seed: int = 0
    """0 or more. The same seed and settings on the same machine give the same weights, bit for bit."""
    log_every: int = 20
    """Steps between two lines of the log, 1 or more."""
    checkpoint_every: int = 500
    """Steps between two checkpoints, 1 or more; there is one at the end too."""
    keep_checkpoints: int = 2
    """How many of the last ones are kept, 1 or more, beside the best one."""
    tensorboard: bool = False
    """Write the log for TensorBoard as well; needs the extra `track`."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1e-6, 1e9),
            ("batch_size", 2, 2**31),
            ("learning_rate", 1e-12, 1e6),
            ("warmup", 0.0, 1.0),
            ("weight_decay", 0.0, 1e6),
            ("sample", 1e-9, 1.0),
            ("clip", 0.0, math.inf),
            ("seed", 0, 2**31),
            ("log_every", 1, math.inf),
            ("checkpoint_every", 1, math.inf),
            ("keep_checkpoints", 1, math.inf),
        ):
            require_range(f"train.{name}", getattr(self, name), low, high)
        if not 0 <= self.ema < 1:
            raise UserError(f"train.ema: {self.ema} is outside its range, 0 to below 1")
        if list(self.milestones) != sorted(self.milestones) or not all(0 < m < 1 for m in self.milestones):
            raise UserError(f"train.milestones: {self.milestones} must rise between 0 and 1")
        for name, kind in (("optimizer", Optimizer), ("schedule", Schedule), ("precision", Precision)):
            if getattr(self, name) not in get_args(kind):
                raise UserError(
                    f"train.{name}: {getattr(self, name)!r} is none of {', '.join(get_args(kind))}"
                )
        if self.milestones != (0.5, 0.75, 0.9) and self.schedule != "step":
            raise UserError(f"train.milestones: are of the step schedule, not of {self.schedule}")


@dataclass(frozen=True)
class EvaluateConfig:
    """What is measured during and after the training, beside the people of `data.holdout`."""

    every: int = 0
    """Steps between two measurements; 0 measures at the end only."""
    lfw: Path | None = None
    """Folder of LFW: pairs.txt and images/ (the aligned LFW-a, 160x160)."""
    cfp: Path | None = None
    """Folder of CFP: Data/ and Protocol/."""
    flip: Flip = "sum"
    """Whether the mirror image's embedding is added (sum), appended (concat) or not used (none)."""
    geometry: bool = False
    """Measure how even the training people lie too: their scopes, centres and margins."""

    def __post_init__(self) -> None:
        require_range("evaluate.every", self.every, 0, math.inf)


@dataclass(frozen=True)
class StartConfig:
    """Begin from a trained run, with other people: its backbone, and its class centres by their names."""

    run: Path | None = None
    """Folder of the trained run. Its backbone and input are taken over. Whoever it knows by name keeps their
    class centre; the others start at the mean of their pictures' embeddings."""
    others: Others = "drop"
    """Its people without pictures now: leave them out (drop), or keep their centres as classes that nobody is
    labelled with, from which the others keep away."""
    freeze: int = 0
    """Steps at the beginning in which the backbone stays as it is and only the loss learns; 0 or more."""

    def __post_init__(self) -> None:
        if self.others not in get_args(Others):
            raise UserError(f"start.others: {self.others!r} is none of {', '.join(get_args(Others))}")
        require_range("start.freeze", self.freeze, 0, math.inf)
        for name, default in (("others", "drop"), ("freeze", 0)):
            if self.run is None and getattr(self, name) != default:
                raise UserError(
                    f"start.{name}: is for a run that begins from a trained one; name that with start.run"
                )


@dataclass(frozen=True)
class Config:
    """A training run, whole: with the same pictures it is repeated from this alone."""

    data: DataConfig
    input: InputFormat = field(default_factory=InputFormat)
    backbone: Named = field(default_factory=lambda: Named("mobilefacenet", {"embedding_size": 256}))
    loss: Named = field(default_factory=lambda: Named("eqm"))
    regularisers: tuple[Named, ...] = ()
    """Added to the loss, each once; in a file `[[regularisers]]`, with `name` and its settings."""
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    start: StartConfig = field(default_factory=StartConfig)

    def __post_init__(self) -> None:
        measured = self.data.holdout or self.evaluate.lfw or self.evaluate.cfp or self.evaluate.geometry
        if self.evaluate.every and not measured:
            raise UserError(
                "evaluate.every: there is nothing to measure; set data.holdout, evaluate.lfw, evaluate.cfp "
                "or evaluate.geometry too"
            )


def tables(config: Any) -> dict[str, Any]:
    """The settings as nested tables of numbers, booleans, strings and lists; unset ones are absent."""
    if isinstance(config, Named):
        return {"name": config.name, **_plain(config.options)}
    return {
        f.name: _plain(getattr(config, f.name)) for f in fields(config) if getattr(config, f.name) is not None
    }


def to_toml(config: Any) -> str:
    """The settings, a `Config` or another such dataclass, as a recipe file that is read back to the same."""
    return write_toml(tables(config))


def write_toml(tables: dict[str, Any]) -> str:
    """Nested tables of numbers, booleans, strings and lists as TOML."""
    lines: list[str] = []

    def write(table: dict[str, Any], path: str) -> None:
        inner = {k: v for k, v in table.items() if isinstance(v, dict) or _holds_tables(v)}
        lines.extend(f"{k} = {_toml_value(v)}" for k, v in table.items() if k not in inner)
        for name, value in inner.items():
            place = f"{path}.{name}" if path else name
            for one in value if isinstance(value, list) else [value]:
                lines.append(f"\n[[{place}]]" if isinstance(value, list) else f"\n[{place}]")
                write(one, place)

    write(tables, "")
    return "\n".join(lines).lstrip("\n") + "\n"


def _toml_value(value: Any) -> str:
    if value == math.inf:
        return "inf"
    # JSON's strings, numbers, booleans and lists are TOML's too, but for its surrogate pairs and a bare DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _holds_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _plain(value: Any) -> Any:
    if isinstance(value, Named) or is_dataclass(value):
        return tables(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
