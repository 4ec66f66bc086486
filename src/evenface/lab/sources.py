"""The pictures that the lab trains on and tests with."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evenface.data import FaceSet, read_names
from evenface.errors import UserError
from evenface.evaluation.images import Image
from evenface.evaluation.protocols.cfp import load_crop as cfp_crop
from evenface.evaluation.protocols.lfw import load_crop as lfw_crop
from evenface.evaluation.protocols.pairs import read_lines
from evenface.faces import read_image
from evenface.lab.config import SetsConfig, SourceName


@dataclass(frozen=True)
class Source:
    """How a set of faces lies in its folder."""

    pattern: str
    """Of the pictures, below the folder."""
    person: Callable[[Path], str]
    """Of a picture's path."""
    crop: Callable[[Path], Image]
    """A picture's aligned 112x112 RGB crop, uint8 (112, 112, 3)."""
    names: Callable[[Path, list[str]], list[str]]
    """Of the folder and the identities: what the people are called, one each."""


def _cfp_names(root: Path, identities: list[str]) -> list[str]:
    file = root / "Data/list_name.txt"
    names = read_lines(file)
    if max(map(int, identities)) > len(names):
        raise UserError(f"{file}: names {len(names)} people, and there are more; fetch the file again")
    return [names[int(identity) - 1] for identity in identities]


def _on_the_template(path: Path) -> Image:
    image = read_image(path)
    if image.shape[:2] != (112, 112):
        raise UserError(
            f"{path}: is {image.shape[1]}x{image.shape[0]} pixels; lab.faces takes 112x112 on the template"
        )
    return image


SOURCES: dict[SourceName, Source] = {
    "cfp": Source("Data/Images/*/frontal/*.jpg", lambda path: path.parts[-3], cfp_crop, _cfp_names),
    "lfw": Source("images/*/*.jpg", lambda path: path.parts[-2], lfw_crop, lambda _, people: people),
    "faces": Source("*/*.jpg", lambda path: path.parts[-2], _on_the_template, lambda _, people: people),
}
"""By the name of the field of `SetsConfig` that has the folder."""


def folder(name: SourceName, config: SetsConfig) -> Path:
    """The folder of a source; UserError if it is not set."""
    root: Path | None = getattr(config, name)
    if root is None:
        raise UserError(f"lab.{name}: this recipe needs the pictures of {name}; give --lab.{name} DIR")
    return root


def pictures(name: SourceName, config: SetsConfig) -> FaceSet:
    """Every picture of a source, in the order of their paths; UserError if there is none."""
    root, source = folder(name, config), SOURCES[name]
    paths = sorted(root.glob(source.pattern))
    if not paths:
        raise UserError(
            f"lab.{name}: no pictures {source.pattern} in {root}; give the folder of the whole set"
        )
    return FaceSet.of(paths, [source.person(path) for path in paths])


def left_out(name: SourceName, config: SetsConfig) -> set[str]:
    """The identities of a source whom the settings leave out of every set."""
    if name != "faces":
        return set()
    return set[str]().union(*map(read_names, config.exclude))


def shared(name: SourceName, others: tuple[SourceName, ...], config: SetsConfig) -> set[str]:
    """The identities of a source who are in one of the other ones too, by the letters of their names."""
    known = {_letters(n) for other in others for n in _names(other, config).values()}
    return {identity for identity, n in _names(name, config).items() if _letters(n) in known}


def _names(name: SourceName, config: SetsConfig) -> dict[str, str]:
    identities = pictures(name, config).identities
    return dict(zip(identities, SOURCES[name].names(folder(name, config), identities), strict=True))


def _letters(name: str) -> str:
    """Case, accents and what stands between the words differ between the two sets."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(c for c in plain if c.isascii() and c.isalpha())
