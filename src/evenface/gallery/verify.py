"""Whether pictures show one person."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.evaluation.embed import Embedder, Flip, embed
from evenface.evaluation.images import Image
from evenface.evaluation.templates import unit_rows
from evenface.gallery.rule import rounded


def cosines(
    embedder: Embedder, pictures: Sequence[Image], flip: Flip, names: Sequence[Path]
) -> NDArray[np.float64]:
    """The cosine (K,), `rounded`, of the first picture's embedding with each of the K others'.

    Args:
        embedder: the model.
        pictures: K + 1 aligned RGB pictures, (height, width, 3) uint8.
        flip: the mirror image's part in an embedding, as it was in calibration.
        names: K + 1, for error messages.

    Raises:
        UserError: an embedding is all zero or not finite.
    """
    unit = unit_rows(embed(embedder, pictures, flip, names=names)).astype(np.float64)
    return rounded(unit[1:] @ unit[0])
