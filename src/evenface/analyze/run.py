"""A run's folder as embeddings of its training set, labels and centres."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenface import losses
from evenface.backbones.saved import load_model
from evenface.data import load
from evenface.errors import UserError
from evenface.evaluation.torch_embedder import TorchEmbedder
from evenface.losses import CentreHead, regularisers
from evenface.training import checkpoint
from evenface.training.arguments import parse
from evenface.training.people import require_same_people
from evenface.training.readable import embed_readable


@dataclass(frozen=True, eq=False)
class Trained:
    """What is analysed: N training images of C people."""

    embeddings: Tensor
    """(N, D) float32, without augmentation and without mirror image."""
    labels: Tensor
    """(N,) int64."""
    identities: list[str]
    """C names."""
    loss: str
    centres: Tensor | None
    """(C, D) directions that the loss learned; None if it has none."""
    step: int
    """After which the weights are."""
    story: list[dict[str, Any]]
    """The lines of the training log."""


def read_run(
    folder: Path, root: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> Trained:
    """Read a run and embed its training pictures.

    Args:
        folder: as `evenface train -o` wrote it.
        root: where the pictures are now, in place of the recipe's data.root.
        progress: called with (done, all).

    Raises:
        UserError: the folder has no finished model, or its pictures are not those it was trained on.
    """
    net, card = load_model(folder)
    recipe = folder / "config.toml"
    if not recipe.is_file():
        raise UserError(f"{folder}: has no config.toml; give the folder that `evenface train -o` wrote")
    config = parse([], prog="evenface analyze", description="", recipe=recipe)
    data = config.data if root is None else replace(config.data, root=root)
    faces, _, _ = load(data, config.train.seed)
    tensors, state = checkpoint.read(checkpoint.of_step(folder, card.notes["step"]))
    rivals = state["start"].get("rivals", 0)  # classes without pictures, the last ones
    require_same_people(folder, faces, state["images"], "say where they are with --root DIR", rivals)
    people, size = len(faces.identities), card.options["embedding_size"]
    head = losses.create(config.loss.name, people + rivals, size, **config.loss.options)
    for extra in config.regularisers:
        regularisers.add(head, extra.name, **extra.options)
    head.load_state_dict({name: tensors[f"head.{name}"] for name in head.state_dict()})
    device = "cuda" if torch.cuda.is_available() else "cpu"
    embedder = TorchEmbedder(net, card.format, device)
    rows, labels = embed_readable(embedder, faces, data.corrupt, progress=progress)
    there, labels = np.unique(labels, return_inverse=True)  # somebody's may all be unreadable
    return Trained(
        embeddings=torch.from_numpy(rows),
        labels=torch.from_numpy(labels),
        identities=[faces.identities[label] for label in there],
        loss=config.loss.name,
        centres=head.directions()[there].detach() if isinstance(head, CentreHead) else None,
        step=state["step"],
        story=[json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()],
    )
