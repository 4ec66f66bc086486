"""Time and memory of a loss over many classes, beside its bare matrix products and the usual arithmetic.

    python benchmarks/head.py                       10^4, 10^5 and 10^6 classes
    python benchmarks/head.py --device cuda         and 10^7, where they fit
    python benchmarks/head.py --json head.json --plot head.png
    python benchmarks/head.py --shard               memory of one of 64 processes that share 10^8 people

A call is forward and backward of a batch with random labels. The ways take turns in one process on the same
weights, and each ratio is the median of those of the turns. The bare products are those that a loss needs
which never holds rows x classes: in its own blocks, into memory that is there already. Memory is the peak of
a fresh process for each way. The ways to ArcFace must agree before anything is measured.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from matplotlib.figure import Figure
from torch import nn
from torch.testing._internal.distributed.fake_pg import FakeStore
from ways import (
    ARCFACE,
    COSFACE,
    EQM,
    FLOOR,
    FLOORS,
    MB,
    PML,
    TENTH_ARCFACE,
    TENTH_USUAL,
    USUAL,
    WAYS,
    Case,
    Work,
    alone,
    case,
    check,
    free,
    held,
    number,
    peak,
    synchronise,
)

from evenface.evaluation.drawing import styled
from evenface.losses import create, rivals
from evenface.losses.classes import divided
from evenface.training.config import TrainConfig
from evenface.training.optimizer import make_optimizer


def memory(name: str, classes: int, options: argparse.Namespace) -> tuple[int, int]:
    """Peak bytes of a step above the weights, and above the weights and their gradient."""
    torch.set_num_threads(options.threads)
    WAYS[name].make(case(1000, options)).step()  # libraries and threads take memory of their own
    given = case(classes, options)
    work = WAYS[name].make(given)

    def steps() -> None:
        for _ in range(3):
            given.rows.grad = work.weights.grad = None
            work.step()

    before = held(options.device)
    most = peak(options.device, steps) - before
    slope = work.weights.grad
    parts = [slope._indices(), slope._values()] if slope.is_sparse else [slope]
    return most, most - sum(part.nbytes for part in parts)


Record = dict[str, Any]  # classes, way, seconds turn by turn, bytes above weights and above their gradient


def measure(classes: int, options: argparse.Namespace) -> list[Record]:
    """A record for each way that fits."""
    chosen, room = {}, free(options.device)
    for name, way in WAYS.items():
        need = 4 * classes * (way.matrices * options.dimension + way.tables * options.rows)
        if need < room:
            chosen[name] = way
        else:
            print(f"{name} at {classes:,} classes is left out: it takes {need / 1e9:.1f} GB of memory")
    records = []
    for name in chosen:
        above, extra = (None, None) if name in FLOORS else alone(memory, name, classes, options)
        records.append({"classes": classes, "way": name, "seconds": [], "above": above, "extra": extra})
    given = case(classes, options) if chosen else None
    for _ in range(options.turns):
        for one in records:
            work = chosen[one["way"]].make(given)
            calls = range(max(1, 10**5 // classes))  # the fastest counts
            one["seconds"].append(min(timed(work, given, options.device) for _ in calls))
            del work
    return records


def timed(work: Work, given: Case, device: str) -> float:
    """Seconds of a step; the gradients are let go of after it."""
    synchronise(device)
    began = time.perf_counter()
    work.step()
    synchronise(device)
    seconds = time.perf_counter() - began
    given.rows.grad = work.weights.grad = None
    return seconds


def ratios(one: Record, other: Record) -> list[float]:
    return [a / b for a, b in zip(one["seconds"], other["seconds"], strict=True)]


def table(records: list[Record]) -> None:
    found = {one["way"]: one for one in records}

    def spread(one: Record, other: str) -> str:
        if other not in found or one["way"] == other:
            return ""
        values = ratios(one, found[other])
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    print(f"\n{records[0]['classes']:,} classes\n")
    print("| way | seconds | to its products | to the usual | MB above weights | above gradient too |")
    print("|---|---|---|---|---|---|")
    for name, one in found.items():
        cells = [f"{statistics.median(one['seconds']):.3g}"]
        cells += [spread(one, other) for other in (WAYS[name].floor, WAYS[name].peer)]
        cells += ["" if one[key] is None else f"{one[key] / MB:,.0f}" for key in ("above", "extra")]
        print(f"| {name} | {' | '.join(cells)} |")


def bars(records: list[Record]) -> None:
    """What was hoped for, and whether it is so."""
    found = {(one["classes"], one["way"]): one for one in records}
    rows = []
    for name in (EQM, ARCFACE, COSFACE):
        one, floor = found.get((10**5, name)), found.get((10**5, WAYS[name].floor))
        if one and floor:
            rows.append((f"{name}, 10^5: time to its products", statistics.median(ratios(one, floor)), 1.25))
        if one := found.get((10**6, name)):
            rows.append((f"{name}, 10^6: MB above weights and gradient", one["extra"] / MB, 300.0))
    for name in (PML, USUAL):
        one, peer = found.get((10**5, ARCFACE)), found.get((10**5, name))
        if one and peer:
            rows.append((f"{ARCFACE}, 10^5: time to {name}", statistics.median(ratios(one, peer)), 0.5))
            rows.append((f"{ARCFACE}, 10^5: extra memory to {name}", one["extra"] / peer["extra"], 0.1))
    if rows:
        print("\n| bar | measured | at most | |\n|---|---|---|---|")
    for what, value, most in rows:
        print(f"| {what} | {value:.3g} | {most:g} | {'met' if value <= most else 'missed'} |")


def plot(records: list[Record], path: Path) -> None:
    """Seconds, and memory above weights and gradient, against the classes."""
    names = (EQM, ARCFACE, TENTH_ARCFACE, FLOOR, PML, USUAL, TENTH_USUAL)
    curves = {name: [one for one in records if one["way"] == name] or None for name in names}
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, curve, style in styled(curves):
        across = [one["classes"] for one in curve]
        style |= {"marker": "o", "ms": 4}
        left.plot(across, [statistics.median(one["seconds"]) for one in curve], label=name, **style)
        if name != FLOOR:
            right.plot(across, [max(one["extra"] / MB, 1.0) for one in curve], **style)
    left.set_ylabel("seconds, forward and backward")
    right.set_ylabel("MB above weights and gradient")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="classes")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110, format="png", pil_kwargs={"optimize": True})


def shard(options: argparse.Namespace) -> None:
    """Memory of one of the processes that share so many people: on paper, and measured in one of its size."""
    part, batch = -(-options.people // options.processes), options.processes * options.each
    each, rows = 4 * part * options.dimension, 4 * batch * options.dimension
    print(f"{options.people:,} people, {options.processes} processes: {part:,} centres each")
    print(f"a batch of {options.processes} x {options.each} = {batch:,} embeddings\n")
    # At once in a call: ten tensors of the batch's size, as embeddings, directions, own centres and the
    # gradients of each; five blocks of cosines, as logits and slopes.
    call = 10 * rows + 5 * 4 * batch * rivals.block_width(batch, options.device)
    paper = {
        "centres": each,
        "at most in a call: their gradient, the batch, some blocks": 2 * each + call,
        "at most in the optimizer's first step: momentum": 3 * each + rows,
        "at most in the next call": 3 * each + call,
    }
    need = 3 * each + call
    measured = [""] * len(paper)
    if need < free(options.device):
        measured = [f"{size / 1e9:.2f}" for size in alone(one_shard, options)]
    else:
        print(f"Not measured: {need / 1e9:.0f} GB of memory are not free.\n")
    print("| held by one process | GB on paper | GB measured |\n|---|---|---|")
    for (what, size), found in zip(paper.items(), measured, strict=True):
        print(f"| {what} | {size / 1e9:.2f} | {found} |")


def one_shard(options: argparse.Namespace) -> list[int]:
    """Bytes as in `shard`'s table, of the first process; what the others would send is left out."""
    torch.set_num_threads(options.threads)
    WAYS[ARCFACE].make(case(1000, options)).step()
    dist.init_process_group("fake", rank=0, world_size=options.processes, store=FakeStore())
    with torch.device("meta"), divided(0, options.processes):  # drawing everybody's centres takes minutes
        head: Any = create("arcface", options.people, options.dimension)
    before = held(options.device)
    nn.init.normal_(head.to_empty(device=options.device).centres, std=0.02)
    found = [held(options.device)]
    batch = options.processes * options.each
    rows = torch.randn(batch, options.dimension, device=options.device, requires_grad=True)
    labels = torch.randint(options.people, (batch,), device=options.device)
    optimizer = make_optimizer([head], TrainConfig())

    def call() -> None:
        rows.grad = head.centres.grad = None
        head(rows, labels).backward()

    found += [peak(options.device, work) for work in (call, optimizer.step, call)]
    return [bytes_ - before for bytes_ in found]


