"""How evenly people lie on the hypersphere: scopes, margins, and how centres keep apart."""

from evenface.geometry.angles import angle, class_means, nearest, nearest_rivals
from evenface.geometry.evenness import evenness
from evenface.geometry.scopes import Scopes, scopes
from evenface.geometry.spread import Spread, spread
from evenface.geometry.uniformity import energy, random_energy

__all__ = [
    "Scopes",
    "Spread",
    "angle",
    "class_means",
    "energy",
    "evenness",
    "nearest",
    "nearest_rivals",
    "random_energy",
    "scopes",
    "spread",
]
