"""MegaFace challenge 1: probes of FaceScrub among a million distractors.

Kemelmacher-Shlizerman, Seitz, Miller and Brossard, The MegaFace Benchmark, CVPR 2016.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.benchmark import Embeddings
from evenface.evaluation.images import ImageSet, digest
from evenface.evaluation.metrics import Cmc, Reading, Roc, cmc
from evenface.evaluation.protocols.megaface.files import Crops
from evenface.evaluation.protocols.megaface.lists import (
    DistractorList,
    locate,
    read_distractors,
    read_noises,
    read_probes,
)
from evenface.evaluation.protocols.megaface.ranks import (
    KEPT,
    RANKS,
    Mates,
    ahead,
    chains,
    mates,
    strict_roc,
)
from evenface.evaluation.protocols.pairs import HARDEST, tar_rate, template_crop
from evenface.evaluation.results import HardPair, Rate, Result, power
from evenface.evaluation.search import Pairs, TopScores, exact_scores, rounding
from evenface.evaluation.templates import unit_rows
from evenface.faces import read_image

FAR = 1e-6
"""The FAR at which verification is read."""

Noise = Literal["raw", "drop", "insightface"]
"""What becomes of the pictures in InsightFace's noise lists.

- raw: they stay, as in the development kit.
- drop: noisy probes and noisy distractors are left out.
- insightface: as its remove_noises.py does. A noisy probe's embedding becomes the centre of its person, the
  sum of the normalised embeddings of the person's clean probes. A noisy distractor's is moved out of reach
  (one more coordinate of 100, where all others have 0), so that it still counts as a distractor and as an
  impostor pair but never outranks a mate nor passes. The script also shakes each value of a centre by up to
  0.001, which turns it by about 0.001 radian; that is left out here, so that a score can be repeated.
