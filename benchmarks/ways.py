"""The ways that head.py and step.py compare, and how memory is watched."""

import argparse
import gc
import math
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor, nn

from evenface.losses import create, rivals

MB = 10**6
SCALE, MARGIN = 64.0, 0.5  # of ArcFace, everywhere
TENTH = 0.1  # the classes drawn where they are sampled


@dataclass
class Case:
    """What every way is given: embeddings (N, D) with gradient, labels (N,), centres (C, D)."""

    rows: Tensor
    labels: Tensor
    centres: nn.Parameter


@dataclass
class Work:
    """`step` is forward and backward, and returns the loss; `weights`, perhaps transposed, get a gradient."""

    step: Callable[[], Tensor]
    weights: nn.Parameter


@dataclass(frozen=True)
class Way:
    """At most `matrices` of C x D and `tables` of N x C are in memory; floor and peer are names of ways."""

    make: Callable[[Case], Work]
    floor: str
    peer: str
    matrices: int = 2
    tables: int = 0


def case(classes: int, options: argparse.Namespace) -> Case:
    torch.manual_seed(0)
    rows = torch.randn(options.rows, options.dimension, device=options.device, requires_grad=True)
    labels = torch.randint(classes, (options.rows,), device=options.device)
    centres = torch.empty(classes, options.dimension, device=options.device).normal_(std=0.02)
    return Case(rows, labels, nn.Parameter(centres))


