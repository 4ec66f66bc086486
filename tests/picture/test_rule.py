"""The rule: every margin loss has its boundary a quarter of the way to the neighbouring centre."""

import math

import pytest

from evenface import losses
from evenface.errors import UserError
from evenface.picture import rule
from evenface.picture.command import LOSSES
from evenface.picture.digits import cut, digits, sizes
from evenface.picture.trainer import fit

TRAINABLE = [
    *LOSSES.split(","),
    "lsoftmax",
    "sphereface-r",
    "subcentre-arcface",
    "adacos",
    "p2sgrad",
    "focal",
]
TRAINABLE += ["mv-am-softmax", "mv-arc-softmax", "curricularface", "unpg", "ldam", "uniface"]


def test_the_angles_are_those_of_the_best_layouts():
    assert math.degrees(rule.NEIGHBOUR[2]) == pytest.approx(36)
    # Ten points of Tammes's problem: two poles apart from their rings do not do; at most the bound of
    # Fejes Toth, arccos((cot^2 w - 1) / 2), w = 10 / 8 * 30 degrees, and at least a plain layout's 60.
    cot = 1 / math.tan(math.radians(10 / 8 * 30))
    assert 60 < math.degrees(rule.NEIGHBOUR[3]) < math.degrees(math.acos((cot**2 - 1) / 2))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_boundaries_lie_at_a_quarter_of_the_angle_between_neighbours(dimensions):
    between = rule.NEIGHBOUR[dimensions]
    own, rival = between / 4, 3 * between / 4
    get = {name: rule.options(name, dimensions, 600) for name in TRAINABLE}
    assert math.cos(own) - get["cosface"]["margin"] == pytest.approx(math.cos(rival))
    assert own + get["arcface"]["margin"] == pytest.approx(rival)
    assert own * get["sphereface"]["margin"] == pytest.approx(rival)
    assert own == pytest.approx(rival / get["sphereface-r"]["margin"])
    assert get["eqm"]["lower"] == pytest.approx(math.cos(own))
    assert get["eqm"]["upper"] == pytest.approx(math.cos(rival))
    assert get["eqm"]["centre_upper"] == pytest.approx(math.cos(between))
    assert {options.get("scale", 16.0) for options in get.values()} == {16.0}


def test_sphereface_has_its_margin_at_the_end():
    head = losses.create("sphereface", 10, 2, **rule.options("sphereface", 2, 600))
    head.step += 600
    assert head.annealing() == pytest.approx(0.1)


@pytest.mark.parametrize("loss", TRAINABLE)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_loss_trains(loss, dimensions):
    train, unseen = digits()
    tail = cut(train, sizes(30))
    first, last = fit(loss, dimensions, tail, unseen, 20, 0, [0, 20])
    for moment in (first, last):
        for rows, n in ((moment.seen, len(tail.labels)), (moment.unseen, 300), (moment.centres, 10)):
            assert rows.shape == (n, dimensions)
            assert rows.norm(dim=1).sub(1).abs().max() < 1e-5  # a NaN fails too
    assert (first.centres - last.centres).norm(dim=1).min() > 1e-3, "a centre has not moved"
    # Half of the long tail's images are of two digits; what is learned shows on those trained on.
    right = [
        float(((m.seen @ m.centres.T).argmax(dim=1) == tail.labels).double().mean()) for m in (first, last)
    ]
    assert right[1] > right[0]


def test_a_loss_without_a_rule_is_refused():
    with pytest.raises(UserError, match="did you mean 'arcface'"):
        rule.options("arcfaces", 2, 1)
    for loss in ("triplet", "magface"):
        with pytest.raises(UserError, match=f"{loss} has no class centres, or .* choose from softmax"):
            rule.options(loss, 2, 1)
