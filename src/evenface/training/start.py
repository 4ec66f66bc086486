"""Beginning from a trained run: its backbone, and its class centres by the names of the people."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evenface.backbones.saved import Card, load_model
from evenface.data import FaceSet
from evenface.errors import UserError
from evenface.evaluation.torch_embedder import TorchEmbedder
from evenface.losses import FaceLoss
from evenface.losses.centre_head import INITIAL_STD
from evenface.training import checkpoint
from evenface.training.arguments import resolve
from evenface.training.config import Config, Named, tables
from evenface.training.means import mean_directions
from evenface.training.people import read_identities

Note = dict[str, Any]
"""For the card, the same in all processes: `run` and `step` that were begun from; how many people were `kept`
(their centres were), `new` (their centres started at means), `dropped`, or stay as `rivals` without pictures;
`backbone_only`, why no centre was taken, if none was."""


@dataclass(frozen=True, eq=False)
class Start:
    """A trained run, as another begins from it."""

    run: Path
    """Its folder."""
    step: int | None
    """After which its weights and centres are; None where its card does not say."""
    net: dict[str, Tensor]
    """Its backbone's weights."""
    loss: str | None
    """The name of its loss; None where its card does not say."""
    head: dict[str, Tensor]
    """Its loss's tensors by name, of all classes, on the CPU; none where the folder has no checkpoints."""
    identities: list[str]
    """Who the classes of `head` are."""

    def others(self, people: list[str]) -> list[str]:
        """Its people who are none of these, in the order of their classes."""
        known = set(people)
        return [person for person in self.identities if person not in known]

    def begin(
        self, net: nn.Module, head: FaceLoss, people: list[str], faces: FaceSet, config: Config
    ) -> Note:
        """Give a fresh backbone its weights, and a fresh loss what `fill` does, from the pictures of `faces`.

        `use_class_sizes` of the loss comes afterwards.

        Raises:
            UserError: as `fill` and `mean_directions`; or the loss can learn nothing while the backbone is
                frozen, or cannot have classes without pictures.
        """
        name, data = config.loss.name, config.data
        if config.start.freeze and not any(p.requires_grad for p in head.parameters()):
            raise UserError(f"start.freeze: {name} has nothing that learns beside the backbone; use 0")
        net.load_state_dict(self.net)
        embedder = TorchEmbedder(net, config.input, next(net.parameters()).device)
        note = self.fill(
            head,
            name,
            people,
            len(faces.identities),
            lambda labels: mean_directions(
                embedder, faces, labels, head.embedding_size, data.corrupt, max(1, data.workers)
            ),
        )
        if note["rivals"]:
            try:
                head.use_class_sizes(torch.bincount(torch.from_numpy(faces.labels), minlength=len(people)))
            except UserError as error:
                raise UserError(
                    f"start.others: keep makes classes without pictures, which {name} cannot have ({error}); "
                    "use drop, or another loss"
                ) from None
        return note

    def fill(
        self,
        head: FaceLoss,
        loss: str,
        people: list[str],
        pictured: int,
        means: Callable[[list[int]], Tensor],
    ) -> Note:
        """Put its values, or the means of people's pictures, into the classes that a fresh loss holds.

        Whoever it knows gets their centre and, with the same loss, the loss's other values of a class. Any
        other's centre has the direction of the mean and the average length of the old centres, because a
        centre turns by the learning rate over the square of its length.

        Args:
            head: of the new run, all or a part of its classes.
            loss: its name.
            people: who its classes are, (num_classes,).
            pictured: how many of them, the first ones, have pictures.
            means: from P labels, rising, to unit vectors (P, D); called with the new people held here, if
                there are any.

        Raises:
            UserError: people without pictures are kept, and no centres of them can be.
        """
        rivals, why = len(people) - pictured, self._why_no_centres(head, loss)
        if rivals and why:
            raise UserError(f"start.others: there are no centres to keep, since {why}; use drop")
        row = {} if why else {person: i for i, person in enumerate(self.identities)}
        held = range(head.classes.start, head.classes.stop)
        known = [label for label in held if people[label] in row]
        new = [label for label in held if people[label] not in row]
        state = head.state_dict()
        for name in head.per_class() & self.head.keys():
            old, here = self.head[name], state[name]
            if old.shape[1:] == here.shape[1:] and (name == "centres" or loss == self.loss):
                here[_places(known, held)] = old[[row[people[label]] for label in known]].to(here)
        has_centres = "centres" in state
        if new and has_centres:
            length = INITIAL_STD * math.sqrt(head.embedding_size)
            if not why:
                length = float(self.head["centres"].norm(dim=-1).mean())
            centres, start = state["centres"], length * means(new)
            centres[_places(new, held)] = (start if centres.ndim == 2 else start[:, None]).to(centres)
        kept = sum(person in row for person in people[:pictured])
        note = {
            "run": str(self.run),
            "step": self.step,
            "kept": kept,
            "new": pictured - kept if has_centres else 0,
            "dropped": len(self.others(people)),
            "rivals": rivals,
        }
        return {**note, "backbone_only": why} if why else note

    def _why_no_centres(self, head: FaceLoss, loss: str) -> str | None:
        """Why the new loss cannot take centres of the old one; None if it can."""
        centres = head.state_dict().get("centres")
        if centres is None:
            return f"{loss} has no class centres"
        if not self.head and not self.identities:
            return "its folder has no checkpoints, which hold the class centres"
        if "centres" not in self.head:
            return f"its loss, {self.loss}, has no class centres"
        if self.head["centres"].shape[1:] != centres.shape[1:]:
            return f"its loss, {self.loss}, has class centres of another shape"
        return None


