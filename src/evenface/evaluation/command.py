"""`evenface evaluate`."""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

import evenface
from evenface.errors import UserError
from evenface.evaluation.benchmark import Benchmark
from evenface.evaluation.by_person import with_intervals
from evenface.evaluation.embed import Flip
from evenface.evaluation.evaluate import evaluate, evaluate_stored
from evenface.evaluation.images import Image, ImageSet
from evenface.evaluation.metrics import Reading
from evenface.evaluation.models import FormatOptions, Model, open_model
from evenface.evaluation.report import write_report
from evenface.evaluation.results import Result
from evenface.evaluation.sets import SetOptions
from evenface.evaluation.store import slug

HELP = """Measure models on the benchmarks, by the exact protocols.

examples
  evenface evaluate runs/mine --lfw LFW --cfp CFP
  evenface evaluate runs/mine runs/other --lfw LFW --report report.html     side by side
  evenface evaluate model.onnx --size 112x96 --flip concat --pixels 128 --lfw LFW
  evenface evaluate mymodel:embed --colour bgr --cfp CFP --json result.json
  evenface evaluate runs/mine --lfw LFW --store emb     keeps the embeddings: scored again in seconds
  evenface evaluate emb/runs-mine --lfw LFW             no model, stored embeddings alone

A Python function takes float32 (N, channels, height, width) and returns float32 (N, D), both numpy arrays.
docs/measuring.md says what each set's folder holds, and how embeddings of any other program are stored."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Which models, on which sets, read how."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL ...")] = ()
    """Each the folder of a run, an .onnx file, module:function, or a folder of stored embeddings."""
    sets: Annotated[SetOptions, tyro.conf.arg(name="")] = field(default_factory=SetOptions)
    format: Annotated[FormatOptions, tyro.conf.arg(name="")] = field(default_factory=FormatOptions)
    flip: Flip = "sum"
    """The mirror image's embedding: left out (none), added (sum) or appended (concat)."""
    reading: Reading = "conservative"
    """TAR at FAR: largest TAR whose FAR does not exceed the target, at the nearest FAR, or interpolated."""
    batch_size: int = 128
    """Pictures at once."""
    workers: int = 2
    """Threads that read pictures."""
    store: Path | None = None
    """Keep each model's embeddings in a folder in here, and take them from there the next time."""
    report: Path | None = None
    """Write one HTML page with every table, convention and plot, and the hardest pairs."""
    json: Path | None = None
    """Write every figure, and the curves, as JSON, a result a line."""


def run(words: list[str]) -> int:
    """Measure and print; write the report, the JSON and the embeddings if asked for."""
    options = tyro.cli(EvaluateOptions, args=words, prog="evenface evaluate MODEL ...", description=HELP)
    if not options.models:
        raise UserError("name one model or more: a run's folder, an .onnx file, module:function, embeddings")
    for file in (options.report, options.json):
        if file is not None and not file.parent.is_dir():
            raise UserError(f"{file}: there is no folder {file.parent}; make it first")
    if len(set(options.models)) < len(options.models):
        raise UserError("a model is named twice; name each once")
    models = [open_model(words, options.format) for words in options.models]
    results: list[Result] = []
    shown: dict[str, ImageSet] = {}
    names: set[str] = set()
    for benchmark in options.sets.open():
        if benchmark.name in names:
            raise UserError(f"{benchmark.name}: two sets have this name; measure one at a time, or rename it")
        names.add(benchmark.name)
        for model in models:
            measured = [with_intervals(result) for result in _measure(model, benchmark, options)]
            for result in measured:
                print(result if len(models) == 1 else f"{result.model}\n{result}", flush=True)
                shown[result.protocol] = benchmark.images
            results += measured
    if options.json:
        found = [json.dumps({**result.to_json(), "curves": result.curves()}) for result in results]
        text = f'{{"evenface": "{evenface.__version__}", "results": [\n' + ",\n".join(found) + "\n]}\n"
        options.json.write_text(text, encoding="utf-8")
    if options.report:
        write_report(options.report, results, partial(_picture, shown))
        print(f"report: {options.report}")
    return 0


def _measure(model: Model, benchmark: Benchmark, options: EvaluateOptions) -> list[Result]:
    if model.stored is not None:
        return evaluate_stored(model.stored, benchmark, options.reading, model.name)
    assert model.embedder is not None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{benchmark.name}: embedding by {model.name}")
        return evaluate(
            model.embedder,
            benchmark,
            options.flip,
            options.reading,
            store=options.store and options.store / slug(model.name),
            fingerprint=model.fingerprint,
            batch_size=options.batch_size,
            workers=options.workers,
            progress=partial(_show, progress, task),
        )


def _show(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


def _picture(shown: dict[str, ImageSet], protocol: str, index: int) -> Image | None:
    """The crop of a picture for the report; None where the embeddings are here and the pictures are not."""
    images = shown[protocol]
    return images.read(index) if images.path(index).is_file() else None
