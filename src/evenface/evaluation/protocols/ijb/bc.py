"""IJB-B and IJB-C: templates compared 1:1, and mixed probes searched 1:N in two galleries.

Whitelam et al., IARPA Janus Benchmark-B Face Dataset, CVPR Workshops 2017.
Maze et al., IARPA Janus Benchmark - C: Face Dataset and Protocol, ICB 2018.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, get_args

import numpy as np

from evenface.errors import UserError, unknown
from evenface.evaluation.benchmark import Embeddings
from evenface.evaluation.images import ImageSet, digest
from evenface.evaluation.metrics import Reading
from evenface.evaluation.protocols.ijb import measure
from evenface.evaluation.protocols.ijb.lists import Lists, Part, insightface_lists, nist_lists
from evenface.evaluation.protocols.ijb.meta import Gallery
from evenface.evaluation.protocols.ijb.pairs import TemplatePairs
from evenface.evaluation.protocols.pairs import histogram, tar_rate
from evenface.evaluation.results import PairScores, Result
from evenface.evaluation.templates import POOLING, Pooling, Rows

FARS: Final = (1e-4, 1e-6, 1e-5, 1e-3, 1e-2, 1e-1)
"""The one that papers quote first."""
RANKS: Final = (1, 5, 10)
FPIRS: Final = (1e-1, 1e-2)

_NAME: Final[dict[str, str]] = {"ijbb": "IJB-B", "ijbc": "IJB-C"}
_PAIRS: Final[dict[str, int]] = {"ijbb": 8_010_270, "ijbc": 15_658_489}  # in the official lists


def ijb(root: Path, part: Part, pooling: Pooling = "plain") -> "Ijb":
    """IJB-B ("ijbb") or IJB-C ("ijbc"), as InsightFace distributes it or with NIST's own lists.

    Args:
        root: either holds `meta` and `loose_crop`, InsightFace's way: `ijbb_face_tid_mid.txt`,
            `ijbb_name_5pts_score.txt`, `ijbb_template_pair_label.txt`, `ijbb_1N_gallery_S1.csv` and `S2.csv`
            (in IJB-C `G1` and `G2`) and `ijbb_1N_probe_mixed.csv`. Or it holds NIST's `protocol` or
            `protocols` with the 1:N files and `ijbb_11_S1_S2_matches.csv`, and the user's aligned crops in
            `crops`, named as `ijb.nist.read_templates` says.
        part: which.
        pooling: how much a face counts in its template.

    Without the 1:1 list or the 1:N lists the other protocol is measured, and the conventions say what lacks.

    Raises:
        UserError: lists of both protocols are missing, a list is broken (file, line and cure), or `pooling`
            needs detector scores, which NIST's lists do not have.
    """
    for field, value, known in (("part", part, get_args(Part)), ("pooling", pooling, get_args(Pooling))):
        if value not in known:
            raise unknown(f"ijb.{field}", value, known)
    lists = insightface_lists(root, part) if (root / "meta").is_dir() else nist_lists(root, part)
    if "detector" in pooling and lists.detector is None:
        raise UserError(
            f"ijb.pooling: {pooling!r} needs detector scores, which NIST's lists lack; take plain or norm"
        )
    if "detector" in pooling and lists.detector is not None:
        templates = lists.templates
        weights = np.bincount(templates.template, lists.detector[templates.image], len(templates))
        if not weights.all():
            raise UserError(
                f"ijb.pooling: {pooling!r} leaves nothing of template {templates.ids[weights.argmin()]}, "
                "whose detector scores are all 0; take plain or norm"
            )
    said = {"crop": lists.crop, "pooling": POOLING[pooling]}
    if lists.left_out:
        said["left_out"] = lists.left_out
    if lists.pairs is not None and len(lists.pairs.same) != _PAIRS[part]:
        said["pairs"] = f"{len(lists.pairs.same):,}, not the official list's {_PAIRS[part]:,}"
    return Ijb(_NAME[part], lists, pooling, said)


@dataclass(frozen=True, eq=False)
class Ijb:
    """IJB-B or IJB-C: a 1:1 and a 1:N protocol on the same templates."""

    name: str
    """As printed, "IJB-B" or "IJB-C"."""
    lists: Lists
    pooling: Pooling
    conventions: dict[str, str]
    """The crop rule, how faces are pooled, what is left out and why."""

    @property
    def images(self) -> ImageSet:
        """The M faces, each in one picture."""
        return self.lists.images

    @property
    def sources(self) -> Sequence[Path]:
        """The lists."""
        return self.lists.sources

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal digest of `sources`: of each the file name, the size and the bytes."""
        return digest(self.sources)

    def score(self, embeddings: Embeddings, reading: Reading = "conservative") -> list[Result]:
        """The 1:1 and the 1:N result, those of them whose lists are there.

        Raises:
            UserError: as `Benchmark.score`.
        """
        if len(embeddings) != len(self.images):
            raise UserError(f"{self.name}: {len(embeddings)} embeddings for {len(self.images)} pictures")
        unit = self.lists.templates.pool(
            embeddings, self.pooling, detector=self.lists.detector, names=self.images.names
        )
        results = []
        if self.lists.pairs is not None:
            results.append(self._verified(unit, self.lists.pairs, reading))
        if self.lists.probes is not None:
            results.append(self._identified(unit, self.lists.probes))
        return results

    def _verified(self, unit: Rows, pairs: TemplatePairs, reading: Reading) -> Result:
        scores, curve = measure.verify(unit, pairs)
        return Result(
            protocol=f"{self.name} 1:1",
            rates=tuple(tar_rate(curve, far, reading) for far in FARS),
            counts={
                "genuine pairs": curve.genuine,
                "impostor pairs": curve.impostors,
                "templates": len(self.lists.templates),
                "pictures": len(self.images),
            },
            conventions={**self.conventions, **measure.VERIFIED, "tar_reading": reading},
            sha256=self.sha256,
            roc=curve,
            histogram=histogram(scores, pairs.same),
            hardest=measure.hardest(scores, pairs, self.lists.templates, self.images.names),
            pairs=PairScores(scores.astype(np.float64), pairs.same, None),
        )

    def _identified(self, unit: Rows, probes: Gallery) -> Result:
        found = {
            gallery.name: measure.search(
                unit[gallery.templates],
                gallery.subjects,
                unit[probes.templates],
                probes.subjects,
                RANKS,
                FPIRS,
            )
            for gallery in self.lists.galleries
        }
        first, searched = next(iter(found.items()))
        return Result(
            protocol=f"{self.name} 1:N",
            rates=measure.average([one.rates for one in found.values()], "galleries", deviation=False),
            counts={
                "probe templates": len(probes.templates),
                **{f"templates in gallery {name}": one.templates for name, one in found.items()},
                "pictures": len(self.images),
            },
            conventions={
                **self.conventions,
                **measure.SEARCHED,
                "galleries": f"{' and '.join(found)} searched separately by all probes; means of the two",
                "curves": f"of gallery {first}",
            },
            sha256=self.sha256,
            cmc=searched.cmc,
            open_set=searched.open_set,
            more={"galleries": {name: one.to_json() for name, one in found.items()}},
        )
