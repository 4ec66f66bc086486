"""What the card of a model says of its training."""

from typing import Any

import evenface
from evenface.data import FaceSet
from evenface.training.config import Config, tables


def training_notes(config: Config, faces: FaceSet, **more: Any) -> dict[str, Any]:
    """Notes of a model that was trained on `faces`, and what more there is to say, as plain values."""
    return {
        "loss": tables(config.loss),
        "regularisers": [tables(extra) for extra in config.regularisers],
        "people": len(faces.identities),
        "images": len(faces),
        "seed": config.train.seed,
        **more,
        "evenface": evenface.__version__,
    }
