from typing import Any

import pytest
import tyro

from evenface.data import AugmentConfig, DataConfig
from evenface.errors import UserError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_images", 0),
        ("holdout", -1),
        ("images_per_person", 0),
        ("workers", -1),
        ("images", -1),
        ("shuffle_buffer", -1),
    ],
)
def test_numbers_below_the_range_are_refused_by_name(field: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"^data\.{field}: {value} is too small; use {value + 1} or more"):
        DataConfig(**{field: value})  # type: ignore[arg-type]


def test_unknown_choices_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"^data\.corrupt: 'stopp' .*did you mean 'stop'"):
        DataConfig(corrupt="stopp")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^data\.sampler: 'pxk' .*square-root, effective, balanced, pk"):
        DataConfig(sampler="pxk")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [("flip", 1.5), ("rotate", 181), ("scale", 0.95), ("shift", -0.1), ("erase", float("nan"))],
)
def test_augmentation_outside_its_range_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"^data\.augment\.{field}: "):
        AugmentConfig(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("area", [(0.3, 0.2), (-0.1, 0.2), (0.1, 1.1)])
def test_erase_area_is_two_rising_fractions(area: tuple[float, float]) -> None:
    with pytest.raises(UserError, match=r"^data\.augment\.erase_area: .* two rising numbers"):
        AugmentConfig(erase_area=area)


def test_the_command_line_reads_the_same_fields() -> None:
    args = ["--root", "r", "--exclude", "a.txt", "b.csv", "--sampler", "pk", "--in-memory"]
    args += ["--augment.erase-area", "0.1", "0.3"]
    config = tyro.cli(DataConfig, args=args)
    assert str(config.root) == "r"
    assert [str(path) for path in config.exclude] == ["a.txt", "b.csv"]
    assert (config.sampler, config.in_memory, config.augment.erase_area) == ("pk", True, (0.1, 0.3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"imbalance": 0.5}, r"^data\.imbalance: 0\.5 is outside its range, 1 to"),
        ({"imbalance": float("nan")}, r"^data\.imbalance: nan"),
        ({"images": 100}, r"^data\.images: .* set data\.imbalance too"),
        ({"effective_images": float("nan")}, r"^data\.effective_images: nan"),
        ({"effective_images": 0}, r"^data\.effective_images: 0 is outside its range, 1 to 1e\+12"),
        ({"effective_images": float("inf")}, r"^data\.effective_images: inf"),
        ({"shuffle_buffer": 100, "sampler": "pk"}, r"^data\.shuffle_buffer: .* not with pk"),
        ({"images_per_person": 8}, r"^data\.images_per_person: goes with the pk sampler, not with random"),
        ({"effective_images": 9.0, "sampler": "pk"}, r"^data\.effective_images: .* the effective sampler"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DataConfig(**settings)
