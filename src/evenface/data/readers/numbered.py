"""From the numbers by which a form of storage knows people to a face set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evenface.data.faceset import FaceSet, natural
from evenface.data.pictures import Pictures


def numbered(pictures: Pictures, numbers: NDArray[np.int64], names: Sequence[str]) -> FaceSet:
    """The set in which the person on picture i is called `names[numbers[i]]`, in time for millions.

    Two numbers may have one name, which is then one person; a name without a picture is left out.
    """
    used = np.flatnonzero(np.bincount(numbers, minlength=len(names))).tolist()
    identities = sorted({names[number] for number in used}, key=natural)
    label_of = {name: label for label, name in enumerate(identities)}
    label = np.zeros(len(names), dtype=np.int64)
    label[used] = [label_of[names[number]] for number in used]
    return FaceSet(pictures, label[numbers], identities)
