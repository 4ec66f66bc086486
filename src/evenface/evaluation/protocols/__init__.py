"""The benchmarks: a new one is a module here and a line in `BENCHMARKS`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from evenface.evaluation.benchmark import Benchmark
from evenface.evaluation.protocols.cfp import cfp
from evenface.evaluation.protocols.lfw import lfw
from evenface.evaluation.protocols.pairs import PairSet

BENCHMARKS: dict[str, Callable[[Path], Benchmark]] = {
    "lfw": lfw,
    "cfp-ff": partial(cfp, kind="ff"),
    "cfp-fp": partial(cfp, kind="fp"),
}
"""Name -> what reads the set from its folder with its usual conventions."""

__all__ = ["BENCHMARKS", "PairSet", "cfp", "lfw"]
