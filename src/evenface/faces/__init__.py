"""Face pictures: reading, aligning to the template, and the exact numbers a network sees."""

from evenface.faces.align import TEMPLATE_112, similarity, template, warp
from evenface.faces.fiducials import five_points_from_30
from evenface.faces.format import InputFormat
from evenface.faces.image import UnreadableImage, decode_image, read_encoded, read_image

__all__ = [
    "TEMPLATE_112",
    "InputFormat",
    "UnreadableImage",
    "decode_image",
    "five_points_from_30",
    "read_encoded",
    "read_image",
    "similarity",
    "template",
    "warp",
]
