"""A page of the report as a tree, and made-up results to put into one."""

from dataclasses import replace
from html.parser import HTMLParser
from math import inf

import numpy as np

from evenface.evaluation.images import Image
from evenface.evaluation.metrics import cmc, open_set, read_eer, read_tpir, roc
from evenface.evaluation.protocols.pairs import histogram, tar_rate
from evenface.evaluation.results import HardPair, PairScores, Rate, Result, power

VOID = {"meta", "br", "img", "wbr", "input", "hr", "link"}


class Page(HTMLParser):
    """A page as a tree that must be well-formed: what is opened is closed, in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]

    def tags(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag == name]

    def table(self, head: str, occurrence: int = 0) -> dict[str, list[str]]:
        """Row's head -> its cells, of a table whose first cell is `head`; "" has the head's own cells."""
        rows = [table for table in self.tables if table[0][0] == head][occurrence]
        return {"": rows[0][1:], **{row[0]: [cell.strip() for cell in row[1:]] for row in rows[1:]}}


def pairs_result(model: str, seed: int = 0, distance: float = 0.35, **other: object) -> Result:
    """900 genuine and 2,000 impostor pairs of 60 people; the first and last hardest ones."""
    rng = np.random.default_rng(1)  # the same pairs for all models
    first = rng.integers(0, 60, 2900)
    people = np.stack([first, (first + rng.integers(1, 60, 2900)) % 60], axis=1)
    same = np.arange(2900) < 900
    people[same, 1] = people[same, 0]
    scores = np.random.default_rng((seed, 2)).normal(np.where(same, distance, 0.0), 0.15).clip(-0.99, 0.99)
    curve = roc(scores, same)
    hardest = [
        HardPair(kind, float(scores[p]), int(p) % 7, int(p) % 5, (f"A_{p}/A_{p}_0001.jpg", f"set/x/{p}.png"))
        for kind, sign in ((True, 1), (False, -1))
        for p in np.flatnonzero(same == kind)[np.argsort(sign * scores[same == kind])[:20]]
    ]
    made = Result(
        protocol="PAIRS",
        rates=(
            Rate("accuracy", "accuracy", 0.9123, deviation=0.0456),
            Rate("eer", "EER", read_eer(curve)),
            *(tar_rate(curve, far) for far in (1e-1, 1e-2, 1e-3, 1e-4)),
            Rate("odd", "odd one", 0.5, threshold=inf, note="nothing may pass"),
        ),
        counts={"genuine pairs": 900, "impostor pairs": 2000},
        conventions={"crop": "by hand", "flip": f"flip of {model}", "tar_reading": "conservative"},
        sha256="5e" * 32,
        pictures="71" * 32,
        model=model,
        roc=curve,
        histogram=histogram(scores, same),
        hardest=tuple(hardest),
        pairs=PairScores(scores, same, people, np.array([0.2, 0.1, 0.3])[np.arange(2900) % 3]),
        more={"folds": {"thresholds": [0.2, None, 0.1, 0.3]}},
    )
    return replace(made, **other)  # type: ignore[arg-type]


def search_result(model: str, seed: int = 0) -> Result:
    rng = np.random.default_rng(seed)
    ranks = rng.geometric(0.6, 4000)
    closed, opened = cmc(ranks), open_set(rng.normal(1.5, 1, 4000), ranks == 1, rng.normal(0, 1, 500))
    rates = [Rate(f"rank{k}", f"rank-{k}", closed.at(k), interval=closed.interval(k)) for k in (1, 5, 10)]
    for fpir in (1e-1, 1e-2, 1e-3):
        at = read_tpir(opened, fpir)
        label = f"TPIR at FPIR {power(fpir)}"
        rates.append(Rate(power(fpir), label, at.tpir, None, at.interval, at.threshold, at.note))
    return Result(
        protocol="SEARCH",
        rates=tuple(rates),
        counts={"mated probes": 4000},
        conventions={"galleries": "searched apart"},
        sha256="ab" * 32,
        model=model,
        cmc=closed,
        open_set=opened,
    )


def crowd_result(model: str) -> Result:
    rates = [
        Rate(f"rank1@distractors=1e{k}", f"rank-1 among 1e{k}", 1 - k / 10, interval=(0.9 - k / 10, 1.0))
        for k in (6, 5, 4)
    ]
    return Result(
        protocol="CROWD", rates=tuple(rates), counts={}, conventions={}, sha256="cd" * 32, model=model
    )


def no_pictures(protocol: str, index: int) -> Image | None:
    return None


def colours(protocol: str, index: int) -> Image | None:
    return np.full((112, 112, 3), (30 * index, 100, 200 - 20 * index), np.uint8)
