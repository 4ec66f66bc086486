"""A run of the lab, from its settings to its figures."""

import os
from pathlib import Path

from evenface.lab.config import LabConfig
from evenface.lab.measure import measure
from evenface.lab.network import Projection
from evenface.lab.sets import Faces, Shown, training_and_test
from evenface.lab.trainer import fit


def cache() -> Path:
    """The folder that keeps the features, below the user's own cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evenface"


def run(config: LabConfig, shown: Shown | None = None) -> tuple[str, dict[str, float]]:
    """Train and measure: which sets in words, and the figures of `evenface.lab.measure`.

    Raises:
        UserError: a setting, a folder or a picture is wrong; the message says which, and the cure.
    """
    train, test = training_and_test(config.lab, cache(), shown)
    words = f"training on {train}, testing on {test}"
    projection = Projection(train.features, config.network.components)
    train, test = (Faces(projection(faces.features), faces.labels) for faces in (train, test))
    net, head = fit(config, train)
    return words, measure(net, head, train, test)
