"""Who of a gallery is most like a probe."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.evaluation.search import top_candidates
from evenface.evaluation.templates import means, unit_rows
from evenface.gallery.rule import rounded


def nearest_people(
    probes: ArrayLike, gallery: ArrayLike, labels: NDArray[np.int64], top: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The people of a gallery whose templates have the highest cosines with each probe, the best first.

    A person's template is the mean of the normalised embeddings of the person's pictures. The gallery is
    gone through in blocks: all P x C cosines are never in memory.

    Args:
        probes: (P, D) raw embeddings.
        gallery: (M, D) raw embeddings.
        labels: (M,) the person of each, 0 to C-1 without gaps.
        top: how many; at most C are given.

    Returns:
        People (P, K) and cosines (P, K) in [-1, 1], as `rounded`, falling; of equal ones the lower number
        first.

    Raises:
        UserError: an embedding is all zero or not finite.
    """
    people = int(labels.max()) + 1
    templates = means(unit_rows(gallery), labels, people)
    found = top_candidates(unit_rows(probes), templates, min(top, people))
    return found.index, rounded(found.scores)
