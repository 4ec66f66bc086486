"""Face pictures: reading, aligning to the template, and the exact numbers a network sees."""

from evenface.faces.format import InputFormat
from evenface.faces.image import UnreadableImage, read_image

__all__ = ["InputFormat", "UnreadableImage", "read_image"]
