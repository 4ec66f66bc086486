"""How evenly people lie on the hypersphere: scopes, margins, and how centres keep apart."""

from evenface.geometry.angles import angle, class_means, nearest
from evenface.geometry.scopes import Scopes, scopes
from evenface.geometry.spread import Spread, spread

__all__ = ["Scopes", "Spread", "angle", "class_means", "nearest", "scopes", "spread"]
