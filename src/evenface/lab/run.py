"""A run of the lab, from its settings to its figures."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from evenface.evaluation.embed import Progress
from evenface.lab.config import LabConfig, SetsConfig, SourceName
from evenface.lab.measure import measure
from evenface.lab.network import Projection
from evenface.lab.sets import Faces, training_and_test
from evenface.lab.trainer import fit


def run(config: LabConfig, folder: Path) -> dict[str, float]:
    """Train and measure; the figures are those of `evenface.lab.measure`.

    Nothing is written but the cache, which is `folder`'s neighbour where `lab.cache` is not set.

    Raises:
        UserError: a setting, a folder or a picture is wrong; the message says which, and the cure.
    """
    cache = config.lab.cache or folder.parent / "cache"
    train, test = components(config.lab, config.network.components, cache)
    net, head = fit(config, train)
    return measure(net, head, train, test)


def prepare(config: LabConfig, folder: Path, progress: Callable[[SourceName], Progress]) -> str:
    """Fill the cache of a run in `folder`, and say which sets it has."""
    train, test = training_and_test(config.lab, config.lab.cache or folder.parent / "cache", progress)
    return f"training on {train}, testing on {test}"


@lru_cache(maxsize=2)
def components(sets: SetsConfig, count: int, cache: Path) -> tuple[Faces, Faces]:
    """`training_and_test` as principal components of the training features; kept for the next run."""
    train, test = training_and_test(sets, cache)
    projection = Projection(train.features, count)
    return Faces(projection(train.features), train.labels), Faces(projection(test.features), test.labels)
