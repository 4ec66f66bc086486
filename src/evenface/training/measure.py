"""What a run measures: people held out of the training folder, and the benchmark sets it was given."""

from math import isfinite

import numpy as np
import torch
from torch import Tensor, nn

from evenface.data import FaceSet
from evenface.errors import UserError
from evenface.evaluation.benchmark import Benchmark
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.metrics import read_auc, read_tar
from evenface.evaluation.people import pairs_roc
from evenface.evaluation.protocols import BENCHMARKS
from evenface.evaluation.torch_embedder import TorchEmbedder
from evenface.geometry import evenness
from evenface.losses import CentreHead, FaceLoss
from evenface.training.config import Config
from evenface.training.readable import embed_readable

HELD_OUT = "heldout.auc"


class Measures:
    """Calls every measurement of a run.

    Attributes:
        best_by: the value that decides which checkpoint is the best: the held-out people where there are
            any, so that a benchmark is not chosen on; otherwise the first set; None where nothing is
            measured on the way.

    Raises:
        UserError: a set is not as it should be or lacks a picture, or one person alone is held out.
    """

    def __init__(self, config: Config, trained: FaceSet, held: FaceSet | None):
        if held and len(held.identities) == 1:
            raise UserError("data.holdout: one person makes no pair of two people; hold out 2 or more")
        evaluate = config.evaluate
        roots = {"lfw": evaluate.lfw, "cfp-ff": evaluate.cfp, "cfp-fp": evaluate.cfp}
        self._sets: dict[str, Benchmark] = {
            name: BENCHMARKS[name](root) for name, root in roots.items() if root is not None
        }
        for benchmark in self._sets.values():
            benchmark.images.check()  # the first look would come after the last step
        self._trained = trained if evaluate.geometry else None
        self._held, self._input, self._flip = held, config.input, evaluate.flip
        self._corrupt = config.data.corrupt
        available = [*([HELD_OUT] if held else []), *(f"{name}.accuracy" for name in self._sets)]
        self.best_by = available[0] if evaluate.every and available else None

    def centres(self, head: FaceLoss) -> Tensor | None:
        """What is measured of the head: (C, D) directions of people's centres, on the CPU; None if none are.

        Every process calls this, though one measures: each holds some of the centres.
        """
        if self._trained is None or not isinstance(head, CentreHead):
            return None
        people = len(self._trained.identities)  # behind whom there may be classes without pictures
        return head.classes.whole(head.directions())[:people].cpu()

    def __call__(
        self, net: nn.Module, centres: Tensor | None, device: torch.device
    ) -> tuple[dict[str, float], list[str]]:
        """(values by name; a sentence for each set), with the `centres` that the method of that name gave.

        Of a benchmark set: every rate of its result that is measurable, as `lfw.accuracy`, `lfw.eer`.
        """
        embedder = TorchEmbedder(net, self._input, device=device)
        values: dict[str, float] = {}
        sentences = []
        if self._held:
            faces = self._held
            curve = pairs_roc(*embed_readable(embedder, faces, self._corrupt, self._flip))
            # AUC decides, since a few people have too few pairs for a TAR at a low FAR.
            values[HELD_OUT] = read_auc(curve)
            sentence = f"held-out people: AUC {100 * values[HELD_OUT]:.2f} %"
            tar = read_tar(curve, 1e-2)
            if tar.measurable:
                values["heldout.tar@far=1e-2"] = tar.tar
                sentence += f", TAR {100 * tar.tar:.2f} % at FAR 1e-2"
            sentences.append(f"{sentence} ({curve.genuine + curve.impostors:,} pairs of {faces})")
        for name, benchmark in self._sets.items():
            for result in evaluate(embedder, benchmark, self._flip):
                found = {rate.key: rate.value for rate in result.rates if isfinite(rate.value)}
                values |= {f"{name}.{key}": value for key, value in found.items()}
                sentences.append(result.headline)
        if self._trained:
            embeddings, labels = embed_readable(embedder, self._trained, self._corrupt)
            people, labels = np.unique(labels, return_inverse=True)  # somebody's may all be unreadable
            own = None if centres is None else centres[torch.from_numpy(people)]
            found = evenness(torch.from_numpy(embeddings), torch.from_numpy(labels), own)
            values |= found
            sentences.append(
                f"training people: nearest other centre {found['centres.mean']:.2f} degrees, sd / mean "
                f"{found['centres.cv']:.4f}; scopes {found['scopes.mean']:.2f} degrees, sd / mean "
                f"{found['scopes.cv']:.4f}"
            )
        return values, sentences
