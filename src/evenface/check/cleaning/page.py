"""The page on which a human decides: one file, nothing loaded from elsewhere."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

import evenface
from evenface.check.cleaning.candidates import Candidate, Kind, Side, label
from evenface.check.sets import PictureSet
from evenface.errors import UserError

MOST = 100
"""Candidates of a kind that are shown beyond the threshold."""
BELOW = 12
"""And below it, to compare."""
_PICTURES = 6  # of a side
_SIDE = 112  # pixels of a thumbnail


@dataclass(frozen=True)
class _Picture:
    name: str
    uri: str
    meant: bool

    @property
    def caption(self) -> str:
        return PurePosixPath(self.name).name


def write_page(path: Path, kinds: Sequence[Kind], sets: Sequence[PictureSet], model: str) -> None:
    """Write the page of these kinds, found by a model in these sets."""
    path.write_text(page(kinds, sets, model), encoding="utf-8", errors="backslashreplace")


def page(kinds: Sequence[Kind], sets: Sequence[PictureSet], model: str) -> str:
    """`write_page`'s HTML."""
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters |= {"may_break": _may_break, "plain": _plain}
    template = environment.from_string((files(__package__) / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        kinds=[_kind(kind) for kind in kinds],
        sets=sets,
        model=model,
        version=evenface.__version__,
        today=date.today().isoformat(),
    )


def _kind(kind: Kind) -> dict[str, Any]:
    beyond = kind.beyond
    below = [one for one in kind.candidates if not one.beyond][:BELOW]
    return {
        "key": kind.key.replace(" ", "-"),
        "title": kind.title,
        "how": kind.how,
        "notes": kind.notes,
        "ticked": sum(one.ticked and bool(one.rows) for one in beyond[:MOST]),
        "count": len(beyond),
        "beyond": [_card(one) for one in beyond[:MOST]],
        "below": [_card(one) for one in below],
    }


def _card(one: Candidate) -> dict[str, Any]:
    return {
        "rank": one.rank,
        "figure": f"{one.score:.3f}",
        "words": one.words,
        "rows": [[_plain(cell) for cell in row] for row in one.rows],
        "leaves_out": one.leaves_out,
        "ticked": one.ticked and one.beyond,
        "left": _side(one.left),
        "right": _side(one.right),
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "title": label(side),
        "more": side.more,
        "pictures": [
            _picture(side, index, place < side.meant) for place, index in enumerate(side.pictures[:_PICTURES])
        ],
    }


def _picture(side: Side, index: int, meant: bool) -> _Picture:
    """With an empty address where the picture cannot be had: its embedding was stored."""
    pictures, place = side.faces.pictures, int(side.faces.places[index])
    try:
        image = pictures.read(place)
    except UserError:
        return _Picture(pictures.names[place], "", meant)
    scale = _SIDE / min(image.shape[:2])
    if scale < 1:
        size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    content = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    uri = "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()
    return _Picture(pictures.names[place], uri, meant)


def _plain(text: str) -> str:
    """With the bytes of file names that are no text as \\x..."""
    return text.encode("utf-8", "backslashreplace").decode()


def _may_break(name: str) -> Markup:
    """As HTML in which a line may end behind _ and /."""
    return Markup(re.sub(r"(?<=[^_/])[_/]", r"\g<0><wbr>", str(escape(_plain(name)))))
