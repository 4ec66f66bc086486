"""Every loss, most with class centres. Each is called the same way: `loss = head(embeddings, labels)`.

A new loss is one file and one line in `LOSSES`.
"""

from typing import Any

from evenface.errors import unknown
from evenface.losses.adacos import AdaCos
from evenface.losses.adaface import AdaFace
from evenface.losses.adaptiveface import AdaptiveFace
from evenface.losses.arcface import ArcFace
from evenface.losses.base import FaceLoss
from evenface.losses.centre_head import CentreHead
from evenface.losses.circle import Circle
from evenface.losses.combined import CombinedMargin
from evenface.losses.contrastive import Contrastive
from evenface.losses.cosface import CosFace
from evenface.losses.cosine_head import CosineHead
from evenface.losses.curricularface import CurricularFace
from evenface.losses.eqm import EqM
from evenface.losses.focal import Focal
from evenface.losses.ladder import least_largest_cosine, welch_cosine
from evenface.losses.ldam import LDAM
from evenface.losses.lsoftmax import LSoftmax
from evenface.losses.magface import MagFace
from evenface.losses.mv_softmax import MVAMSoftmax, MVArcSoftmax
from evenface.losses.npair import NPair
from evenface.losses.p2sgrad import P2SGrad
from evenface.losses.softmax import NormalizedSoftmax, Softmax
from evenface.losses.sphereface import SphereFace
from evenface.losses.sphereface2 import SphereFace2
from evenface.losses.sphereface_r import SphereFaceR
from evenface.losses.subcentre import SubcentreArcFace
from evenface.losses.triplet import Triplet
from evenface.losses.uniface import UniFace
from evenface.losses.unpg import UNPG

LOSSES: dict[str, type[FaceLoss]] = {
    "eqm": EqM,
    "softmax": Softmax,
    "normalized-softmax": NormalizedSoftmax,
    "sphereface": SphereFace,
    "cosface": CosFace,
    "arcface": ArcFace,
    "lsoftmax": LSoftmax,
    "sphereface-r": SphereFaceR,
    "sphereface2": SphereFace2,
    "combined-margin": CombinedMargin,
    "subcentre-arcface": SubcentreArcFace,
    "adacos": AdaCos,
    "p2sgrad": P2SGrad,
    "focal": Focal,
    "circle": Circle,
    "mv-am-softmax": MVAMSoftmax,
    "mv-arc-softmax": MVArcSoftmax,
    "curricularface": CurricularFace,
    "unpg": UNPG,
    "adaptiveface": AdaptiveFace,
    "ldam": LDAM,
    "magface": MagFace,
    "adaface": AdaFace,
    "uniface": UniFace,
    "contrastive": Contrastive,
    "triplet": Triplet,
    "npair": NPair,
}


def create(name: str, num_classes: int, embedding_size: int, **options: Any) -> FaceLoss:
    """The loss called `name` in `LOSSES`, with `options` as its keyword arguments.

    Raises:
        UserError: no such loss, or an option out of its range.
    """
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    return LOSSES[name](num_classes, embedding_size, **options)


__all__ = [
    "LDAM",
    "LOSSES",
    "UNPG",
    "AdaCos",
    "AdaFace",
    "AdaptiveFace",
    "ArcFace",
    "CentreHead",
    "Circle",
    "CombinedMargin",
    "Contrastive",
    "CosFace",
    "CosineHead",
    "CurricularFace",
    "EqM",
    "FaceLoss",
    "Focal",
    "LSoftmax",
    "MVAMSoftmax",
    "MVArcSoftmax",
    "MagFace",
    "NPair",
    "NormalizedSoftmax",
    "P2SGrad",
    "Softmax",
    "SphereFace",
    "SphereFace2",
    "SphereFaceR",
    "SubcentreArcFace",
    "Triplet",
    "UniFace",
    "create",
    "least_largest_cosine",
    "welch_cosine",
]
