"""Time and memory of scoring IJB-C at full size, on made-up lists and embeddings.

    python benchmarks/ijb.py FOLDER [--scale 0.1]

writes a set of IJB-C's numbers into FOLDER (once, 1.3 GB: 3,531 subjects, 23,124 templates, 469,375 faces,
15,658,489 pairs, 512 dimensions), then reads, pools, compares and searches it with evenface. In the same run
the usual ways are timed on a part of it; printed is the ratio of processor time for each line, face or pair.
"""

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from evenface.evaluation.evaluate import evaluate_stored
from evenface.evaluation.metrics import roc
from evenface.evaluation.metrics.counted import RocCounter
from evenface.evaluation.protocols.ijb import ijb, measure
from evenface.evaluation.protocols.ijb.pairs import read_pairs
from evenface.evaluation.search import pair_scores

SUBJECTS, GALLERY_1, PROBES, FACES, PAIRS, GENUINE = 3531, 1772, 19_593, 469_375, 15_658_489, 19_557
SIZE = 512


def write_set(root: Path, scale: float) -> None:
    """Lists and embeddings of the set's numbers; faces, subjects and pairs shrink with `scale`."""
    rng = np.random.default_rng(0)
    people, first_gallery, probes, faces = (
        max(4, round(n * scale)) for n in (SUBJECTS, GALLERY_1, PROBES, FACES)
    )
    meta, stored = root / "meta", root / "embeddings"
    meta.mkdir(parents=True)
    stored.mkdir()
    templates = people + probes
    ids = np.sort(rng.choice(int(188_000 * max(scale, 0.01)), templates, replace=False)) + 1
    subject = np.append(np.arange(people), rng.integers(0, people, probes))
    template = np.sort(np.append(np.arange(templates), rng.integers(people, templates, faces - templates)))
    medium = np.cumsum(rng.random(faces) < 0.3)  # runs of three faces on average are a video

    names = [f"{i + 1}.jpg" for i in range(faces)]
    rows = zip(names, ids[template].tolist(), medium.tolist(), strict=True)
    (meta / "ijbc_face_tid_mid.txt").write_text("".join(f"{a} {b} {c}\n" for a, b, c in rows))
    points = rng.uniform(20, 200, (faces, 10)).round(3).tolist()
    scores = rng.uniform(0.3, 1, faces).round(6).tolist()
    (meta / "ijbc_name_5pts_score.txt").write_text(
        "".join(f"{n} {' '.join(map(str, p))} {s}\n" for n, p, s in zip(names, points, scores, strict=True))
    )
    for kind, low, high in (
        ("gallery_G1", 0, first_gallery),
        ("gallery_G2", first_gallery, people),
        ("probe_mixed", people, templates),
    ):
        chosen = template[(template >= low) & (template < high)].tolist()
        lines = "".join(f"{ids[t]},{subject[t]},img/{t}.jpg,1,2,3,4,5\n" for t in chosen)
        (meta / f"ijbc_1N_{kind}.csv").write_text(
            "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT\n" + lines
        )
    # A pair with the mate for all but a few probes, and as many impostor pairs for each gallery template.
    genuine, all_pairs = round(GENUINE * scale), round(PAIRS * scale * scale)
    left_out = set(rng.permutation(probes)[: probes - genuine].tolist())
    each = np.diff(np.linspace(0, all_pairs - genuine, people + 1).round().astype(int))
    with (meta / "ijbc_template_pair_label.txt").open("w") as file:
        for one, count in enumerate(each.tolist()):
            is_mate = subject[people:] == one
            mates = [place for place in np.flatnonzero(is_mate).tolist() if place not in left_out]
            others = rng.choice(np.flatnonzero(~is_mate), count, replace=False).tolist()
            rows = sorted([(place, 1) for place in mates] + [(place, 0) for place in others])
            file.writelines(f"{ids[one]} {ids[people + place]} {label}\n" for place, label in rows)
    centres = rng.standard_normal((people, SIZE), dtype=np.float32)
    table = np.lib.format.open_memmap(stored / "ijb-c.npy", "w+", np.float32, (faces, SIZE))
    for begin in range(0, faces, 16_384):
        part = subject[template[begin : begin + 16_384]]
        noise = rng.standard_normal((len(part), SIZE), dtype=np.float32)
        table[begin : begin + 16_384] = centres[part] + 3 * noise
    table.flush()
    (stored / "ijb-c.txt").write_text("".join(f"{name}\n" for name in names))


class Memory:
    """The most memory of the process's own, mapped files not counted, sampled 50 times a second."""

    def __init__(self) -> None:
        self.most = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            status = Path("/proc/self/status").read_text()
            self.most = max(self.most, int(status.split("RssAnon:")[1].split()[0]))
            time.sleep(0.02)


