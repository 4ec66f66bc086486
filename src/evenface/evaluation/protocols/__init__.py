"""The benchmarks: a new one is a module here, a line in `BENCHMARKS`, an option in `evaluation.sets`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from evenface.evaluation.benchmark import Benchmark
from evenface.evaluation.protocols.agedb import agedb
from evenface.evaluation.protocols.calfw_cplfw import calfw, cplfw
from evenface.evaluation.protocols.cfp import cfp
from evenface.evaluation.protocols.ijb import ijb, ijba
from evenface.evaluation.protocols.insightface_bin import insightface_bin
from evenface.evaluation.protocols.lfw import lfw
from evenface.evaluation.protocols.lfw_identification import lfw_identification
from evenface.evaluation.protocols.listed import listed
from evenface.evaluation.protocols.megaface import megaface
from evenface.evaluation.protocols.pairs import PairSet
from evenface.evaluation.protocols.people_folder import people_folder
from evenface.evaluation.protocols.tinyface import tinyface
from evenface.evaluation.protocols.ytf import ytf

BENCHMARKS: dict[str, Callable[[Path], Benchmark]] = {
    "lfw": lfw,
    "lfw-1n": lfw_identification,
    "cfp-ff": partial(cfp, kind="ff"),
    "cfp-fp": partial(cfp, kind="fp"),
    "calfw": calfw,
    "cplfw": cplfw,
    "agedb": agedb,
    "bin": insightface_bin,
    "pairs": listed,
    "people": people_folder,
    "ytf": ytf,
    "megaface": megaface,
    "ijbb": partial(ijb, part="ijbb"),
    "ijbc": partial(ijb, part="ijbc"),
    "ijba": ijba,
    "tinyface": tinyface,
}
"""Name -> what reads the set from its folder or file with its usual conventions."""

__all__ = ["BENCHMARKS", "PairSet", "cfp", "lfw"]
