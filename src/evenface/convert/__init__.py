"""From any form of storage to any other, `evenface convert`."""

from evenface.convert.checksum import Checksum, verify
from evenface.convert.conversion import Conversion, ConvertConfig, convert

__all__ = ["Checksum", "Conversion", "ConvertConfig", "convert", "verify"]