@contextmanager
def measured(memory: Memory, what: str) -> Iterator[None]:
    memory.most, begin, busy = 0, time.perf_counter(), time.process_time()
    yield
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    time.sleep(0.05)
    print(f"{what:46} {seconds:7.2f} s, of all cores {busy:6.2f} s, peak {memory.most / 2**20:5.2f} GiB")


def rate(work: Callable[[], Any], things: int) -> float:
    """Seconds of all cores for each of so many things, the least of three runs."""
    taken = []
    for _ in range(3):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return min(taken) / things


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="of faces, subjects and templates")
    options = parser.parse_args()
    root: Path = options.folder
    if not (root / "embeddings" / "ijb-c.txt").is_file():
        write_set(root, options.scale)
    memory = Memory()

    with measured(memory, "all lists"):
        benchmark = ijb(root, "ijbc")
    lists = benchmark.lists
    templates, pairs, probes = lists.templates, lists.pairs, lists.probes
    assert pairs is not None and probes is not None
    rows = np.load(root / "embeddings" / "ijb-c.npy", mmap_mode="r")
    print(f"{len(rows):,} faces, {len(templates):,} templates, {len(pairs.same):,} pairs, {SIZE} dimensions")

    labels = root / "meta" / "ijbc_template_pair_label.txt"
    with measured(memory, "  of which pairs"):
        read_pairs(labels, templates.ids)
    with measured(memory, "pooling"):
        unit = templates.pool(rows)
    with measured(memory, "1:1, all pairs compared and counted"):
        scores, _ = measure.verify(unit, pairs)
    with measured(memory, "1:N, both galleries"):
        for gallery in lists.galleries:
            measure.search(
                unit[gallery.templates],
                gallery.subjects,
                unit[probes.templates],
                probes.subjects,
                [1],
                [0.01],
            )
    with measured(memory, "stored embeddings to both results"):
        results = evaluate_stored(root / "embeddings", benchmark)
    with measured(memory, "lists and stored embeddings to both results"):
        results = evaluate_stored(root / "embeddings", ijb(root, "ijbc"))
    for result in results:
        print("  " + "\n  ".join(str(result).splitlines()))

    print("the usual ways, on a part, for each line, face or pair:")
    part = 200_000
    few, first, second = min(part, len(rows)) // 20, pairs.first[:part], pairs.second[:part]
    compare = rate(
        lambda: pair_scores(unit, pairs.first.astype(np.int64), pairs.second.astype(np.int64)), len(scores)
    )

    def count() -> None:
        counter = RocCounter(scores[pairs.same])
        counter.add(scores[~pairs.same])
        counter.roc()

    ways = {
        "pairs read as text, then made integers": (
            rate(lambda: np.loadtxt(labels, dtype=str, max_rows=part).astype(int), len(first)),
            rate(lambda: read_pairs(labels, templates.ids), len(scores)),
        ),
        "np.where for each template and medium": (
            rate(lambda: _where_pool(rows, templates.template, templates.medium, few), few),
            rate(lambda: templates.pool(rows), len(rows)),
        ),
        "a loop over pairs, a product of two rows each": (
            rate(lambda: [unit[a] @ unit[b] for a, b in zip(first, second, strict=True)], len(first)),
            compare,
        ),
        "rows gathered, einsum": (
            rate(lambda: _gathered(unit, first, second), len(first)),
            compare,
        ),
        "one sort of all scores for the ROC": (
            rate(lambda: roc(scores, pairs.same), len(scores)),
            rate(count, len(scores)),
        ),
    }
    for what, (usual, own) in ways.items():
        print(f"  {what:56} {1e6 * usual:8.3f} µs, evenface {1e6 * own:.3f} µs: ratio {usual / own:.1f}")
    print(json.dumps({what: round(usual / own, 2) for what, (usual, own) in ways.items()}))


def _gathered(unit: Any, first: Any, second: Any) -> None:
    for begin in range(0, len(first), 10_000):
        a, b = first[begin : begin + 10_000], second[begin : begin + 10_000]
        np.einsum("nd,nd->n", unit[a], unit[b])


def _where_pool(rows: Any, template: Any, medium: Any, faces: int) -> None:
    """As public scripts pool, for the templates of the first so many faces."""
    for one in np.unique(template[:faces]):
        places = np.where(template == one)[0]
        block = np.asarray(rows[places])
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        media = medium[places]
        means = [block[np.where(media == m)[0]].mean(axis=0) for m in np.unique(media)]
        total = np.sum(means, axis=0)
        total /= np.linalg.norm(total)


if __name__ == "__main__":
    main()