def read(config: Config, run: Path) -> Start:
    """The trained run that a new one of these resolved settings begins from.

    Raises:
        UserError: no trained run is there, its checkpoint or list of people does not fit its model, or the
            settings say another backbone or input.
    """
    net, card = load_model(run)
    _require_same_network(config, card, run)
    step: int | None = card.notes.get("step")
    head: dict[str, Tensor] = {}
    identities: list[str] = []
    if step is not None and (run / "checkpoints").exists():
        tensors, _ = checkpoint.read(checkpoint.of_step(run, step))
        head = {name.removeprefix("head."): x for name, x in tensors.items() if name.startswith("head.")}
        identities = read_identities(run)
        if "centres" in head and len(head["centres"]) != len(identities):
            raise UserError(
                f"{run}: identities.json names {len(identities):,} people, and the checkpoint has "
                f"{len(head['centres']):,} class centres; copy the run's folder again"
            )
    return Start(run, step, net.state_dict(), card.notes.get("loss", {}).get("name"), head, identities)


def classes(config: Config, pictured: list[str], resumed: Path | None) -> tuple[Start | None, list[str]]:
    """The run that this one begins from, and who the classes are: those with pictures, then those kept.

    Args:
        config: resolved.
        pictured: the people who have pictures.
        resumed: folder of the run if it goes on, which needs nothing of the other: None is returned for that.

    Raises:
        UserError: as `read` and `read_identities`.
    """
    keep = config.start.others == "keep"
    if resumed is not None:
        return None, read_identities(resumed) if keep else pictured
    if config.start.run is None:
        return None, pictured
    old = read(config, config.start.run)
    return old, [*pictured, *old.others(pictured)] if keep else pictured


def resumed(config: Config, note: Note) -> Note:
    """The note of a run that goes on; UserError if the settings name another run to begin from."""
    run = None if config.start.run is None else str(config.start.run)
    if run != note.get("run"):
        raise UserError(
            f"start.run: {run} is asked for, and the run began from {note.get('run')}; leave it out"
        )
    return note


def sentences(note: Note) -> list[str]:
    """What `Start.begin` did, for the user; nothing of an empty note."""
    if not note:
        return []
    begins = f"begins from {note['run']}" + (f" at step {note['step']:,}" if note["step"] is not None else "")
    means = "at the mean of their pictures' embeddings"
    if "backbone_only" in note:
        starts = f"; all {note['new']:,} people's centres start {means}" if note["new"] else ""
        return [f"{begins}, of which only the backbone is taken, since {note['backbone_only']}{starts}"]
    rivals = f", {note['rivals']:,} others stay as rivals without pictures" if note["rivals"] else ""
    dropped = f", {note['dropped']:,} others are left out" if note["dropped"] else ""
    kept = f"{note['kept']:,} people keep their class centres"
    return [f"{begins}: {kept}, {note['new']:,} new ones start {means}{rivals}{dropped}"]


def _places(labels: list[int], held: range) -> Tensor:
    return torch.tensor(labels, dtype=torch.int64) - held.start


def _require_same_network(config: Config, card: Card, run: Path) -> None:
    theirs = resolve(replace(config, backbone=Named(card.backbone, card.options), input=card.format))
    for name in ("backbone", "input"):
        here = tables(getattr(config, name))
        for field, value in tables(getattr(theirs, name)).items():
            if here.get(field) != value:
                raise UserError(
                    f"{name}.{field}: {here.get(field)} is asked for, and {run} has {value}; its network is "
                    "taken over as it is, so leave this out, or in Python say the same"
                )
