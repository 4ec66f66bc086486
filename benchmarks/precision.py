"""What `--train.precision bf16` is worth: forward and backward of the networks, beside float32.

    python benchmarks/precision.py
    python benchmarks/precision.py --device cuda --batch 256

The two take turns in one process, on pictures of random numbers; the ratio is the median of the turns'.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor, nn
from ways import number, synchronise

from evenface import backbones

NETWORKS = (  # backbone, side, channels, images of a batch on a CPU
    ("compact", 48, 1, 64),
    ("compact", 80, 1, 64),
    ("sphereface4", 64, 3, 64),
    ("sphereface20", 112, 3, 8),
    ("mobilefacenet", 112, 3, 16),
    ("iresnet18", 112, 3, 8),
)


def seconds(net: nn.Module, images: Tensor, low: bool) -> float:
    device = images.device.type
    synchronise(device)
    began = time.perf_counter()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=low):
        embeddings = net(images)
    embeddings.float().square().mean().backward()
    synchronise(device)
    net.zero_grad()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=number, default=7)
    parser.add_argument("--batch", type=number, help="images; by default as many as a CPU likes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=number, default=torch.get_num_threads(), help="of the CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chip = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.threads} threads"
    print(f"torch {torch.__version__}, {options.device}, {chip}, {options.turns} turns\n")
    print("| network | input | float32, images/s | bf16, images/s | times |\n|---|---|---|---|---|")
    for name, side, channels, batch in NETWORKS:
        count = options.batch or batch
        net = backbones.create(name, embedding_size=256, input_size=(side, side), channels=channels)
        net = net.to(options.device).to(memory_format=torch.channels_last)
        images = torch.randn(count, channels, side, side, device=options.device)
        images = images.contiguous(memory_format=torch.channels_last)
        turns = [tuple(seconds(net, images, low) for low in (False, True)) for _ in range(options.turns + 1)]
        whole, low = zip(*turns[1:], strict=True)  # the first finds its memory and its algorithms
        ratios = [a / b for a, b in turns[1:]]
        rates = [f"{count / statistics.median(times):.3g}" for times in (whole, low)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {side}x{side}, {count} a batch | {' | '.join(rates)} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