def compare(options: argparse.Namespace) -> None:
    if options.classes is None:
        options.classes = [10**4, 10**5, 10**6] + [10**7] * (options.device == "cuda")
        if options.device == "cpu":
            print("10^7 classes: on a CPU with --classes 1e7 only, as weights and gradient alone take 41 GB")
    check(options)
    print(f"{options.rows} embeddings of {options.dimension} dimensions, float32, {options.turns} turns")
    records = []
    for classes in options.classes:
        found = measure(classes, options)
        if found:
            table(found)
        records += found
    bars(records)
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n")
    if options.plot:
        plot(records, options.plot)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", type=number, nargs="+", help="how many, rising")
    parser.add_argument("--rows", type=number, default=256, help="embeddings of a batch")
    parser.add_argument("--dimension", type=number, default=512)
    parser.add_argument("--turns", type=number, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=number, default=torch.get_num_threads(), help="of the CPU")
    parser.add_argument("--json", type=Path, help="file for every turn's figures")
    parser.add_argument("--plot", type=Path, help="file for the picture, a PNG")
    parser.add_argument("--shard", action="store_true")
    parser.add_argument("--people", type=number, default=10**8, help="of --shard")
    parser.add_argument("--processes", type=number, default=64, help="of --shard")
    parser.add_argument("--each", type=number, default=128, help="images of each process of --shard")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chip = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.threads} threads"
    print(f"torch {torch.__version__}, {options.device}, {chip}")
    shard(options) if options.shard else compare(options)


if __name__ == "__main__":
    main()
