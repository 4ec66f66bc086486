"""The hardest pairs of the report, as pictures."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from evenface.evaluation.images import Image
from evenface.evaluation.report.section import Decision
from evenface.evaluation.results import HardPair, Result

Pictures = Callable[[str, int], Image | None]
"""The aligned crop, uint8 (h, w, 3) RGB, of a picture by its protocol and place; None where there is none."""

MOST = 12
"""Pairs of a kind that are shown for a model on a protocol."""
MOST_PICTURES = 240
"""In a page, about: where there are many results, each shows fewer pairs, but four of a kind at least."""


@dataclass(frozen=True)
class Shown:
    """One pair."""

    pictures: tuple[str, str] | None
    """Data URIs."""
    names: tuple[str, str]
    """As `HardPair` has them."""
    score: float
    wrong: bool

    @property
    def captions(self) -> tuple[str, str]:
        """The names without what tells a reader nothing."""
        return _caption(self.names[0]), _caption(self.names[1])


@dataclass(frozen=True)
class Faces:
    """The hardest pairs of one model on one protocol."""

    result: Result
    decision: Decision | None
    kinds: tuple[tuple[str, list[Shown]], ...]
    """(title, pairs), hardest first."""

    @property
    def words(self) -> str:
        """What is decided wrongly, in all."""
        if self.decision is None:
            return ""
        words = f"At the threshold {self.decision.threshold:.4f}, {self.decision.words}, "
        pairs = self.result.pairs
        if pairs is None:
            return words + "the pairs marked as wrong are decided wrongly."
        passing = pairs.scores >= self.decision.threshold
        missed, passed = int((pairs.same & ~passing).sum()), int((~pairs.same & passing).sum())
        genuine, impostors = int(pairs.same.sum()), int((~pairs.same).sum())
        return (
            f"{words}{missed:,} of {genuine:,} genuine and {passed:,} of {impostors:,} impostor pairs are "
            "decided wrongly."
        )


def faces_of(result: Result, decision: Decision | None, pictures: Pictures, most: int) -> Faces:
    """Up to `most` pairs of each kind."""
    kinds = []
    for same, title in ((True, "Genuine, lowest scores"), (False, "Impostors, highest scores")):
        pairs = [pair for pair in result.hardest if pair.same == same][:most]
        kinds.append((title, [_shown(result.protocol, pair, decision, pictures) for pair in pairs]))
    return Faces(result, decision, tuple((title, pairs) for title, pairs in kinds if pairs))


def _shown(protocol: str, pair: HardPair, decision: Decision | None, pictures: Pictures) -> Shown:
    both = [pictures(protocol, index) for index in (pair.first, pair.second)]
    return Shown(
        None if both[0] is None or both[1] is None else (_jpeg(both[0]), _jpeg(both[1])),
        pair.names,
        pair.score,
        decision is not None and decision.wrong(pair.same, pair.score),
    )


def _caption(name: str) -> str:
    """Ann/Ann_0001.jpg is Ann_0001, Data/Images/001/frontal/01.jpg is 001/frontal/01."""
    parts = re.sub(r"\.(jpe?g|png|bmp|webp)$", "", name, flags=re.IGNORECASE).split("/")[-3:]
    return parts[-1] if len(parts) > 1 and parts[-1].startswith(parts[-2]) else "/".join(parts)


def _jpeg(image: Image) -> str:
    """A picture as a data URI."""
    content = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()
