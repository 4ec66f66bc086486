"""Face recognition with the Equalized Margin loss."""

from importlib.metadata import version

__version__ = version("evenface")
