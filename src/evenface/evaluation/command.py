"""`evenface evaluate`."""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

import evenface
from evenface.errors import UserError, require_writable
from evenface.evaluation.benchmark import Benchmark
from evenface.evaluation.by_person import with_intervals
from evenface.evaluation.embed import Flip
from evenface.evaluation.evaluate import evaluate, evaluate_stored
from evenface.evaluation.images import Image, ImageSet
from evenface.evaluation.metrics import Reading
from evenface.evaluation.models import FormatOptions, Model, open_model
from evenface.evaluation.protocols.megaface.challenge import MegaFace
from evenface.evaluation.protocols.megaface.files import feature_ending, store_features
from evenface.evaluation.report import write_report
from evenface.evaluation.results import Result
from evenface.evaluation.sets import SetOptions
from evenface.evaluation.store import slug
from evenface.progress import bars

HELP = """Measure models on the benchmarks, by the exact protocols.

examples
  evenface evaluate runs/mine --lfw LFW --cfp CFP
  evenface evaluate runs/mine runs/other --lfw LFW --report report.html     side by side
  evenface evaluate model.onnx --size 112x96 --flip concat --pixels 128 --lfw LFW
  evenface evaluate mymodel:embed --colour bgr --cfp CFP --json result.json
  evenface evaluate runs/mine --lfw LFW --store emb     keeps the embeddings: scored again in seconds
  evenface evaluate emb/runs-mine --lfw LFW             no model, stored embeddings alone
  evenface evaluate features/ --megaface MEGA --store emb    feature files of MegaFace's kit

A Python function takes float32 (N, channels, height, width) and returns float32 (N, D), both numpy arrays.
docs/measuring.md says what each set's folder holds, and how embeddings of any other program are stored."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Which models, on which sets, read how."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL ...")] = ()
    """Each the folder of a run, an .onnx file, module:function, or a folder of embeddings or features."""
    sets: Annotated[SetOptions, tyro.conf.arg(name="")] = field(default_factory=SetOptions)
    format: Annotated[FormatOptions, tyro.conf.arg(name="")] = field(default_factory=FormatOptions)
    flip: Flip | None = None
    """The mirror image's embedding: left out (none), added (sum, the default) or appended (concat)."""
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
    _refuse(options)
    models = [open_model(words, options.format) for words in options.models]
    for model in models:
        if model.embedder is None and options.flip is not None:
            raise UserError(f"--flip: the embeddings in {model.name} are made already; leave this out")
    _apart("models", [model.name for model in models])
    benchmarks = list(options.sets.open())
    _apart("sets", [benchmark.name for benchmark in benchmarks])
    if any(model.embedder for model in models):
        for benchmark in benchmarks:
            benchmark.images.check()
    results: list[Result] = []
    shown: dict[str, ImageSet] = {}
    try:
        for benchmark in benchmarks:
            for model in models:
                for result in map(with_intervals, _measure(model, benchmark, options)):
                    print(result if len(models) == 1 else f"{result.model}\n{result}", flush=True)
                    shown[result.protocol] = benchmark.images
                    results.append(result)
    finally:  # what is measured is kept, whatever happens to the rest
        if results:
            _write(options, results, shown)
    return 0


def _refuse(options: EvaluateOptions) -> None:
    """Say what is wrong with the call before hours of work."""
    if not options.models:
        raise UserError("name one model or more: a run's folder, an .onnx file, module:function, embeddings")
    for flag, file in (("--report", options.report), ("--json", options.json)):
        if file is not None:
            require_writable(flag, file)
    if options.report is not None and options.report == options.json:
        raise UserError(f"--report, --json: both are {options.json}; name two files")
    if options.store is not None and options.store.exists() and not options.store.is_dir():
        raise UserError(f"--store: {options.store} is a file; name a folder")


def _apart(what: str, names: list[str]) -> None:
    """Raise UserError where two names are one, or would be one in a store."""
    known: dict[str, str] = {}
    for name in names:
        if slug(name) in known:
            raise UserError(
                f"{known[slug(name)]}, {name}: two {what} of one name; measure one at a time, or rename one"
            )
        known[slug(name)] = name


def _write(options: EvaluateOptions, results: list[Result], shown: dict[str, ImageSet]) -> None:
    if options.json:
        found = [json.dumps({**result.to_json(), "curves": result.curves()}) for result in results]
        text = f'{{"evenface": "{evenface.__version__}", "results": [\n' + ",\n".join(found) + "\n]}\n"
        options.json.write_text(text, encoding="utf-8")
    if options.report:
        write_report(options.report, results, partial(_picture, shown))
        print(f"report: {options.report}")


def _measure(model: Model, benchmark: Benchmark, options: EvaluateOptions) -> list[Result]:
    if model.stored is not None:
        return evaluate_stored(model.stored, benchmark, options.reading, model.name)
    if model.features is not None:
        return _of_features(model, model.features, benchmark, options)
    assert model.embedder is not None
    with bars() as bar:
        return evaluate(
            model.embedder,
            benchmark,
            options.flip or "sum",
            options.reading,
            store=options.store and _folder(options.store, model),
            fingerprint=model.fingerprint,
            batch_size=options.batch_size,
            workers=options.workers,
            progress=bar(f"{benchmark.name}: embedding by {model.name}"),
        )


def _of_features(
    model: Model, features: Path, benchmark: Benchmark, options: EvaluateOptions
) -> list[Result]:
    ending = feature_ending(features)
    if not isinstance(benchmark, MegaFace) or ending is None:
        raise UserError(f"{model.name}: feature files of MegaFace's kit; measure them with --megaface alone")
    if options.store is None:
        raise UserError(f"--store: {model.name} is a file a picture; name a folder to gather them in")
    folder = _folder(options.store, model)
    with Console(stderr=True).status(f"{benchmark.name}: gathering {len(benchmark.images):,} feature files"):
        store_features(benchmark, features, ending, folder)
    return evaluate_stored(folder, benchmark, options.reading, model.name)


def _folder(store: Path, model: Model) -> Path:
    return store / (slug(model.name) or "model")


def _picture(shown: dict[str, ImageSet], protocol: str, index: int) -> Image | None:
    """The crop of a picture for the report; None where it cannot be had: the embeddings are enough."""
    try:
        return shown[protocol].read(index)
    except UserError:
        return None
