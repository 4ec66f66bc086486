"""Models on disk that are not whole: one sentence that names the file and the cure."""

import builtins
import json

import pytest

from evenface.backbones.saved import CARD, WEIGHTS, Card, load_card, load_model, save_model
from evenface.errors import UserError
from evenface.faces import InputFormat

AGAIN = "; copy the run's folder again, or train it again$"


@pytest.fixture
def folder(tmp_path):
    card = Card("tiny", {"embedding_size": 8}, InputFormat(32, 32, "gray"))
    save_model(tmp_path, card.create(), card)
    return tmp_path


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_weights_that_are_cut_short(folder, kept):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:kept])
    with pytest.raises(UserError, match=f"^{folder / WEIGHTS}: broken or cut short .*{AGAIN}"):
        load_model(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"options": [8]},
        {"options": 8},
        {"backbone": ["tiny"]},
        {"notes": None},
        {"format": {"height": "112"}},
        {"format": {"height": 5}},
        {"format": {"colour": "red"}},
        {"format": [1]},
    ],
)
def test_a_card_with_a_wrong_field(folder, change):
    (folder / CARD).write_text(json.dumps(json.loads((folder / CARD).read_text()) | change))
    with pytest.raises(UserError, match=f"^{folder / CARD}: not a model's card .*{AGAIN}"):
        load_card(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"backbone": "\xff"}', b"{"])
def test_a_card_that_is_no_card(folder, content):
    (folder / CARD).write_bytes(content)
    with pytest.raises(UserError, match=f"^{folder / CARD}: not a model's card .*{AGAIN}"):
        load_card(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "tyni"},
        {"options": {"embedding_size": "8"}},
        {"options": {"channels": 3}},
        {"options": {"embedding_size": 8, "more": 1}},
    ],
)
def test_a_card_that_describes_no_backbone(folder, change):
    (folder / CARD).write_text(json.dumps(json.loads((folder / CARD).read_text()) | change))
    with pytest.raises(UserError, match=f"^{folder / CARD}: describes no backbone .*{AGAIN}"):
        load_model(folder)


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_file_without_permission_is_not_called_missing(folder, name, monkeypatch):
    own = builtins.open

    def refusing(file, *rest, **more):
        if file == folder / name:
            raise PermissionError(13, "Permission denied", str(file))
        return own(file, *rest, **more)

    monkeypatch.setattr(builtins, "open", refusing)
    with pytest.raises(UserError, match=f"^{folder / name}: Permission denied; change its permissions$"):
        load_model(folder)


def test_a_file_in_place_of_the_folder(folder):
    with pytest.raises(UserError, match=r"no trained model here .*give the folder"):
        load_model(folder / WEIGHTS)
