"""A trained backbone on disk: its weights (safetensors) and its card (JSON), which says how to use them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from evenface import backbones
from evenface.errors import UserError
from evenface.faces import InputFormat
from evenface.files import whole

WEIGHTS, CARD = "model.safetensors", "card.json"
_AGAIN = "copy the run's folder again, or train it again"


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
    with whole(folder / WEIGHTS) as weights_file, whole(folder / CARD) as card_file:
        save_file(weights, weights_file)
        card_file.write_text(json.dumps(asdict(card), indent=2) + "\n")


def save_note(folder: Path, name: str, value: Any) -> None:
    """Set one note of the card in `folder` to plain JSON; all else stays. The file is replaced in one step.

    Raises:
        UserError: as `load_card`.
    """
    load_card(folder)
    plain = json.loads((folder / CARD).read_text(encoding="utf-8"))
    plain["notes"][name] = value
    with whole(folder / CARD) as file:
        file.write_text(json.dumps(plain, indent=2) + "\n")


def load_card(folder: Path) -> Card:
    """The card of the model in a folder.

    Raises:
        UserError: there is none, or it cannot be read, or it is not a model's card.
    """
    _openable(folder, CARD)
    try:
        plain = json.loads((folder / CARD).read_text(encoding="utf-8"))
        for name, kind in (("backbone", str), ("options", dict), ("notes", dict)):
            if not isinstance(plain[name], kind):
                raise TypeError(f"{name}: {plain[name]!r} is no {'text' if kind is str else 'table'}")
        return Card(plain["backbone"], plain["options"], InputFormat(**plain["format"]), plain["notes"])
    except (ValueError, KeyError, TypeError) as error:  # ValueError: no JSON, no UTF-8, or a wrong format
        raise UserError(f"{folder / CARD}: not a model's card ({error}); {_AGAIN}") from None


def load_model(folder: Path) -> tuple[nn.Module, Card]:
    """The trained backbone in evaluation mode, and its card.

    Raises:
        UserError: the folder has no model, or one that cannot be read, or the card and the weights do not
            fit one another.
    """
    card = load_card(folder)
    _openable(folder, WEIGHTS)  # for safetensors every file that it cannot open is missing
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{folder / WEIGHTS}: broken or cut short ({error}); {_AGAIN}") from None
    try:
        module = card.create()
    except (UserError, TypeError) as error:
        raise UserError(f"{folder / CARD}: describes no backbone ({error}); {_AGAIN}") from None
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{folder / WEIGHTS}: not the weights of {card.backbone} "
            f"({str(error).splitlines()[1].strip()}); {_AGAIN}"
        ) from None
    return module.eval(), card


def _openable(folder: Path, name: str) -> None:
    try:
        open(folder / name, "rb").close()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder}: no trained model here ({name} is missing); "
            "give the folder that `evenface train -o` wrote"
        ) from None
    except OSError as error:
        raise UserError(f"{folder / name}: {error.strerror}; change its permissions") from None
