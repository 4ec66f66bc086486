"""Identification, 1:N: probes are searched in a gallery, which has their mates or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import nan, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.benchmark import Embeddings
from evenface.evaluation.images import ImageSet
from evenface.evaluation.metrics import Cmc, OpenSet, Reading, cmc, open_set, read_tpir
from evenface.evaluation.results import Rate, Result, power
from evenface.evaluation.templates import means, unit_rows

DISTRACTOR = -1
"""The person of a picture in a gallery that nobody's probe shows."""
FPIRS = (1e-1, 1e-2)
"""The FPIRs at which an open set is read."""

_PROBES, _GALLERY = 512, 8192  # cosines at once
_DECIMALS = 8


@dataclass(frozen=True, eq=False)
class Search:
    """One gallery, and the probes that are searched in it; pictures by their place in the set."""

    name: str
    """As printed, such as "LFW 1:N closed set"."""
    gallery: NDArray[np.int64]
    """(N,) pictures."""
    probes: NDArray[np.int64]
    """(P,) pictures, none of them in the gallery; without a mate where the gallery lacks the person."""
    conventions: dict[str, str]
    """How the two were chosen, in words."""
    pooled: bool = True
    """Whether a person's gallery pictures make one template, or each is a candidate of its own."""
    ranks: tuple[int, ...] = (1, 5, 10)
    """The ranks that are printed, 100 at most."""
    average_precision: bool = False
    """Whether mAP is printed too."""


@dataclass(frozen=True, eq=False)
class IdentificationSet:
    """M pictures of known people, and one or more searches among them."""

    name: str
    """As printed, such as "TinyFace"."""
    images: ImageSet
    """The M pictures."""
    people: NDArray[np.int64]
    """(M,) the person of each picture, 0 or more, or DISTRACTOR."""
    searches: Sequence[Search]
    """Each gives a result."""
    conventions: dict[str, str]
    """What holds for all searches, in words: the crop rule."""
    sources: Sequence[Path]
    """Every list file that decides who is in the set."""

    def __post_init__(self) -> None:
        for search in self.searches:
            if not np.isin(self.people[search.probes], self._known(search)).any():
                raise UserError(f"{search.name}: no probe shows a person of the gallery, so there is no rank")

    def score(self, embeddings: Embeddings, reading: Reading = "conservative") -> list[Result]:
        """CMC and, where there are probes without a mate, the DIR curve of each search.

        A template is the mean of its pictures' normalised embeddings. `reading` is TAR's and changes nothing.

        Raises:
            UserError: as `Benchmark.score`.
        """
        if len(embeddings) != len(self.images):
            raise UserError(f"{self.name}: {len(embeddings)} embeddings for {len(self.images)} pictures")
        unit = unit_rows(embeddings, self.images.names)
        return [self._searched(search, unit) for search in self.searches]

    def sha256(self, *lists: NDArray[np.int64]) -> str:
        """Hexadecimal digest of the pictures' names and people, and of lists of pictures."""
        found = sha256("\n".join(self.images.names).encode("utf-8", "surrogateescape"))
        for numbers in (self.people, *lists):
            found.update(f"\n{len(numbers)}\n".encode())
            found.update(numbers.astype("<i8").tobytes())
        return found.hexdigest()

    def _known(self, search: Search) -> NDArray[np.int64]:
        """The people of the gallery, each once."""
        return np.setdiff1d(self.people[search.gallery], [DISTRACTOR])

    def _searched(self, search: Search, unit: Embeddings) -> Result:
        people, templates = self.people[search.gallery], unit[search.gallery]
        distractors = people == DISTRACTOR
        if search.pooled:
            apart = np.where(distractors, DISTRACTOR - np.arange(len(people)), people)
            people, template = np.unique(apart, return_inverse=True)
            templates = unit_rows(means(templates, template, len(people)))
        found = rank_mates(unit[search.probes], self.people[search.probes], templates, people)
        curve = cmc(found.ranks)
        opened = found.open_set()
        rates = [_rank(curve, rank, len(templates)) for rank in search.ranks]
        if search.average_precision:
            rates.append(_mean_average_precision(found.average_precisions()))
        said = {"score": "cosine", "ties": "a tie between the mate and another is a miss"}
        if opened is not None:
            rates += [tpir_rate(opened, fpir) for fpir in FPIRS]
            said["tpir_reading"] = "mate at rank 1; the largest TPIR whose FPIR does not exceed the target"
        return Result(
            protocol=search.name,
            rates=tuple(rates),
            counts={
                "mated probes": curve.probes,
                "non-mated probes": len(search.probes) - curve.probes,
                "gallery people": len(self._known(search)),
                "gallery pictures": int((~distractors).sum()),
                **({"distractors": int(distractors.sum())} if distractors.any() else {}),
            },
            conventions={**self.conventions, **search.conventions, **said},
            sha256=self.sha256(search.gallery, search.probes),
            cmc=curve,
            open_set=opened,
        )


