"""The options of `evenface align`, and the plan that they make."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from evenface.align.plan import Choice, Fixed, Method, Plan
from evenface.errors import UserError, require_range

# Private there for now: the fixed crop of the LFW protocol is this one.
from evenface.evaluation.protocols.lfw import LFW_A_POINTS, SIZE
from evenface.faces import InputFormat, similarity, template
from evenface.faces.landmarks import Order

FIXED = {"lfw-a": Fixed(SIZE["lfw-a"], SIZE["lfw-a"], LFW_A_POINTS)}
"""Sets that are aligned already, by name: LFW-a at 160x160 as the LFW protocol's crop has it."""


@dataclass(frozen=True)
class AlignOptions:
    """From which folder to which, how faces are found, and what is written."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")]
    """The folder of photographs, of any depth."""
    output: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DST")]
    """A new folder for the crops, or one that a stopped call left."""
    method: Method = "mtcnn"
    """How faces are found: by a detector, mtcnn or yunet, or by points that are given."""
    weights: Path | None = None
    """With yunet: its ONNX file, face_detection_yunet_*.onnx of the OpenCV model zoo."""
    points: Path | None = None
    """With points: a list, a line `file,x1,y1,...` (.csv) or `file x1 y1 ...` for each picture, 5, 68 or 106
    points; or a folder with a .txt for each picture, x,y a line, 5, 30, 68 or 106 of them."""
    order: Order | None = None
    """Of 106 points: jd (also LaPa's), or insightface (its model 2d106det)."""
    fixed: str | None = None
    """With fixed: lfw-a, or the pictures' HEIGHTxWIDTH and ten numbers, x and y of five points, parted by
    commas: 160x160,54.7,65.3,..."""
    face: Choice = "central"
    """Which one of several: the one that is large and near the middle, the largest, or the surest."""
    score: float = 0.7
    """The least of a face, 0.1 to 1, of a detector."""
    longest: int = 1000
    """A picture with more pixels on its longer side is shrunk to so many for the detector, 100 to 10,000; the
    crop is made from the whole. MTCNN then looks for faces of 40 pixels and more."""
    size: str = "112x112"
    """Of the crops, HEIGHTxWIDTH, for example 112x96 or 224x224."""
    quality: int = 95
    """Of the crops' JPEG, 1 to 100."""
    png: bool = False
    """Write PNG instead, without loss, four times as large."""
    workers: int = os.cpu_count() or 1
    """Processes, each on one core; with a GPU, threads that read and write."""
    device: str = "cpu"
    """Where MTCNN runs: cpu, or cuda."""


def plan_of(options: AlignOptions) -> Plan:
    """The plan that options make.

    Raises:
        UserError: an option is out of its range, lacks another, or goes with another method.
    """
    source, output = options.source, options.output
    if not source.is_dir():
        raise UserError(f"SRC: {source} is not a folder; name the folder of photographs")
    own, other = output.resolve(), source.resolve()
    if own.is_relative_to(other) or other.is_relative_to(own):
        raise UserError(f"DST: {output} and SRC, {source}, lie one in the other; name a folder elsewhere")
    height, width = InputFormat.size(options.size)
    try:
        InputFormat(height, width)
    except UserError as error:
        raise UserError(str(error).replace("input.", "--size: ", 1)) from None
    require_range("--quality", options.quality, 1, 100)
    require_range("--score", options.score, 0.1, 1)
    require_range("--longest", options.longest, 100, 10_000)
    require_range("--workers", options.workers, 1, 1024)
    for name, method in (("weights", "yunet"), ("points", "points"), ("fixed", "fixed")):
        given = getattr(options, name) is not None
        if given and options.method != method:
            raise UserError(f"--{name}: goes with --method {method}; give that too, or leave this out")
        if options.method == method and not given:
            raise UserError(f"--{name}: --method {method} needs it; see evenface align --help")
    if options.order is not None and options.points is None:
        raise UserError("--order: is about the points of --points; leave it out")
    if options.points is not None and not options.points.exists():
        raise UserError(f"--points: there is no {options.points}; name a list, or a folder of .txt files")
    return Plan(
        source=source,
        output=output,
        method=options.method,
        height=height,
        width=width,
        quality=None if options.png else options.quality,
        face=options.face,
        longest=options.longest,
        score=options.score,
        device=_device(options),
        weights=options.weights,
        points=options.points,
        order=options.order,
        fixed=None if options.fixed is None else read_fixed(options.fixed),
    )


def _device(options: AlignOptions) -> str:
    try:
        kind = torch.device(options.device).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise UserError(f"--device: {options.device!r} is none; use cpu or cuda")
    if kind == "cuda":
        if options.method != "mtcnn":
            raise UserError(f"--device: --method {options.method} runs on the CPU; leave it out")
        if not torch.cuda.is_available():
            raise UserError("--device: PyTorch finds no CUDA here; leave it out")
    return options.device if kind == "cuda" else kind


def read_fixed(words: str) -> Fixed:
    """The points that --fixed names.

    Raises:
        UserError: neither a name nor a size and ten numbers that mark a face.
    """
    if words in FIXED:
        return FIXED[words]
    fields = [field for field in re.split(r"[,\s]+", words) if field]
    try:
        height, width = InputFormat.size(fields[0])
        points = np.array([float(field) for field in fields[1:]]).reshape(5, 2)
        similarity(points, template())
    except (ValueError, IndexError):
        raise UserError(
            f"--fixed: {words!r} is neither {' nor '.join(FIXED)} nor HEIGHTxWIDTH and x1,y1,...,x5,y5, "
            "for example 160x160,54.7,65.3,101,64.6,79.3,89.6,60.3,110.6,98.7,109.4"
        ) from None
    return Fixed(height, width, points)
