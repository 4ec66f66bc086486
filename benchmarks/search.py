"""Time and memory of MegaFace's search and of IJB-C's pairs, beside the bare matrix products and FAISS.

    python benchmarks/search.py

All in one run and one process, on made-up features in a temporary file (2 GB at full size), so the ratios
hold whatever the machine. Memory is the peak of what the process holds itself: not the mapped features, which
the operating system can drop at any time.
"""

import argparse
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evenface.evaluation import search
from evenface.evaluation.images import ImageSet
from evenface.evaluation.protocols.megaface.challenge import MegaFace
from evenface.evaluation.protocols.megaface.lists import DistractorList
from evenface.evaluation.protocols.megaface.ranks import KEPT
from evenface.evaluation.search import pair_scores, top_candidates
from evenface.evaluation.templates import unit_rows

MEGABYTE = 2**20
BLOCK = search._BLOCK


def own_memory() -> int:
    """Bytes that this process holds and that are no file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status has no RssAnon; run this on Linux")


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and the peak in MB above what the process held before."""
    before, peak, done = own_memory(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], own_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = time.perf_counter()
    work()
    seconds = time.perf_counter() - begin
    done.set()
    watcher.join()
    return seconds, max(0, peak[0] - before) / MEGABYTE


def features(path: Path, probes: int, distractors: int, dimension: int, people: np.ndarray) -> np.ndarray:
    """Raw features: people who are alike (cosine about 0.5), then distractors; of any length."""
    rng = np.random.default_rng(0)
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (probes + distractors, dimension))
    centres = rng.standard_normal((people.max() + 1, dimension), dtype=np.float32)
    rows[:probes] = centres[people] + rng.standard_normal((probes, dimension), dtype=np.float32)
    for start in range(probes, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        rng.standard_normal(out=(block := np.empty(part.shape, np.float32)), dtype=np.float32)
        part[:] = block * rng.uniform(1, 30, (len(part), 1)).astype(np.float32)
    rows.flush()
    mapped: np.ndarray = np.load(path, mmap_mode="r")
    return mapped


def bare(unit: np.ndarray, gallery: np.ndarray) -> None:
    """The products alone, of rows as they lie in the file, in the same blocks."""
    room = np.empty((BLOCK, len(unit)), np.float32)
    for start in range(0, len(gallery), BLOCK):
        block = gallery[start : start + BLOCK]
        np.matmul(block, unit.T, out=room[: len(block)])


def faiss_flat(unit: np.ndarray, gallery: np.ndarray) -> None:
    """FAISS's exact index: it needs the whole normalised gallery in memory."""
    import faiss

    index = faiss.IndexFlatIP(gallery.shape[1])
    for start in range(0, len(gallery), BLOCK):
        index.add(unit_rows(gallery[start : start + BLOCK]))
    index.search(unit, KEPT)


def benchmark(probes: int, distractors: int, people: np.ndarray) -> MegaFace:
    """MegaFace with nested lists of 10, 100, ... distractors, without pictures."""
    names = [f"facescrub/{who}/{i}.png" for i, who in enumerate(people)]
    names += [f"megaface/{i // 1000}/{i}@N00/{i}_0.jpg" for i in range(distractors)]
    sizes = sorted({min(10**power, distractors) for power in range(1, 7)})
    lists = [DistractorList(size, 1, np.arange(size, dtype=np.int32), Path(__file__)) for size in sizes]
    return MegaFace(
        images=ImageSet(Path(), names, lambda index: np.empty(0, np.uint8)),
        people=people,
        lists=lists,
        noise="raw",
        noisy=np.zeros(len(names), np.bool_),
        conventions={},
        sources=[Path(__file__)],
    )


def megaface_rows(options: argparse.Namespace, folder: Path) -> None:
    people = np.arange(options.probes) % max(1, options.probes // 44)
    rows = features(folder / "rows.npy", options.probes, options.distractors, options.dimension, people)
    unit, gallery = unit_rows(rows[: options.probes]), rows[options.probes :]
    protocol = benchmark(options.probes, options.distractors, people)
    works: dict[str, Callable[[], object]] = {
        "bare products": lambda: bare(unit, gallery),
        f"top_candidates, {KEPT} a probe": lambda: top_candidates(unit, gallery, KEPT),
        "MegaFace.score: CMC at every size, TAR": lambda: protocol.score(rows),
    }
    try:
        import faiss  # noqa: F401

        works[f"FAISS IndexFlatIP, {KEPT} a probe"] = lambda: faiss_flat(unit, gallery)
    except ImportError:
        print("FAISS is not installed: pip install faiss-cpu")
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(options.repeats):
        for name, work in works.items():
            found.setdefault(name, []).append(measure(work))
    print(f"\n{options.probes:,} probes x {options.distractors:,} distractors x {options.dimension}\n")
    print("| what | seconds | times the bare products | MB above the mapped features |")
    print("|---|---|---|---|")
    base = min(seconds for seconds, _ in found["bare products"])
    for name, runs in found.items():
        seconds, memory = min(s for s, _ in runs), max(m for _, m in runs)
        print(f"| {name} | {seconds:.1f} | {seconds / base:.2f} | {memory:,.0f} |")


def pair_rows(options: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    unit = unit_rows(rng.standard_normal((options.templates, options.dimension), dtype=np.float32))
    enrolled = options.templates * 3531 // 23124  # IJB-C: 3,531 templates against the 19,593 others
    first = rng.integers(0, enrolled, options.pairs)
    second = rng.integers(enrolled, options.templates, options.pairs)

    def gathered() -> None:
        for start in range(0, options.pairs, BLOCK):
            part = slice(start, start + BLOCK)
            np.einsum("nd,nd->n", unit[first[part]], unit[second[part]])

    print(f"\n{options.pairs:,} pairs of {options.templates:,} templates x {options.dimension}\n")
    print("| what | seconds | MB |")
    print("|---|---|---|")
    for name, work in (
        ("pair_scores", lambda: pair_scores(unit, first, second)),
        ("two rows gathered for each pair", gathered),
    ):
        runs = [measure(work) for _ in range(options.repeats)]
        print(f"| {name} | {min(s for s, _ in runs):.1f} | {max(m for _, m in runs):,.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--probes", type=int, default=3530)
    parser.add_argument("--distractors", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--templates", type=int, default=23124, help="of IJB-C")
    parser.add_argument("--pairs", type=int, default=15_658_489, help="of IJB-C")
    parser.add_argument("--repeats", type=int, default=2, help="the fastest run of each counts")
    parser.add_argument("--folder", type=Path, help="where the temporary file goes")
    options = parser.parse_args()
    print(platform.processor() or platform.machine(), "numpy", np.__version__)
    pair_rows(options)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        megaface_rows(options, Path(folder))


if __name__ == "__main__":
    main()
