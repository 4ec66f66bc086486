"""How fast pictures come out of the loader, against the bare decoder and against the usual ways.

    python benchmarks/loader.py my-faces/             a folder of aligned 112x112 pictures, some thousands
    python benchmarks/loader.py my-faces/ --train     training from it, beside training from memory
    python benchmarks/loader.py my-faces/ --parts     where a picture's time goes
    python benchmarks/loader.py my-faces/ --watch     what memory does over 80 epochs
    python benchmarks/loader.py my-faces/ --list      what a list of 10 million files takes with workers

Everything is read once before, so disks play no part, and each way decodes every picture to 112x112 RGB. The
ways take turns; each figure is the median of its turns, as a share of the bare decoder's in the same turn.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import webdataset
from PIL import Image
from rich.console import Console
from torch.utils.data import DataLoader, Dataset

from evenface.data import AugmentConfig, BatchPlan, DataConfig, FaceDataset, FaceSet, Files, loader, read
from evenface.data.writers.shards import ShardWriter
from evenface.faces import InputFormat, decode_image
from evenface.training.config import Config, Named, TrainConfig
from evenface.training.loop import train

BATCH = 128
RECIPE = AugmentConfig(rotate=9, scale=0.13, shift=0.06, brightness=0.2, contrast=0.2, gray=0.2, jpeg=0.2)


class Pillow(Dataset):  # the usual way
    def __init__(self, faces: FaceSet):
        self.samples = [(str(path), int(k)) for path, k in zip(faces.paths, faces.labels, strict=True)]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, label = self.samples[index]
        with Image.open(path) as image:
            picture = image.convert("RGB")
        if random.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous(), label


def _decode(contents: list[bytes]) -> None:
    cv2.setNumThreads(0)
    for content in contents:
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def bare(contents: list[bytes], workers: int) -> float:
    """Images a second of `cv2.imdecode` alone, from memory, in as many processes."""
    context = multiprocessing.get_context("fork")
    parts = [contents[w::workers] for w in range(workers)]
    processes = [context.Process(target=_decode, args=(part,)) for part in parts]
    began = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return len(contents) / (time.perf_counter() - began)


def ours(faces: FaceSet, augment: AugmentConfig, workers: int) -> Iterator[torch.Tensor]:
    dataset = FaceDataset(faces, InputFormat(112, 112), augment)
    plan = BatchPlan(faces.labels, BATCH)
    return (batch.images for batch in loader(dataset, plan, 0, plan.steps_per_epoch, workers=workers))


def pillow(faces: FaceSet, workers: int) -> Iterator[torch.Tensor]:
    batches = DataLoader(Pillow(faces), BATCH, shuffle=True, num_workers=workers, drop_last=True)
    return (images for images, _ in batches)


def web(shards: list[str], workers: int) -> Iterator[torch.Tensor]:
    """webdataset alone, with its shuffle buffer and its decoder to uint8."""
    samples = webdataset.WebDataset(shards, shardshuffle=len(shards), empty_check=False).shuffle(1000)

    def picture(sample: tuple[np.ndarray, dict]) -> tuple[torch.Tensor, int]:
        pixels = sample[0][:, ::-1] if random.random() < 0.5 else sample[0]
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))), sample[1]["label"]

    decoded = samples.decode("rgb8").to_tuple("jpg", "json").map(picture).batched(BATCH, partial=False)
    return (images for images, _ in DataLoader(decoded, None, num_workers=workers))


def rate(batches: Iterator[torch.Tensor]) -> float:
    """Images a second from the second batch on, so that no way's start counts."""
    next(batches)
    began, seen = time.perf_counter(), 0
    for images in batches:
        seen += len(images)
    return seen / (time.perf_counter() - began)


