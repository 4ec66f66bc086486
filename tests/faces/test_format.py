"""What shapes a network's input may have."""

import numpy as np
import pytest

from evenface.errors import UserError
from evenface.faces import InputFormat


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((15, 112), "input.height: 15 pixels is too small"),
        ((112, 15), "input.width: 15 pixels is too small"),
        ((4097, 112), "input.height: 4097 pixels is too large; use 4096 or fewer"),
        ((112, 99999), "input.width: 99999 pixels is too large; use 4096 or fewer"),
    ],
)
def test_sides_have_bounds(shape, says):
    with pytest.raises(UserError, match=says):
        InputFormat(*shape)


def test_the_largest_and_the_smallest_shape_work():
    picture = np.zeros((112, 112, 3), np.uint8)
    for shape in ((16, 4096), (4096, 16)):
        assert InputFormat(*shape, "gray").fit(picture).shape == (*shape, 1)