"""
NOISE: Final[dict[Noise, str]] = {
    "raw": "noise lists not used",
    "drop": "noisy probes and distractors left out",
    "insightface": "noisy probes are class centres, noisy distractors out of reach, as InsightFace",
}
"""Each `Noise` in words, as results say it."""

_SLACK = 1024  # impostor pairs kept beyond those that may pass: within rounding, others could stand there


def megaface(
    root: Path,
    noise: Noise = "raw",
    lists: Path | None = None,
    noises: Path | None = None,
    sets: Collection[int] | None = None,
) -> "MegaFace":
    """Challenge 1 with FaceScrub, on pictures that are aligned to the 112x112 template.

    Args:
        root: holds `facescrub/Name/Name_1.jpg` and `megaface/375/37531198@N00/4174611825_0.jpg`; a picture
            may be .jpg or .png whatever the list says, and FaceScrub's may have spaces for underscores.
        noise: what becomes of mislabelled pictures (`Noise`).
        lists: the development kit's templatelists, with `facescrub_features_list.json` and
            `megaface_features_list.json_1000000_1` and so on; by default `root/templatelists`.
        noises: holds `facescrub_noises.txt` and `megaface_noises.txt`; by default `root`. For "raw" they are
            not read.
        sets: the numbers of the random sets of distractors; by default all that there are lists of. Figures
            of one size are averaged over them.

    Raises:
        UserError: a missing or broken list, with its cure; no two probes of one person.
    """
    if noise not in get_args(Noise):
        raise UserError(f"megaface.noise: {noise!r} is none of {', '.join(get_args(Noise))}")
    folder, beside = lists or root / "templatelists", noises or root
    sources = [folder / "facescrub_features_list.json"]
    probes = read_probes(sources[0])
    distractors, found = read_distractors(folder, sets)
    sources += [one.path for one in found]
    names = probes + distractors
    noisy = np.zeros(len(names), dtype=np.bool_)
    if noise != "raw":
        sources += [beside / "facescrub_noises.txt", beside / "megaface_noises.txt"]
        noisy = np.concatenate([read_noises(sources[-2], probes), read_noises(sources[-1], distractors)])
    numbers = sorted({one.number for one in found})
    return MegaFace(
        images=Crops(root, names, partial(_crop, root, names)),
        people=np.unique([name.split("/")[1] for name in probes], return_inverse=True)[1],
        lists=found,
        noise=noise,
        noisy=noisy,
        conventions={
            "crop": "pictures already on the template",
            "noise": NOISE[noise],
            "distractor sets": ", ".join(map(str, numbers)),
        },
        sources=sources,
    )


def _crop(root: Path, names: Sequence[str], index: int) -> NDArray[np.uint8]:
    path = locate(root, names[index])
    return template_crop(read_image(path), path)


@dataclass(frozen=True, eq=False)
class MegaFace:
    """P probes of known people and N distractors, in lists of several sizes."""

    images: ImageSet
    """The P probes, then the N distractors."""
    people: NDArray[np.int64]
    """(P,) the person of each probe."""
    lists: Sequence[DistractorList]
    noise: Noise
    noisy: NDArray[np.bool_]
    """(P + N,) the pictures that `noise` is about."""
    conventions: dict[str, str]
    sources: Sequence[Path]
    name: str = "MegaFace"

    def __post_init__(self) -> None:
        kept = self.people[self._kept]
        if len(np.unique(kept)) == len(kept):
            raise UserError(f"{self.sources[0]}: no person has two probes, so there is no mate to find")

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of `sources`."""
        return digest(self.sources)

    @property
    def _kept(self) -> NDArray[np.int64]:
        """The probes that take part."""
        noisy = self.noisy[: len(self.people)]
        return np.flatnonzero(~noisy) if self.noise == "drop" else np.arange(len(noisy))

    def score(self, embeddings: Embeddings, reading: Reading = "conservative") -> list[Result]:
        """CMC for each size of distractor list, and TAR at FAR 1e-6 with the largest lists.

        For each ordered pair of probes of one person, the rank is 1 + the distractors that score at least as
        high with the first as the second does: a tie is a miss. Verification compares all pairs of probes of
        one person, and all probes with all distractors. All comparisons are those of cosines of float32 rows
        summed in float64 (`exact_scores`).

        Raises:
            UserError: as `Benchmark.score`; noise "insightface" where a person has no clean probe.
        """
        if len(embeddings) != len(self.images):
            raise UserError(f"{self.name}: {len(embeddings)} embeddings for {len(self.images)} pictures")
        shown, raw = self._kept, self._probes(embeddings)
        unit = unit_rows(raw, self._names(shown))
        count = len(self.people)
        distractors, names = embeddings[count:], self.images.names[count:]
        exact, close = partial(exact_scores, unit, distractors), rounding(unit.shape[1])
        pairs = mates(unit, raw, self.people[shown])
        least = (pairs.lowest(len(unit)) - close).astype(np.float32)
        largest = max(one.size for one in self.lists)
        curves: dict[DistractorList, Cmc] = {}
        verified: list[tuple[Roc, Pairs]] = []
        for chain in chains(self.lists):
            last = chain[-1][0]
            impostors = len(unit) * self._counted(last)
            high = int(FAR * impostors) + _SLACK if last.size == largest else 0
            top = TopScores(unit, KEPT, high, least)
            for one, added in chain:
                top.add(distractors, added[~self.noisy[count + added]], names)
                curves[one] = cmc(1 + ahead(top, pairs, exact, close), RANKS)
            if last.size == largest:
                verified.append((strict_roc(top, pairs, exact, close, impostors), top.highest()))
        rates = [_rank1(size, curves) for size in sorted({one.size for one in self.lists}, reverse=True)]
        of_largest = [one for one in self.lists if one.size == largest]
        return [
            Result(
                protocol=self.name,
                rates=(*rates, _mean([tar_rate(curve, FAR, reading) for curve, _ in verified])),
                counts={
                    "probes": len(unit),
                    "people": len(np.unique(self.people[shown])),
                    "searches": len(pairs.probe),
                    "genuine pairs": len(pairs.probe) // 2,
                    "impostor pairs": verified[0][0].impostors,
                    "distractors": self._counted(of_largest[0]),
                },
                conventions={
                    **self.conventions,
                    "score": "cosine",
                    "ties": "a distractor that ties with the mate outranks it",
                    "verification": "all pairs of probes of one person; all probes with all distractors",
                    "tar_reading": reading,
                },
                sha256=self.sha256,
                cmc=_together([curves[one] for one in of_largest]),
                hardest=self._hardest(pairs, verified[0][1], shown),
                more={
                    "distractor_lists": [
                        {
                            "size": one.size,
                            "set": one.number,
                            "distractors": self._counted(one),
                            "cmc": curves[one].rates.tolist(),
                        }
                        for one in self.lists
                    ]
                },
            )
        ]

    def _counted(self, one: DistractorList) -> int:
        """The distractors of a list that count."""
        left_out = self.noisy[len(self.people) + one.index].sum() if self.noise == "drop" else 0
        return one.size - int(left_out)

    def _probes(self, embeddings: Embeddings) -> Embeddings:
        """The raw embeddings of the probes that take part, after what `noise` does to them."""
        probes = np.array(embeddings[: len(self.people)], dtype=np.float32)
        if self.noise == "insightface":
            noisy = self.noisy[: len(probes)]
            for probe in np.flatnonzero(noisy):
                clean = np.flatnonzero((self.people == self.people[probe]) & ~noisy)
                if not len(clean):
                    raise UserError(
                        f"{self.images.names[int(probe)]}: all probes of this person are in the noise list"
                    )
                probes[probe] = unit_rows(probes[clean], self._names(clean)).sum(axis=0)
        return probes[self._kept]

    def _names(self, pictures: NDArray[np.int64]) -> list[str]:
        return [self.images.names[i] for i in pictures.tolist()]

    def _hardest(self, pairs: Mates, highest: Pairs, shown: NDArray[np.int64]) -> tuple[HardPair, ...]:
        once = np.flatnonzero(pairs.once)
        lowest = once[np.argsort(pairs.score[once], kind="stable")[:HARDEST]]
        top = np.argsort(-highest.scores, kind="stable")[:HARDEST]
        genuine = pairs.score[lowest], shown[pairs.probe[lowest]], shown[pairs.mate[lowest]]
        impostor = highest.scores[top], shown[highest.probe[top]], len(self.people) + highest.index[top]
        names = self.images.names
        return tuple(
            HardPair(same, float(score), int(a), int(b), (names[int(a)], names[int(b)]))
            for same, columns in ((True, genuine), (False, impostor))
            for score, a, b in zip(*columns, strict=True)
        )


def _rank1(size: int, curves: dict[DistractorList, Cmc]) -> Rate:
    key, label = f"rank1@distractors={power(size)}", f"rank-1 at {size:,} distractors"
    return _mean([Rate(key, label, curve.at(1)) for one, curve in curves.items() if one.size == size])


def _mean(rates: Sequence[Rate]) -> Rate:
    """The one rate, or the mean over the sets of distractors and its deviation."""
    if len(rates) == 1:
        return rates[0]
    values = np.array([rate.value for rate in rates])
    return Rate(
        rates[0].key, rates[0].label, float(values.mean()), deviation=float(values.std()), note=rates[0].note
    )


def _together(curves: Sequence[Cmc]) -> Cmc:
    """The CMC of all sets' searches."""
    return Cmc(np.sum([curve.hits for curve in curves], axis=0), sum(curve.probes for curve in curves))
