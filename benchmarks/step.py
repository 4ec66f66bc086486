"""Whole training steps, network, loss and optimizer: evenface's losses beside the usual arithmetic.

    python benchmarks/step.py                       10^3, 10^5 and 10^6 classes, SphereFace-4 at 64x64
    python benchmarks/step.py --size 112 --backbone mobilefacenet --device cuda

The ways take turns in one process, on pictures and labels of random numbers, float32; each ratio is the
median of those of the turns. Memory is all that a fresh process takes for its training: weights, gradients
and momentum included.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from ways import (
    ARCFACE,
    EQM,
    MB,
    TENTH_ARCFACE,
    USUAL,
    WAYS,
    alone,
    case,
    free,
    held,
    number,
    peak,
    synchronise,
)

from evenface import backbones
from evenface.training.config import TrainConfig
from evenface.training.optimizer import make_optimizer

CHOSEN = (USUAL, ARCFACE, EQM, TENTH_ARCFACE)
CONFIG = TrainConfig(learning_rate=1e-4)  # random labels teach nothing
Parts = tuple[float, float, float]


def training(name: str, classes: int, options: argparse.Namespace) -> Callable[[], Parts]:
    """A step, which returns the seconds of the network, of the loss and of the centres' update."""
    given = case(classes, options)
    side = options.size
    net = backbones.create(options.backbone, embedding_size=options.dimension, input_size=(side, side))
    net = net.to(options.device).to(memory_format=torch.channels_last)
    images = torch.randn(options.rows, 3, side, side, device=options.device)
    images = images.contiguous(memory_format=torch.channels_last)
    work = WAYS[name].make(given)
    of_net = make_optimizer([net], CONFIG)
    of_centres = make_optimizer([nn.ParameterList([work.weights])], CONFIG)

    def clock() -> float:
        synchronise(options.device)
        return time.perf_counter()

    def step() -> Parts:
        of_net.zero_grad()
        of_centres.zero_grad()
        began = clock()
        embeddings: Tensor = net(images)
        given.rows = embeddings.detach().requires_grad_()
        embedded = clock()
        work.step()
        compared = clock()
        embeddings.backward(given.rows.grad)
        of_net.step()
        back = clock()
        of_centres.step()
        return embedded - began + back - compared, compared - embedded, clock() - back

    return step


def memory(name: str, classes: int, options: argparse.Namespace) -> int:
    """Bytes at most, in two steps from nothing, beside the libraries and their threads."""
    torch.set_num_threads(options.threads)
    training(name, 1000, options)()
    before = held(options.device)

    def run() -> None:
        step = training(name, classes, options)
        step()
        step()

    return peak(options.device, run) - before


def measure(classes: int, options: argparse.Namespace) -> None:
    room, chosen = free(options.device), []
    for name in CHOSEN:
        matrices, tables = WAYS[name].matrices + 1, WAYS[name].tables  # the optimizer has a momentum
        need = 4 * classes * (matrices * options.dimension + tables * options.rows)
        if need < room:
            chosen.append(name)
        else:
            print(f"{name} at {classes:,} classes is left out: it takes {need / 1e9:.1f} GB of memory")
    bytes_ = {name: alone(memory, name, classes, options) for name in chosen}
    found: dict[str, list[Parts]] = {name: [] for name in chosen}
    for _ in range(options.turns):
        for name in chosen:
            step = training(name, classes, options)
            step()  # makes the momentum
            found[name].append(min((step() for _ in range(options.steps)), key=sum))
    for name, turns in found.items():
        seconds = [sum(parts) for parts in turns]
        shares = [
            f"{100 * statistics.median(parts[k] / sum(parts) for parts in turns):.0f} %" for k in range(3)
        ]
        ratio = ""
        if name != USUAL and USUAL in found:
            ratios = [one / sum(usual) for one, usual in zip(seconds, found[USUAL], strict=True)]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rate = options.rows / statistics.median(seconds)
        cells = [f"{classes:,}", name, f"{rate:.3g}", ratio, *shares, f"{bytes_[name] / MB:,.0f}"]
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", type=number, nargs="+", default=[10**3, 10**5, 10**6])
    parser.add_argument("--rows", type=number, default=128, help="images of a batch")
    parser.add_argument("--dimension", type=number, default=512)
    parser.add_argument("--backbone", default="sphereface4")
    parser.add_argument("--size", type=number, default=64, help="side of the pictures")
    parser.add_argument("--turns", type=number, default=3)
    parser.add_argument("--steps", type=number, default=3, help="of a turn; the fastest counts")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=number, default=torch.get_num_threads(), help="of the CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chip = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.threads} threads"
    print(f"torch {torch.__version__}, {options.device}, {chip}")
    print(
        f"{options.backbone}, {options.rows} images of {options.size}x{options.size}, {options.turns} turns\n"
    )
    print("| classes | way | images/s | step to the usual | network | loss | update of centres | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for classes in options.classes:
        measure(classes, options)


if __name__ == "__main__":
    main()
