"""A trained backbone on disk: its weights (safetensors) and its card (JSON), which says how to use them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from evenface import backbones
from evenface.errors import UserError
from evenface.faces import InputFormat

WEIGHTS, CARD = "model.safetensors", "card.json"


@dataclass(frozen=True)
class Card:
    """What a user of the weights must know. Conventions that change an embedding stand here, not in code."""

    backbone: str
    options: dict[str, Any]
    """Keyword arguments of `backbones.create`, `embedding_size` among them."""
    format: InputFormat
    notes: dict[str, Any] = field(default_factory=dict)
    """How the weights came about: loss, people, images, step, what was measured."""

    def create(self) -> nn.Module:
        """The backbone with fresh weights."""
        return backbones.create(
            self.backbone,
            input_size=(self.format.height, self.format.width),
            channels=self.format.channels,
            **self.options,
        )


def save_model(folder: Path, module: nn.Module, card: Card) -> None:
    """Write the weights and the card into `folder`; each replaces the old one in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    save_file(weights, folder / (WEIGHTS + ".unfinished"))
    (folder / (CARD + ".unfinished")).write_text(json.dumps(asdict(card), indent=2) + "\n")
    for name in (WEIGHTS, CARD):
        (folder / (name + ".unfinished")).replace(folder / name)


def save_note(folder: Path, name: str, value: Any) -> None:
    """Set one note of the card in `folder` to plain JSON; all else stays. The file is replaced in one step.

    Raises:
        UserError: as `load_card`.
    """
    load_card(folder)
    plain = json.loads((folder / CARD).read_text())
    plain["notes"][name] = value
    (folder / (CARD + ".unfinished")).write_text(json.dumps(plain, indent=2) + "\n")
    (folder / (CARD + ".unfinished")).replace(folder / CARD)


def load_card(folder: Path) -> Card:
    """The card of the model in a folder.

    Raises:
        UserError: there is none, or it is not a model's card.
    """
    try:
        plain = json.loads((folder / CARD).read_text())
        return Card(plain["backbone"], plain["options"], InputFormat(**plain["format"]), plain["notes"])
    except FileNotFoundError:
        raise _nothing(folder, CARD) from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{folder / CARD}: not a model's card ({error})") from None


def load_model(folder: Path) -> tuple[nn.Module, Card]:
    """The trained backbone in evaluation mode, and its card.

    Raises:
        UserError: the folder has no model, or the card and the weights do not fit one another.
    """
    card = load_card(folder)
    try:
        weights = load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise _nothing(folder, WEIGHTS) from None
    module = card.create()
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{folder / WEIGHTS}: not the weights of {card.backbone} ({str(error).splitlines()[1].strip()})"
        ) from None
    return module.eval(), card


def _nothing(folder: Path, missing: str) -> UserError:
    return UserError(
        f"{folder}: no trained model here ({missing} is missing); "
        "give the folder that `evenface train -o` wrote"
    )
