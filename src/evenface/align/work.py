"""A worker: reads pictures, finds their faces, writes their crops."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import parent_process
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from evenface.align.crop import crop
from evenface.align.find import Found, Image, Job, Skip, finder
from evenface.align.plan import Plan
from evenface.align.table import Row
from evenface.errors import UserError
from evenface.faces import UnreadableImage, read_image
from evenface.faces.landmarks import misfit

PART = ".part-"
"""What the names of half-written crops begin with, in the output folder."""
_PIXELS = 8_000_000
"""Of pictures that are held and detected in at once; one picture may have more."""
_BLANK = Row._make([""] * len(Row._fields))


class Worker:
    """Aligns pictures by a plan; several threads may call it.

    Raises:
        UserError: a detector cannot be loaded.
    """

    def __init__(self, plan: Plan):
        self._plan, self._find = plan, finder(plan)
        self._root = plan.output.resolve()
        self._folders: set[Path] = set()

    def __call__(self, jobs: Sequence[Job]) -> list[Row]:
        """Align each picture and write its crop; the rows in their order.

        Raises:
            UserError: a crop cannot be written.
        """
        rows: dict[str, Row] = {}
        for some, images in self._read(jobs, rows):
            for job, image, found in zip(some, images, self._find(some, images), strict=True):
                rows[job.name] = self._cut(job, image, found)
        return [rows[job.name] for job in jobs]

    def _read(self, jobs: Sequence[Job], rows: dict[str, Row]) -> Iterator[tuple[list[Job], list[Image]]]:
        """Pictures, as many as may be held; those that cannot be read get their rows."""
        some: list[Job] = []
        images: list[Image] = []
        for job in jobs:
            try:
                image = read_image(self._plan.source / job.name)
            except UnreadableImage as error:
                rows[job.name] = self._skipped(job, Skip("unreadable", error.why))
                continue
            if images and sum(one.size for one in images) + image.size > 3 * _PIXELS:
                yield some, images
                some, images = [], []
            some.append(job)
            images.append(image)
        if images:
            yield some, images

    def _cut(self, job: Job, image: Image, found: Found | Skip) -> Row:
        if isinstance(found, Skip):
            return self._skipped(job, found)
        plan = self._plan
        try:
            aligned = crop(image, found.points, plan.height, plan.width)
        except UserError as error:
            return self._skipped(job, Skip("bad points", str(error)))
        name = job.stem + plan.suffix
        self._write(name, aligned)
        box = [""] * 4 if found.box is None else [f"{value:.2f}" for value in found.box]
        points = [f"{value:.3f}" for value in found.points.ravel()]
        score = "" if found.score is None else f"{found.score:.4f}"
        off = f"{misfit(found.points):.2f}"
        start = (job.name, "aligned", name, plan.method, str(found.faces), score)
        return Row._make([*start, *box, *points, off, ""])

    def _skipped(self, job: Job, skip: Skip) -> Row:
        faces = "0" if skip.status == "no face" else ""
        why = " ".join(skip.why.split())
        return _BLANK._replace(
            file=job.name, status=skip.status, method=self._plan.method, faces=faces, why=why
        )

    def _write(self, name: str, aligned: NDArray[np.uint8]) -> None:
        """Under a name of its own first, so that no crop is ever half there."""
        path = self._root / name
        settings = [] if self._plan.quality is None else [cv2.IMWRITE_JPEG_QUALITY, self._plan.quality]
        _, content = cv2.imencode(self._plan.suffix, cv2.cvtColor(aligned, cv2.COLOR_RGB2BGR), settings)
        part = self._root / f"{PART}{os.getpid()}-{threading.get_ident()}"
        try:
            if path.parent not in self._folders:
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.parent.resolve().is_relative_to(self._root):
                    raise UserError(f"{path.parent}: a link out of the output folder; delete the link")
                self._folders.add(path.parent)
            part.write_bytes(content.tobytes())
            part.replace(path)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; mend that, and call again to go on") from None


_worker: Worker


def start(plan: Plan) -> None:
    """Make this process a worker: one thread, deaf to Ctrl-C, which the main process heeds, gone with it."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    # Decoders write about damaged pictures there; what goes wrong here comes back as an exception.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threading.Thread(target=_follow, daemon=True).start()
    _worker = Worker(plan)


def _follow() -> None:
    """End this process if the main one was killed; it would wait for work forever."""
    main = parent_process()
    assert main is not None
    main.join()
    os._exit(1)


def work(jobs: Sequence[Job]) -> list[Row]:
    """What a worker process does with jobs."""
    return _worker(jobs)
