"""TinyFace: 3,728 low-resolution probes, 4,443 mates, 153,428 distractors (Cheng et al., ACCV 2018)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.data.readers.folder import SUFFIXES
from evenface.errors import UserError
from evenface.evaluation.images import ImageSet
from evenface.evaluation.protocols.identification import DISTRACTOR, IdentificationSet, Search
from evenface.evaluation.protocols.matfile import read_mat
from evenface.faces import read_image


def tinyface(root: Path) -> IdentificationSet:
    """The closed-set search of TinyFace's test set: each picture of the gallery is a candidate of its own.

    The pictures are small, loose crops that are not on the template. They are taken as they are: the middle
    is resized to the network's input. Pictures under the same names that are aligned to the template already
    are read the same way.

    Args:
        root: holds `Testing_Set` or, where there is no such folder, what is in it: the folders `Probe`,
            `Gallery_Match` and `Gallery_Distractor`, and the MATLAB files `probe_img_ID_pairs.mat`
            (`probe_set`, file names, and `probe_ids`) and `gallery_match_img_ID_pairs.mat` (`gallery_set`,
            `gallery_ids`). No list names the distractors: all pictures of their folder are.

    Raises:
        UserError: a list or the distractors are missing or broken, or a probe has no mate.
    """
    folder = root / "Testing_Set" if (root / "Testing_Set").is_dir() else root
    probe_file, gallery_file = (folder / f"{x}_img_ID_pairs.mat" for x in ("probe", "gallery_match"))
    probes, probe_ids = _read(probe_file, "probe")
    gallery, gallery_ids = _read(gallery_file, "gallery")
    without = np.flatnonzero(~np.isin(probe_ids, gallery_ids))
    if len(without):
        raise UserError(
            f"{probe_file}: {probes[without[0]]} shows person {probe_ids[without[0]]}, who is not in "
            f"{gallery_file}; fetch both lists again"
        )
    distractors = _pictures(folder / "Gallery_Distractor")
    names = [f"Probe/{name}" for name in probes]
    names += [f"Gallery_Match/{name}" for name in gallery]
    names += [f"Gallery_Distractor/{name}" for name in distractors]
    pictures = np.arange(len(names))
    search = Search(
        name="TinyFace",
        gallery=pictures[len(probes) :],
        probes=pictures[: len(probes)],
        conventions={
            "gallery": "each picture a candidate of its own, distractors among them",
            "map": "trapezoids under precision over recall, as the set's own script has it",
        },
        pooled=False,
        ranks=(1, 5, 10, 20, 50),
        average_precision=True,
    )
    return IdentificationSet(
        name="TinyFace",
        images=ImageSet(folder, names, lambda i: read_image(folder / names[i])),
        people=np.concatenate([probe_ids, gallery_ids, np.full(len(distractors), DISTRACTOR)]),
        searches=[search],
        conventions={"crop": "pictures as they are, the middle resized to the input"},
        sources=[probe_file, gallery_file],
    )


def _read(file: Path, what: str) -> tuple[list[str], NDArray[np.int64]]:
    """File names, and the person of each."""
    names, ids = read_mat(file, f"{what}_set", f"{what}_ids")
    if len(names) != len(ids) or not names:
        raise UserError(f"{file}: {len(names)} names for {len(ids)} people; fetch it again")
    if len(set(names)) < len(names):
        raise UserError(f"{file}: a picture stands there twice; fetch it again")
    for name, person in zip(names, ids, strict=True):
        if not name.isprintable() or name in ("", ".", "..") or "/" in name or "\\" in name:
            raise UserError(f"{file}: expected the name of a picture, found {name[:100]!r}; fetch it again")
        if not (0 <= person < 2**53 and person == int(person)):
            raise UserError(f"{file}: {name} has person {person}, not a whole number of 0 or more")
    return names, ids.astype(np.int64)


def _pictures(folder: Path) -> list[str]:
    names = []
    if folder.is_dir():
        names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not names:
        raise UserError(f"{folder}: no pictures; the protocol needs all 153,428 distractors there")
    return names
