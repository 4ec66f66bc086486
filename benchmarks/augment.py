"""What each kind of change costs, one picture at a time and in batches.

    python benchmarks/augment.py my-faces/            a folder of aligned pictures; 128 of them are used
    python benchmarks/augment.py my-faces/ --device cuda

Microseconds for a picture of 112x112 in colour, each change at every picture, one thread: the least of many
rounds, since whatever else the machine does only adds. Drawing is the part of both that draws the parameters.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from evenface.data import AugmentConfig, augment, augment_batch, read
from evenface.data.augment import Sample, generators, steps
from evenface.faces import InputFormat
from evenface.training.arguments import parse

OFF = AugmentConfig(flip=0)
CHANGES = {
    "all off": OFF,
    "`flip`": replace(OFF, flip=1),
    "`mask`": replace(OFF, mask=1),
    "`rotate`, `scale`, `shift`": replace(OFF, rotate=9, scale=0.13, shift=0.06),
    "`gamma`": replace(OFF, gamma=0.3),
    "`light`": replace(OFF, light=0.3),
    "`brightness`, `contrast`": replace(OFF, brightness=0.2, contrast=0.3),
    "`saturation`, `hue`": replace(OFF, saturation=0.3, hue=10),
    "`gray`": replace(OFF, gray=1),
    "`low_resolution`": replace(OFF, low_resolution=1),
    "`blur`": replace(OFF, blur=1),
    "`noise`": replace(OFF, noise=0.02),
    "`jpeg`": replace(OFF, jpeg=1),
    "`erase`": replace(OFF, erase=1),
}
RECIPE = Path(__file__).parent.parent / "recipes/celeb-eqm-cpu.toml"


def least(work: Callable[[], object], images: int, seconds: float = 1.5) -> float:
    """Microseconds an image."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / images


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    pictures = read(options.root).pictures
    chosen = np.linspace(0, len(pictures) - 1, 128).astype(int)
    images = [InputFormat().fit(pictures[int(i)]) for i in chosen]
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(options.device)
    recipe = parse([], prog="", description="", recipe=RECIPE).data.augment
    draws = range(len(images))

    def one_by_one(config: AugmentConfig) -> None:
        for image, rng in zip(images, generators(0, draws), strict=True):
            augment(image, config, rng)

    def together(config: AugmentConfig) -> None:
        augment_batch(batch, config, draws, 0)
        if batch.is_cuda:
            torch.cuda.synchronize()

    def drawn(config: AugmentConfig) -> None:
        for rng in generators(0, draws):
            sample = Sample(config, rng, images[0].shape, "rgb")
            for step in steps(config):
                step.draw(sample)

    print(f"| change | picture | batch ({options.device}) | drawing |\n|---|---|---|---|")
    named = {"the recipe": recipe, "the same without noise": replace(recipe, noise=0)}
    for name, config in (CHANGES | named).items():
        figures = (least(lambda: work(config), len(images)) for work in (one_by_one, together, drawn))  # noqa: B023
        print(f"| {name} | " + " | ".join(f"{figure:.0f}" for figure in figures) + " |")


if __name__ == "__main__":
    main()
