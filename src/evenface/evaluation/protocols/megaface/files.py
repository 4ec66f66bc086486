"""Where MegaFace's pictures lie, and its features where another program has extracted them."""

import json
import re
from pathlib import Path

from evenface.errors import UserError
from evenface.evaluation.benchmark import Benchmark
from evenface.evaluation.feature_files import gather_features
from evenface.evaluation.images import ImageSet
from evenface.evaluation.protocols.megaface.lists import locate
from evenface.evaluation.store import alone, slug


class Crops(ImageSet):
    """Pictures that are named as the lists name them, whatever spelling (`locate`) their files have."""

    def path(self, index: int) -> Path:
        """The file of picture `index`."""
        return locate(self.root, self.names[index])


def feature_ending(features: Path) -> str | None:
    """What stands behind pictures' names in a folder of features, such as `_r100.bin`; None: no features.

    Raises:
        UserError: there are several, hence features of several models.
    """
    files = (file.name for file in (features / "facescrub").glob("*/*.bin"))
    found = (re.fullmatch(r".+\.(?:jpe?g|png)(.*\.bin)", name, re.IGNORECASE) for name in files)
    endings = sorted({match[1] for match in found if match})
    if len(endings) > 1:
        raise UserError(
            f"{features}: has features of several models, *{', *'.join(endings)}; give each its own folder"
        )
    return endings[0] if endings else None


def store_features(benchmark: Benchmark, features: Path, ending: str, store: Path) -> None:
    """Gather a benchmark's feature files into a folder of stored embeddings (`evenface.evaluation.store`).

    Args:
        benchmark: what `megaface` read.
        features: holds the features' files, one a picture, named as the pictures are with `ending` behind.
        ending: such as `_r100.bin`.
        store: the folder to write to.

    Raises:
        UserError: a file is missing or broken, or of another dimension than the first; or another process is
            writing there.
    """
    store.mkdir(parents=True, exist_ok=True)
    names, target = benchmark.images.names, store / slug(benchmark.name)
    about = {"model": features.name, "conventions": {"format": f"feature files *{ending}"}}
    with alone(target.with_suffix(".npy.part")):
        target.with_suffix(".npy").unlink(missing_ok=True)
        target.with_suffix(".txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        target.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        gather_features([locate(features, name, ending) for name in names], target.with_suffix(".npy"))
