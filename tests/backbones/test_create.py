from typing import Any

import pytest
import torch
from torch import nn

from evenface import backbones
from evenface.errors import UserError


def test_names_are_the_table() -> None:
    assert backbones.names() == list(backbones.BACKBONES)
    assert {"tiny", "sphereface64", "mobilefacenet", "iresnet100"} <= set(backbones.names())


def test_defaults() -> None:
    model = backbones.create("tiny")
    assert model.training
    assert model(torch.zeros(2, 3, 112, 112)).shape == (2, 512)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("iresnet-50", "'iresnet50'"), ("MobileFaceNet", "'mobilefacenet'"), ("resnet18", "18'")],
)
def test_unknown_name_lists_all_and_hints_at_the_closest(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"did you mean .*{hint}") as caught:
        backbones.create(name)
    assert all(known in str(caught.value) for known in backbones.names())


def test_name_like_no_other_gets_no_hint() -> None:
    with pytest.raises(UserError, match="choose from tiny") as caught:
        backbones.create("xyzzy")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("name", backbones.names())
@pytest.mark.parametrize("input_size", [(16, 112), (112, 16), (0, 0)])
def test_too_small_input(name: str, input_size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"input_size: .* too small; give each side 32 pixels or more"):
        backbones.create(name, input_size=input_size)


@pytest.mark.parametrize("name", [name for name in backbones.names() if name not in ("tiny", "compact")])
@pytest.mark.parametrize("input_size", [(100, 112), (112, 100)])
def test_input_that_does_not_divide(name: str, input_size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"input_size: .* does not divide by 16"):
        backbones.create(name, input_size=input_size)


@pytest.mark.parametrize("field", ["embedding_size", "channels"])
def test_field_below_one(field: str) -> None:
    values: dict[str, Any] = {field: 0}
    with pytest.raises(UserError, match=f"{field}: 0 is too small"):
        backbones.create("tiny", **values)


def test_unknown_option_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="iresnet18 has no option blocks; it takes dropout"):
        backbones.create("iresnet18", blocks=(1, 1, 1, 1))
    with pytest.raises(UserError, match="tiny has no option dropout; it takes none"):
        backbones.create("tiny", dropout=0.1)


def test_one_line_adds_a_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(
        *, embedding_size: int, input_size: tuple[int, int], channels: int, scale: int = 1
    ) -> nn.Module:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(channels * input_size[0] * input_size[1], embedding_size * scale)
        )

    monkeypatch.setitem(backbones.BACKBONES, "linear", build)
    model = backbones.create("linear", embedding_size=4, input_size=(32, 48), channels=1, scale=3)
    assert model(torch.zeros(2, 1, 32, 48)).shape == (2, 12)
