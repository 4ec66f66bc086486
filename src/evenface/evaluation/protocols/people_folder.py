"""Any folder of people, DIR/<person>/<picture>: all pairs 1:1, and 1:N closed and open set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from evenface.data import FaceSet, read_folder
from evenface.errors import UserError, require_range
from evenface.evaluation.benchmark import Embeddings
from evenface.evaluation.images import ImageSet
from evenface.evaluation.metrics import Reading, read_auc, read_eer
from evenface.evaluation.people import pairs_roc
from evenface.evaluation.protocols.identification import IdentificationSet, Search
from evenface.evaluation.protocols.pairs import tar_rate
from evenface.evaluation.results import Rate, Result
from evenface.faces import read_image

Draw = Literal["first", "random"]

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""The FARs at which all pairs are read."""


@dataclass(frozen=True, eq=False)
class PeopleFolder(IdentificationSet):
    """An identification set whose every two pictures are a verification pair too."""

    def score(self, embeddings: Embeddings, reading: Reading = "conservative") -> list[Result]:
        """All pairs, then each search.

        Raises:
            UserError: as `Benchmark.score`.
        """
        searched = super().score(embeddings, reading)
        curve = pairs_roc(embeddings, self.people)
        verified = Result(
            protocol=f"{self.name} 1:1",
            rates=(
                Rate("auc", "AUC", read_auc(curve)),
                Rate("eer", "EER", read_eer(curve)),
                *(tar_rate(curve, far, reading) for far in FARS),
            ),
            counts={
                "genuine pairs": curve.genuine,
                "impostor pairs": curve.impostors,
                "people": int(self.people.max()) + 1,
                "pictures": len(self.images),
            },
            conventions={
                **self.conventions,
                "pairs": "every two pictures",
                "score": "cosine",
                "tar_reading": reading,
                "intervals": "pairs taken as independent, so too narrow: they share people",
            },
            sha256=self.sha256(),
            roc=curve,
        )
        return [verified, *searched]


def people_folder(
    root: Path, *, enrol: int = 1, draw: Draw = "first", unknown: float = 0.5, seed: int = 0
) -> PeopleFolder:
    """All pairs, a closed-set and an open-set search of a folder of people.

    Closed set: `enrol` pictures of each person are the gallery, the person's other pictures are probes.
    People with `enrol` pictures or fewer have no probe and are only searched through. Open set: the same
    without a share of the people, drawn by the seed; all of their pictures are non-mated probes.

    Args:
        root: holds a folder for each person; the pictures are aligned, and read as for training.
        enrol: pictures of a person in the gallery, 1 or more; several are pooled.
        draw: which ones: the "first" by file name, or "random" ones by the seed.
        unknown: the share of people that the open set leaves out, 0 to 1; 0 leaves the open set out.
        seed: 0 or more.

    Raises:
        UserError: the folder holds fewer than two people, nobody has more than `enrol` pictures, or an
            option is out of its range.
    """
    require_range("--people-enrol", enrol, 1, 10_000)
    require_range("--people-unknown", unknown, 0, 1)
    require_range("people_folder.seed", seed, 0, 2**63)
    if draw not in get_args(Draw):
        raise UserError(f"people_folder.draw: {draw!r} is none of {', '.join(get_args(Draw))}")
    faces = read_folder(root, field="--people")
    name = f"{root.resolve().name} people"
    who, count = faces.labels, faces.counts()
    if len(count) < 2:
        raise UserError(f"{root}: holds one person; give a folder with two or more")
    if count.max() <= enrol:
        raise UserError(
            f"{root}: nobody has more than {enrol} picture{'s' * (enrol > 1)}, so there is nobody to search "
            f"for; {'add pictures, or lower --people-enrol' if enrol > 1 else 'add pictures'}"
        )
    enrolled = _enrolled(faces, enrol, draw, seed)
    which = "the first by name" if draw == "first" else f"drawn by seed {seed}"
    said = {"gallery": f"{enrol} of each person's pictures, {which}", "probes": "the other pictures"}
    if enrol > 1:
        said["pooling"] = f"a template is the mean of {enrol} normalised embeddings"
    pictures = np.arange(len(faces))
    searches = [Search(f"{name} 1:N closed set", pictures[enrolled], pictures[~enrolled], said)]
    if unknown:
        left_out = np.random.default_rng((1, seed)).permutation(len(count))[: round(unknown * len(count))]
        stranger = np.isin(who, left_out)
        if not stranger.any() or not (~stranger & ~enrolled).any():
            raise UserError(
                f"--people-unknown: {unknown:g} of {len(count)} people leaves nobody out, or nobody in "
                f"with more than {enrol} picture{'s' * (enrol > 1)}; choose another share or seed, or 0 for "
                "no open set"
            )
        opened = said | {"non-mated": f"{len(left_out):,} of {len(count):,} people, drawn by seed {seed}"}
        gallery, probes = pictures[enrolled & ~stranger], pictures[stranger | ~enrolled]
        searches.append(Search(f"{name} 1:N open set", gallery, probes, opened))
    paths = faces.paths  # once: it goes over all pictures
    return PeopleFolder(
        name=name,
        images=ImageSet(
            root,
            [path.relative_to(root).as_posix() for path in paths],
            lambda i: read_image(paths[i]),
        ),
        people=who,
        searches=searches,
        conventions={"crop": "pictures aligned already"},
        sources=[],
    )


def _enrolled(faces: FaceSet, enrol: int, draw: Draw, seed: int) -> NDArray[np.bool_]:
    """(N,) whether a picture is in the gallery."""
    order = np.arange(len(faces))
    if draw == "random":
        order = np.random.default_rng((0, seed)).permutation(order)
    by_person = order[np.argsort(faces.labels[order], kind="stable")]
    start = np.cumsum(faces.counts()) - faces.counts()
    place = np.arange(len(faces)) - start[faces.labels[by_person]]
    chosen = np.zeros(len(faces), dtype=np.bool_)
    chosen[by_person[place < enrol]] = True
    return chosen