@dataclass(frozen=True, eq=False)
class Ranking:
    """What P probes found in a gallery; Q pairs of a probe and a mate of it, sorted by probe."""

    probe: NDArray[np.int64]
    """(Q,) the probe of each pair."""
    score: NDArray[np.float64]
    """(Q,) the mate's cosine."""
    ahead: NDArray[np.int64]
    """(Q,) how many others, not mates, score as high or higher."""
    other: NDArray[np.float64]
    """(P,) the best cosine that is not a mate's; -inf where all the gallery are mates."""

    @property
    def _first(self) -> NDArray[np.int64]:
        """Where each mated probe's pairs begin."""
        return np.asarray(np.flatnonzero(np.diff(self.probe, prepend=-1)), dtype=np.int64)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """The rank of the best mate of each mated probe, 1 is first."""
        return np.asarray(1 + np.minimum.reduceat(self.ahead, self._first))

    def open_set(self) -> OpenSet | None:
        """The DIR curve; None where every probe has a mate."""
        mated = self.probe[self._first]
        alone = np.delete(self.other, mated)
        if not len(alone):
            return None
        best = np.maximum(np.maximum.reduceat(self.score, self._first), self.other[mated])
        return open_set(best, self.ranks == 1, alone)

    def average_precisions(self) -> NDArray[np.float64]:
        """The area under each mated probe's precision over recall, by trapezoids from (0, 1).

        The rule of Oxford Buildings (Philbin et al., CVPR 2007), which TinyFace's own script follows: a mate
        at place r, the k-th mate in the list, adds the mean of k / r and (k - 1) / (r - 1).
        """
        first = self._first
        count = np.diff(np.append(first, len(self.probe)))
        ahead = self.ahead[np.lexsort((self.ahead, self.probe))]
        k = 1 + np.arange(len(ahead)) - np.repeat(first, count)
        place = ahead + k
        before = np.where(place == 1, 1.0, (k - 1) / np.maximum(place - 1, 1))
        return np.asarray(np.add.reduceat((k / place + before) / 2, first) / count)


def rank_mates(
    probes: NDArray[np.float32],
    probe_people: NDArray[np.int64],
    gallery: NDArray[np.float32],
    gallery_people: NDArray[np.int64],
) -> Ranking:
    """Search normalised probes (P, D) in a normalised gallery (G, D); DISTRACTOR is nobody's mate.

    The P x G cosines are never held at once. They are summed in float64 and rounded to 8 decimals, so that
    equal rows tie wherever they stand.
    """
    probe, mate = _mates(probe_people, gallery_people)
    score = np.empty(len(probe))
    for at in range(0, len(probe), _GALLERY):
        pairs = slice(at, at + _GALLERY)
        rows, mates = probes[probe[pairs]], gallery[mate[pairs]]
        score[pairs] = np.round(np.einsum("nd,nd->n", rows, mates, dtype=np.float64), _DECIMALS)
    ahead, other = np.zeros(len(probe), np.int64), np.full(len(probes), -np.inf)
    for left in range(0, len(gallery), _GALLERY):
        columns = gallery[left : left + _GALLERY].astype(np.float64).T
        for top in range(0, len(probes), _PROBES):
            cosine = probes[top : top + _PROBES].astype(np.float64) @ columns
            np.round(cosine, _DECIMALS, out=cosine)
            start, stop = np.searchsorted(probe, [top, top + _PROBES])
            row, column = probe[start:stop] - top, mate[start:stop] - left
            here = (column >= 0) & (column < cosine.shape[1])
            cosine[row[here], column[here]] = -np.inf
            for at in range(start, stop, _PROBES):
                pairs = slice(at, min(at + _PROBES, stop))
                ahead[pairs] += (cosine[probe[pairs] - top] >= score[pairs, None]).sum(axis=1)
            block = other[top : top + _PROBES]
            np.maximum(block, cosine.max(axis=1), out=block)
    return Ranking(probe, score, ahead, other)


def _mates(probes: NDArray[np.int64], gallery: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """All pairs (probe, gallery row) of one person, sorted by probe."""
    order = np.argsort(gallery, kind="stable")
    low = np.searchsorted(gallery[order], probes, "left")
    count = np.searchsorted(gallery[order], probes, "right") - low
    count[probes == DISTRACTOR] = 0
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(np.arange(len(probes)), count), order[np.repeat(low, count) + within]


def tpir_rate(curve: OpenSet, fpir: float) -> Rate:
    """`read_tpir` as a `Rate`."""
    at = read_tpir(curve, fpir)
    key = power(fpir)
    return Rate(
        f"tpir@fpir={key}",
        f"TPIR at FPIR {key}",
        at.tpir,
        interval=at.interval,
        threshold=at.threshold,
        note=at.note,
    )


def _rank(curve: Cmc, rank: int, candidates: int) -> Rate:
    note = f"the gallery has {candidates} candidates" if candidates <= rank else ""
    return Rate(f"rank{rank}", f"rank-{rank}", curve.at(rank), interval=curve.interval(rank), note=note)


def _mean_average_precision(each: NDArray[np.float64]) -> Rate:
    """Its 95 % interval is the normal one of a mean, the probes taken as independent."""
    mean = float(each.mean())
    half = 1.96 * float(each.std(ddof=1)) / sqrt(len(each)) if len(each) > 1 else nan
    low, high = np.clip([mean - half, mean + half], 0, 1)
    return Rate("map", "mAP", mean, interval=(float(low), float(high)))