def speed(root: Path, workers: int, turns: int) -> None:
    folder = read(root)
    contents = [folder.pictures.encoded(i) for i in range(len(folder))]
    with tempfile.TemporaryDirectory() as made:
        shards = Path(made) / "shards"
        order = np.random.default_rng(0).permutation(len(folder))
        writer = ShardWriter(shards, folder.identities)
        for i in order:
            writer.add(int(folder.labels[i]), folder.pictures.name(int(i)), contents[i])
        writer.close()
        # webdataset deals shards to workers, so it needs as many of them; ours needs one.
        tars = [str(path) for path in _split(shards, workers, folder, contents, order)]
        flip = AugmentConfig()
        ways: dict[str, Callable[[], float]] = {
            "evenface, folder": lambda: rate(ours(folder, flip, workers)),
            "evenface, shards": lambda: rate(ours(read(shards), flip, workers)),
            "evenface, folder, seven kinds of change": lambda: rate(ours(folder, RECIPE, workers)),
            "webdataset, shards": lambda: rate(web(tars, workers)),
            "Pillow and DataLoader, folder": lambda: rate(pillow(folder, workers)),
        }
        floors, found = [], {name: [] for name in ways}
        for _ in range(turns):
            floors.append(bare(contents, workers))
            for name, way in ways.items():
                found[name].append(way())
    print(f"{len(folder):,} pictures, {workers} processes, {turns} turns")
    print("| way | images/s | of the bare decoder |\n|---|---|---|")
    print(f"| the bare decoder, from memory | {statistics.median(floors):,.0f} | 1 |")
    for name, rates in found.items():
        shares = [one / floor for one, floor in zip(rates, floors, strict=True)]
        spread = f"{statistics.median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})"
        print(f"| {name} | {statistics.median(rates):,.0f} | {spread} |")


def _split(
    shards: Path, workers: int, folder: FaceSet, contents: list[bytes], order: np.ndarray
) -> list[Path]:
    made = []
    for k in range(workers):
        writer = ShardWriter(shards.parent / f"part{k}", folder.identities)
        for i in order[k::workers]:
            writer.add(int(folder.labels[i]), folder.pictures.name(int(i)), contents[i])
        writer.close()
        made += sorted((shards.parent / f"part{k}").glob("*.tar"))
    return made


