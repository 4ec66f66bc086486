"""IJB-A: ten splits, in each templates compared 1:1 and probes searched 1:N in one gallery.

Klare et al., Pushing the Frontiers of Unconstrained Face Detection and Recognition: IARPA Janus Benchmark A,
CVPR 2015.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError, unknown
from evenface.evaluation.benchmark import Embeddings
from evenface.evaluation.images import ImageSet, digest
from evenface.evaluation.metrics import Reading
from evenface.evaluation.protocols.ijb import measure
from evenface.evaluation.protocols.ijb.nist import CROP, crops, read_templates
from evenface.evaluation.protocols.ijb.pairs import TemplatePairs, read_matches
from evenface.evaluation.protocols.pairs import histogram, tar_rate
from evenface.evaluation.results import Rate, Result
from evenface.evaluation.templates import POOLING, Pooling, Rows, Templates

FARS: Final = (1e-2, 1e-3, 1e-1)
"""The one that papers quote first."""
RANKS: Final = (1, 5, 10)
FPIRS: Final = (1e-1, 1e-2)
SPLITS: Final = range(1, 11)


@dataclass(frozen=True, eq=False)
class Verification:
    """The 1:1 protocol of a split."""

    templates: Templates
    pairs: TemplatePairs


@dataclass(frozen=True, eq=False)
class Identification:
    """The 1:N protocol of a split. Gallery and probes are apart: an id may stand in both."""

    gallery: Templates
    gallery_subjects: NDArray[np.int64]
    """(G,)."""
    probes: Templates
    probe_subjects: NDArray[np.int64]
    """(P,)."""


def ijba(root: Path, pooling: Pooling = "plain") -> "Ijba":
    """IJB-A, of NIST's lists and the user's aligned crops.

    Args:
        root: holds `IJB-A_11_sets/split1/verify_metadata_1.csv` and `verify_comparisons_1.csv`,
            `IJB-A_1N_sets/split1/search_gallery_1.csv` and `search_probe_1.csv`, and so on to split 10; or
            `split1` and so on themselves. The crops are in `crops`, 112x112 on the template, named as
            `ijb.nist.read_templates` says.
        pooling: how much a face counts in its template, "plain" or "norm".

    Without the 1:1 or the 1:N lists the other protocol is measured, and the conventions say what lacks.

    Raises:
        UserError: lists of both protocols are missing, or some of one, or one is broken: file, line and cure.
    """
    if pooling not in ("plain", "norm"):  # the lists have no detector scores
        raise unknown("ijba.pooling", pooling, ("plain", "norm"))
    compared = _files(root, "IJB-A_11_sets", "verify_metadata", "verify_comparisons")
    searched = _files(root, "IJB-A_1N_sets", "search_gallery", "search_probe")
    if not compared and not searched:
        raise UserError(
            f"{root}: has neither split1/verify_metadata_1.csv nor split1/search_gallery_1.csv; unpack there"
        )
    pictures: dict[str, int] = {}
    verifications, identifications = [], []
    for metadata, comparisons in compared:
        templates, subjects = read_templates([metadata], pictures)
        verifications.append(Verification(templates, read_matches(comparisons, templates.ids, subjects)))
    for gallery, probes in searched:
        split = Identification(*read_templates([gallery], pictures), *read_templates([probes], pictures))
        measure.check_mates(gallery, split.gallery_subjects, split.probe_subjects)
        identifications.append(split)
    said = {"crop": CROP, "pooling": POOLING[pooling], "folds": f"{len(SPLITS)} splits, population sd"}
    if not (compared and searched):
        said["left_out"] = f"{'1:N' if compared else '1:1'}, as its lists are missing"
    sources = [path for pair in (*compared, *searched) for path in pair]
    return Ijba(
        "IJB-A", crops(root / "crops", pictures), verifications, identifications, pooling, said, sources
    )


def _files(root: Path, folder: str, *kinds: str) -> list[list[Path]]:
    """For each split a file of each kind; none at all where there is no file of any kind and split."""
    base = root / folder if (root / folder).is_dir() else root
    files = [[base / f"split{n}" / f"{kind}_{n}.csv" for kind in kinds] for n in SPLITS]
    absent = [path for pair in files for path in pair if not path.is_file()]
    if len(absent) == len(kinds) * len(SPLITS):
        return []
    if absent:
        raise UserError(f"{absent[0]}: missing, but IJB-A has {len(SPLITS)} splits; unpack all of its lists")
    return files


@dataclass(frozen=True, eq=False)
class Ijba:
    """IJB-A: both protocols of every split, on the same faces."""

    name: str
    """As printed."""
    images: ImageSet
    """The M faces of all splits, each once."""
    verifications: Sequence[Verification]
    """One a split; none where the 1:1 lists are missing."""
    identifications: Sequence[Identification]
    """One a split; none where the 1:N lists are missing."""
    pooling: Pooling
    conventions: dict[str, str]
    """The crop rule, how faces are pooled, what is left out and why."""
    sources: Sequence[Path]
    """The lists."""

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of `sources`: of each the file name, the size and the bytes."""
        return digest(self.sources)

    def score(self, embeddings: Embeddings, reading: Reading = "conservative") -> list[Result]:
        """The 1:1 and the 1:N result, those of them whose lists are there: means over the splits.

        Raises:
            UserError: as `Benchmark.score`.
        """
        if len(embeddings) != len(self.images):
            raise UserError(f"{self.name}: {len(embeddings)} embeddings for {len(self.images)} pictures")
        results = [self._verified(embeddings, reading)] if self.verifications else []
        return [*results, self._identified(embeddings)] if self.identifications else results

    def _pool(self, templates: Templates, embeddings: Embeddings) -> Rows:
        return templates.pool(embeddings, self.pooling, names=self.images.names)

    def _verified(self, embeddings: Embeddings, reading: Reading) -> Result:
        found = [
            measure.verify(self._pool(split.templates, embeddings), split.pairs)
            for split in self.verifications
        ]
        rates = [[tar_rate(curve, far, reading) for far in FARS] for _, curve in found]
        first, (scores, curve) = self.verifications[0], found[0]
        return Result(
            protocol=f"{self.name} 1:1",
            rates=measure.average(rates, "splits", deviation=True),
            counts={
                "genuine pairs": sum(curve.genuine for _, curve in found),
                "impostor pairs": sum(curve.impostors for _, curve in found),
                "pictures": len(self.images),
            },
            conventions={
                **self.conventions,
                **measure.VERIFIED,
                "tar_reading": reading,
                "curves": "of split 1",
            },
            sha256=self.sha256,
            roc=curve,
            histogram=histogram(scores, first.pairs.same),
            hardest=measure.hardest(scores, first.pairs, first.templates, self.images.names),
            more=_by_split(rates),
        )

    def _identified(self, embeddings: Embeddings) -> Result:
        found = [
            measure.search(
                self._pool(split.gallery, embeddings),
                split.gallery_subjects,
                self._pool(split.probes, embeddings),
                split.probe_subjects,
                RANKS,
                FPIRS,
            )
            for split in self.identifications
        ]
        rates = [one.rates for one in found]
        return Result(
            protocol=f"{self.name} 1:N",
            rates=measure.average(rates, "splits", deviation=True),
            counts={
                "mated probes": sum(one.open_set.mated for one in found),
                "non-mated probes": sum(one.open_set.nonmated for one in found),
                "gallery templates": sum(one.templates for one in found),
                "pictures": len(self.images),
            },
            conventions={**self.conventions, **measure.SEARCHED, "curves": "of split 1"},
            sha256=self.sha256,
            cmc=found[0].cmc,
            open_set=found[0].open_set,
            more=_by_split(rates),
        )


def _by_split(each: Sequence[Sequence[Rate]]) -> dict[str, Any]:
    """The figures of every split, as plain JSON types."""
    return {
        "splits": {
            one[0].key: [measure.number(rate.value) for rate in one] for one in zip(*each, strict=True)
        }
    }