def products(rows: Callable[[Case], Tensor], part: float, given: Case) -> Work:
    """The products: logits, both gradients, and once more the logits that are not kept.

    What fits the memory of the centres' gradient is kept: all, if there are no more rows than dimensions.
    Rows beside the batch's give the centres no gradient.
    """
    batch = len(given.rows)
    left, right = rows(given).detach(), given.centres.detach()[: math.ceil(part * len(given.centres))]
    size = rivals.block_width(len(left), left.device.type)
    blocks = right.split(size)
    kept = min(len(blocks), len(blocks) * left.shape[1] // len(left))
    rooms = left.new_empty(min(kept + 1, len(blocks)), len(left), min(size, len(right)))
    of_left, of_right = torch.zeros_like(left), torch.zeros_like(right)

    def step() -> Tensor:
        for number, block in enumerate(blocks):
            torch.mm(left, block.T, out=rooms[min(number, kept), :, : len(block)])
        for number, (block, slope) in enumerate(zip(blocks, of_right.split(size), strict=True)):
            product = rooms[min(number, kept), :, : len(block)]
            if number >= kept:
                torch.mm(left, block.T, out=product)
            torch.mm(product[:batch].T, left[:batch], out=slope)
            of_left.addmm_(product, block)
        return left.new_zeros(())

    return Work(step, given.centres)


def with_present(given: Case) -> Tensor:
    """The rows whose rivals EqM looks at: of the batch, and of the centres in it."""
    return torch.cat([given.rows, given.centres[given.labels.unique()]])


def differentiated(loss: Callable[[], Tensor], weights: nn.Parameter) -> Work:
    def step() -> Tensor:
        value = loss()
        value.backward()
        return value.detach()

    return Work(step, weights)


def evenface(name: str, sample: float, given: Case) -> Work:
    with torch.device("meta"):
        head: Any = create(name, *given.centres.shape)
    head.centres, head.sample = given.centres, sample
    return differentiated(lambda: head(given.rows, given.labels), given.centres)


def metric_learning(given: Case) -> Work:
    head = ArcFaceLoss(*given.centres.shape, margin=math.degrees(MARGIN), scale=SCALE)
    head.W = nn.Parameter(given.centres.detach().T.contiguous())
    return differentiated(lambda: head(given.rows, given.labels), head.W)


def usual(sample: float, given: Case) -> Work:
    """ArcFace as large heads do it, whole matrices in turn; autograd scatters the gradient of those drawn."""

    def loss() -> Tensor:
        return arcface(given.rows, given.labels, given.centres, sample)

    return differentiated(loss, given.centres)


def arcface(rows: Tensor, labels: Tensor, centres: Tensor, sample: float = 1.0) -> Tensor:
    if sample < 1:
        chance = torch.rand(len(centres), device=rows.device).index_fill_(0, labels, 2.0)
        count = max(math.ceil(sample * len(centres)), len(labels.unique()))
        drawn = chance.topk(count).indices.sort().values
        centres, labels = centres.index_select(0, drawn), torch.searchsorted(drawn, labels)
    cosine = F.linear(F.normalize(rows), F.normalize(centres)).clamp(-1, 1)
    own = torch.arange(len(rows), device=rows.device), labels
    cosine[own] = torch.cos(torch.arccos(cosine[own]) + MARGIN)
    value: Tensor = CrossEntropy.apply(SCALE * cosine, labels)
    return value


class CrossEntropy(torch.autograd.Function):
    """The mean over the rows, in place: the probabilities, then the gradient, take the logits' memory."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        logits -= logits.amax(dim=1, keepdim=True)
        own = logits.gather(1, labels[:, None])
        total = logits.exp_().sum(dim=1, keepdim=True)
        ctx.probability, ctx.labels = logits.div_(total), labels
        return (total.log() - own).mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        slope, count = ctx.probability, len(ctx.labels)
        slope[torch.arange(count, device=slope.device), ctx.labels] -= 1
        return slope.mul_(gradient / count), None


FLOOR, FLOOR_EQM, FLOOR_TENTH = "its products", "its products, EqM's rows", "its products, a tenth"
EQM, ARCFACE, COSFACE = "evenface EqM", "evenface ArcFace", "evenface CosFace"
TENTH_ARCFACE, TENTH_USUAL = "evenface ArcFace, a tenth", "the usual arithmetic, a tenth"
PML, USUAL = "pytorch-metric-learning ArcFace", "the usual arithmetic"
WAYS = {
    FLOOR: Way(partial(products, lambda given: given.rows, 1.0), FLOOR, USUAL),
    FLOOR_EQM: Way(partial(products, with_present, 1.0), FLOOR_EQM, USUAL),
    FLOOR_TENTH: Way(partial(products, lambda given: given.rows, TENTH), FLOOR_TENTH, TENTH_USUAL),
    EQM: Way(partial(evenface, "eqm", 1.0), FLOOR_EQM, USUAL),
    ARCFACE: Way(partial(evenface, "arcface", 1.0), FLOOR, USUAL),
    COSFACE: Way(partial(evenface, "cosface", 1.0), FLOOR, USUAL),
    PML: Way(metric_learning, FLOOR, USUAL, 5, 5),
    USUAL: Way(partial(usual, 1.0), FLOOR, USUAL, 4, 6),
    TENTH_ARCFACE: Way(partial(evenface, "arcface", TENTH), FLOOR_TENTH, TENTH_USUAL),
    TENTH_USUAL: Way(partial(usual, TENTH), FLOOR_TENTH, TENTH_USUAL),
}
FLOORS = (FLOOR, FLOOR_EQM, FLOOR_TENTH)


def check(options: argparse.Namespace) -> None:
    """Stop unless all ways to ArcFace give the same loss and gradients."""
    found = {}
    for name in (ARCFACE, PML, USUAL):
        given = case(min(options.classes), options)
        work = WAYS[name].make(given)
        loss, slope = work.step(), work.weights.grad
        found[name] = loss, given.rows.grad, slope.T if name == PML else slope
        for a, b, limit in zip(found[name], found[ARCFACE], (1e-4, 1e-3, 1e-3), strict=True):
            if not (error := float((a - b).norm() / b.norm())) <= limit:
                raise SystemExit(f"{name} differs from {ARCFACE}: relative error {error:.1e}, limit {limit}")


def free(device: str) -> int:
    """Bytes of memory that are free."""
    if device == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return 1024 * int(lines["MemAvailable"].split()[0])


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def held(device: str) -> int:
    """Bytes that this process holds; on a CPU those that are no file's."""
    if device == "cuda":
        return torch.cuda.memory_allocated()
    return 1024 * int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])


def peak(device: str, work: Callable[[], object]) -> int:
    """The most bytes that this process holds meanwhile; on a CPU looked at every 5 ms."""
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated()
    most, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            most[0] = max(most[0], held(device))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(most[0], held(device))


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """The same in a fresh process, whose freed memory goes back to the system at once."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def number(text: str) -> int:
    """A whole number, 1e6 too."""
    return int(float(text))