def training(root: Path, workers: int, turns: int) -> None:
    """Images a second of a small network that trains on the pictures as they are read, and from memory."""
    ways = {
        f"read by {workers} processes": DataConfig(root=root, workers=workers),
        "read by the one that trains": DataConfig(root=root, workers=0),
        "in memory": DataConfig(root=root, workers=0, in_memory=True),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, data in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                options = TrainConfig(epochs=BATCH * 16 / len(read(root)), batch_size=BATCH, log_every=4)
                config = Config(data=data, backbone=Named("sphereface4"), loss=Named("eqm"), train=options)
                train(config, Path(folder) / "run", console=Console(quiet=True))
                lines = map(json.loads, (Path(folder) / "run/log.jsonl").read_text().splitlines())
                rates = [line["images_per_second"] for line in lines if line["kind"] == "train"]
                found[name].append(statistics.median(rates[1:]))
    floor = found["in memory"]
    for name, rates in found.items():
        shares = [one / other for one, other in zip(rates, floor, strict=True)]
        print(
            f"{name}: {statistics.median(rates):.1f} images/s, {statistics.median(shares):.3f} of in memory "
            f"({min(shares):.3f} to {max(shares):.3f})"
        )


def parts(root: Path) -> None:
    """Microseconds of one process for a picture, the least of three rounds."""
    cv2.setNumThreads(0)
    faces = read(root)
    chosen = np.random.default_rng(0).permutation(len(faces))[:3000].tolist()
    contents = [faces.pictures.encoded(i) for i in chosen]
    keys = [(i, draw) for draw, i in enumerate(chosen)]

    def batches(augment: AugmentConfig | None) -> None:
        dataset = FaceDataset(faces, InputFormat(112, 112), augment)
        for start in range(0, len(keys), BATCH):
            dataset.__getitems__(keys[start : start + BATCH])

    works: dict[str, Callable[[], object]] = {
        "cv2.imdecode alone": lambda: _decode(contents),
        "with the checks of what a file announces": lambda: deque(
            (decode_image(one, "") for one in contents), 0
        ),
        "reading the files": lambda: deque(map(faces.pictures.encoded, chosen), 0),
        "a batch, as it is": lambda: batches(None),
        "a batch, mirrored at random": lambda: batches(AugmentConfig()),
    }
    for name, work in works.items():
        times = []
        for _ in range(3):
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
        print(f"{name}: {1e6 * min(times) / len(chosen):.0f} us")
    plan = BatchPlan(faces.labels, BATCH)
    dataset = FaceDataset(faces, InputFormat(112, 112), AugmentConfig())
    before, began = _children(), time.process_time()
    seen = sum(map(len, loader(dataset, plan, 0, 8 * plan.steps_per_epoch, workers=2)))
    here = 1e6 * (time.process_time() - began) / seen
    print(
        f"in each of two workers: {1e6 * (_children() - before) / seen:.0f} us, and {here:.0f} where they go"
    )


def _children() -> float:
    """Seconds of processor time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def watch(root: Path, workers: int, epochs: int = 80) -> None:
    """MiB of its own in this process and in each worker, ten times on the way."""
    torch.set_num_threads(1)
    faces = read(root)
    plan = BatchPlan(faces.labels, BATCH)
    dataset = FaceDataset(faces, InputFormat(112, 112), AugmentConfig(rotate=5))
    steps, seen = plan.steps_per_epoch * epochs, 0
    for step, batch in enumerate(loader(dataset, plan, 0, steps, workers=workers)):
        seen += len(batch)
        if step % (steps // 10) == steps // 20:
            me = os.getpid()
            found = Path(f"/proc/{me}/task/{me}/children").read_text().split()
            each = ", ".join(f"{_own(int(process)):.0f}" for process in found)
            print(f"{seen:,} pictures: {_own(me):.0f} here, {each} in the workers")


def _own(process: int) -> float:
    """MiB that a process has written and shares with nobody; file pages come and go as the system likes."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    kept = [line.split() for line in lines if line.startswith(("Private_Dirty:", "Swap:"))]
    return sum(int(fields[1]) for fields in kept) / 1024


def _touch(names: object, order: np.ndarray, told: object) -> None:
    before = _own(os.getpid())
    for i in order:
        names[int(i)]  # type: ignore[index]
    told.put(_own(os.getpid()) - before)  # type: ignore[attr-defined]


def memory(files: int, workers: int) -> None:
    """What each worker has of its own once it has drawn a tenth of the list, at random."""

    def name(i: int) -> str:
        return f"person{i // 100:07d}/{i % 100:03d}.jpg"

    context = multiprocessing.get_context("fork")
    ways = {
        "Files": lambda: Files(map(name, range(files))).names,
        "a list of str": lambda: [*map(name, range(files))],
    }
    for words, make in ways.items():
        before = _own(os.getpid())
        names = make()
        held = _own(os.getpid()) - before
        told = context.Queue()
        orders = [np.random.default_rng(w).choice(files, files // 10, replace=False) for w in range(workers)]
        processes = [context.Process(target=_touch, args=(names, order, told)) for order in orders]
        for process in processes:
            process.start()
        own = [told.get() for _ in processes]
        for process in processes:
            process.join()
        print(f"{words}: {files:,} names take {held:,.0f} MiB, and {max(own):,.0f} MiB more in each worker")
        del names


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        memory(10_000_000, options.workers)
    elif options.parts:
        parts(options.root)
    elif options.watch:
        watch(options.root, options.workers)
    elif options.train:
        training(options.root, options.workers, options.turns)
    else:
        speed(options.root, options.workers, options.turns)


if __name__ == "__main__":
    main()
