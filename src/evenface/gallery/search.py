"""Who of a gallery is most like a probe."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.evaluation.templates import means, unit_rows


def nearest_people(
    probes: ArrayLike, gallery: ArrayLike, labels: NDArray[np.int64], top: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The people of a gallery whose templates have the highest cosines with each probe, the best first.

    A person's template is the mean of the normalised embeddings of the person's pictures.

    Args:
        probes: (P, D) raw embeddings.
        gallery: (M, D) raw embeddings.
        labels: (M,) the person of each, 0 to C-1 without gaps.
        top: how many; at most C are given.

    Returns:
        People (P, K) and cosines (P, K) in [-1, 1], falling; of equal ones the lower number first.

    Raises:
        UserError: an embedding is all zero or not finite.
    """
    people = int(labels.max()) + 1
    templates = unit_rows(means(unit_rows(gallery), labels, people))
    cosine = np.clip(unit_rows(probes) @ templates.T, -1, 1)  # rounding may lead a little beyond
    order = np.argsort(-cosine, axis=1, kind="stable")[:, : min(top, people)]
    return order.astype(np.int64), np.take_along_axis(cosine, order, axis=1)
