"""The benchmarks' pairs: a new one is a module here and a line in `PROTOCOLS`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from evenface.evaluation.protocols.cfp import cfp
from evenface.evaluation.protocols.lfw import lfw
from evenface.evaluation.protocols.pairs import PairSet

PROTOCOLS: dict[str, Callable[[Path], PairSet]] = {
    "lfw": lfw,
    "cfp-ff": partial(cfp, kind="ff"),
    "cfp-fp": partial(cfp, kind="fp"),
}
"""Name -> what reads the set from its folder by its usual crop."""

__all__ = ["PROTOCOLS", "PairSet", "cfp", "lfw"]
