"""The embeddings of the pictures that are checked."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from evenface.check.cleaning.faces import Faces
from evenface.check.scan import Seen
from evenface.check.sets import PictureSet
from evenface.errors import UserError
from evenface.evaluation.embed import Flip, embed
from evenface.evaluation.images import ImageSet
from evenface.evaluation.models import Model
from evenface.evaluation.store import embed_into, read_stored, slug
from evenface.progress import Progress


class _Packed(ImageSet):
    """Pictures of a set in several files that are not theirs alone."""

    def files(self) -> Iterator[Path]:
        """Every file of the set's folder."""
        return (path for path in sorted(self.root.rglob("*")) if path.is_file())


def embedded(
    model: Model,
    seen: Seen,
    flip: Flip,
    *,
    store: Path | None,
    batch_size: int,
    workers: int,
    progress: Callable[[str], Progress],
) -> list[Faces]:
    """The pictures of every set that can be read, embedded; sets of none are left out.

    Args:
        model: what `open_model` gave; of stored embeddings, those of these sets' names are taken.
        seen: what the pass over the sets saw.
        flip: as of `embed`.
        store: keep the embeddings in this folder, or take them from there (`evenface.evaluation.store`).
        batch_size, workers: as of `embed`.
        progress: from a set's label, what is called after each batch.

    Raises:
        UserError: as `embed` and `read_stored`; or two sets have one name.
    """
    if model.features is not None:
        raise UserError(f"--model: {model.name} are feature files of MegaFace's kit; name a model")
    found, names = [], dict[str, str]()
    for pictures, start in zip(seen.sets, seen.starts.tolist(), strict=False):
        name = slug(pictures.label)
        if name in names:
            raise UserError(f"{names[name]}, {pictures.label}: two sets of one name; check one at a time")
        names[name] = pictures.label
        places = np.flatnonzero(seen.rows["whole"][start : start + len(pictures)])
        if not len(places):
            continue
        images = _images(pictures, places.tolist())
        if model.stored is not None:
            rows, _ = read_stored(model.stored, name, images.names)
        else:
            assert model.embedder is not None
            each = progress(pictures.label)
            if store is None:
                rows = embed(
                    model.embedder,
                    images,
                    flip,
                    batch_size=batch_size,
                    workers=workers,
                    names=images.names,
                    progress=each,
                )
            else:
                rows, _ = embed_into(
                    store / (slug(model.name) or "model"),
                    pictures.label,
                    model.embedder,
                    images,
                    pictures.crop,
                    flip,
                    model.fingerprint,
                    batch_size=batch_size,
                    workers=workers,
                    progress=each,
                )
        found.append(Faces.of(pictures, places, rows))
    widths = {faces.rows.shape[1] for faces in found}
    if len(widths) > 1:
        raise UserError(f"{model.name}: has embeddings of {sorted(widths)} values; they must be as long")
    return found


def _images(pictures: PictureSet, places: Sequence[int]) -> ImageSet:
    names = [pictures.names[place] for place in places]
    several = pictures.packed is not None and pictures.root.is_dir()
    inside = pictures.root if pictures.root.is_file() else None
    return (_Packed if several else ImageSet)(
        pictures.root, names, lambda index: pictures.read(places[index]), inside
    )
