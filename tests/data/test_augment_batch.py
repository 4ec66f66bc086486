from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from evenface.data import AugmentConfig, FaceDataset, augment, read_folder
from evenface.data.augment import STEPS, Step, augment_batch, generators
from evenface.data.batch_changes import blur, lower_resolution
from evenface.data.changes import Image
from evenface.data.jpeg import jpeg
from evenface.faces import InputFormat, read_image
from evenface.faces.format import Colour

STRONG = {
    "flip": 0.5, "mask": 0.8, "rotate": 40, "scale": 0.3, "shift": 0.1, "gamma": 0.6, "light": 0.5,
    "brightness": 0.4, "contrast": 0.5, "saturation": 0.8, "hue": 60, "gray": 0.6, "low_resolution": 0.8,
    "blur": 0.8, "noise": 0.1, "jpeg": 0.8, "erase": 0.8,
}  # fmt: skip
# Largest mean difference to the change of one picture, in gray levels. A resized picture is rounded once, not
# twice; a colour is mixed in fixed point there; a coefficient of JPEG near a half may round either way.
# Gray levels, the worst picture's mean. JPEG: at most 1.25 over 40 seeds, 3.0 or more without the step.
TOLERANCE = {"low_resolution": 0.35, "blur": 0.15, "saturation": 0.15, "jpeg": 1.5}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]
FORMS: list[tuple[int, int, Colour]] = [(56, 48, "rgb"), (33, 47, "bgr"), (40, 40, "gray")]


def pictures(count: int, height: int, width: int, colour: Colour) -> NDArray[np.uint8]:
    """Smooth colours with some detail, as photographs have, uint8 (N, height, width, channels)."""
    rng = np.random.default_rng(height)
    channels = 1 if colour == "gray" else 3
    made = []
    for _ in range(count):
        image = sum(
            k
            * cv2.resize(
                rng.normal(0, 1, (k + 2, k + 2, channels)) / k**1.5, (width, height), interpolation=2
            )
            for k in (2, 4, 8, 16)
        )
        made.append(np.clip(128 + 50 * image, 0, 255).reshape(height, width, channels).astype(np.uint8))
    return np.stack(made)


def planes(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def one_by_one(
    images: NDArray[np.uint8], config: AugmentConfig, draws: Sequence[int], seed: int, colour: Colour
) -> Tensor:
    changed: list[Image] = [
        augment(image, config, next(generators(seed, [draw])), colour)
        for image, draw in zip(images, draws, strict=True)
    ]
    return planes(np.stack(changed))


def difference(a: Tensor, b: Tensor) -> float:
    return float((a.cpu().double() - b.cpu().double()).abs().flatten(1).mean(dim=1).max())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("height", "width", "colour"), FORMS)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.options[0])
def test_a_step_changes_a_batch_as_it_changes_its_pictures(
    step: Step, height: int, width: int, colour: Colour, device: str
) -> None:
    chosen = {"flip": 0, "low_resolution_least": 0.2, **{option: STRONG[option] for option in step.options}}
    config = AugmentConfig(**chosen)  # type: ignore[arg-type]
    images, draws = pictures(24, height, width, colour), [*range(100, 124)]
    expected = one_by_one(images, config, draws, 7, colour)
    batch = augment_batch(planes(images).to(device), config, draws, 7, colour)
    assert batch.dtype == torch.uint8
    assert batch.device.type == device
    assert difference(batch, expected) < TOLERANCE.get(step.options[0], 0.01)
    changed = (expected != planes(images)).flatten(1).any(dim=1)
    assert bool(changed.any()) == (colour != "gray" or step.options[0] not in ("saturation", "gray"))
    untouched = ~changed
    assert torch.equal(batch.cpu()[untouched], planes(images)[untouched])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("height", "width", "colour"), FORMS)
def test_all_steps_together(height: int, width: int, colour: Colour, device: str) -> None:
    images, draws = pictures(24, height, width, colour), [*range(24)]
    # JPEG makes more of the roundings before it: a pixel that differs by one may change its whole block. Over
    # 25 seeds the worst picture differs by at most 2.8, and by 17 or more where JPEG is left out.
    for compressed, tolerance in ((0, 0.5), (1, 4)):
        config = AugmentConfig(**{**STRONG, "jpeg": compressed})  # type: ignore[arg-type]
        batch = augment_batch(planes(images).to(device), config, draws, 3, colour)
        assert difference(batch, one_by_one(images, config, draws, 3, colour)) < tolerance


def test_real_faces(data_root: Path) -> None:
    paths = sorted((data_root / "celeb" / "images").glob("*/*.jpg"))[::600]
    images = np.stack([InputFormat().fit(read_image(path)) for path in paths])
    for step in STEPS:
        chosen = {"flip": 0, "low_resolution_least": 0.14, **{o: STRONG[o] for o in step.options}}
        config = AugmentConfig(**chosen)  # type: ignore[arg-type]
        batch = augment_batch(planes(images), config, range(len(images)), 0)
        expected = one_by_one(images, config, range(len(images)), 0, "rgb")
        assert difference(batch, expected) < TOLERANCE.get(step.options[0], 0.01)


def test_the_data_set_gives_the_same_samples(make_faces) -> None:  # type: ignore[no-untyped-def]
    faces = read_folder(make_faces({"a": 3, "b": 4}))
    config, format = AugmentConfig(rotate=20, noise=0.1, erase=1), InputFormat(24, 20)
    keys = [(5, 17), (0, 4), (5, 18)]
    plain, changed = (
        FaceDataset(faces, format, how, seed=11).__getitems__(keys).images for how in (None, config)
    )
    assert difference(augment_batch(plain, config, [draw for _, draw in keys], 11), changed) < 0.01


def test_a_sample_does_not_depend_on_its_batch_and_the_input_stays() -> None:
    config = AugmentConfig(**STRONG)  # type: ignore[arg-type]
    images = planes(pictures(8, 40, 32, "rgb"))
    before = images.clone()
    whole = augment_batch(images, config, range(8), 1)
    for i in (0, 5):
        alone = augment_batch(images[i : i + 1], config, [i], 1)
        assert difference(alone, whole[i : i + 1]) < 0.01
    assert torch.equal(images, before)
    assert not torch.equal(whole, augment_batch(images, config, range(8), 2))
    assert torch.equal(whole, augment_batch(images, config, range(8), 1))


def test_all_off_and_an_empty_batch() -> None:
    images = planes(pictures(3, 20, 20, "rgb"))
    assert torch.equal(augment_batch(images, AugmentConfig(flip=0), range(3), 0), images)
    assert augment_batch(images[:0], AugmentConfig(**STRONG), [], 0).shape == (0, 3, 20, 20)  # type: ignore[arg-type]


def test_as_many_draws_as_pictures() -> None:
    with pytest.raises(ValueError, match=r"2 draws for 3 images"):
        augment_batch(planes(pictures(3, 20, 20, "rgb")), AugmentConfig(), [1, 2], 0)


@given(st.integers(16, 70), st.integers(16, 70), st.floats(0.05, 1))
@settings(max_examples=40)
def test_lower_resolution_at_any_size(height: int, width: int, factor: float) -> None:
    image = pictures(1, height, width, "gray")
    small = cv2.resize(
        image[0],
        (max(1, round(width * factor)), max(1, round(height * factor))),
        interpolation=cv2.INTER_AREA,
    )
    expected = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    changed = lower_resolution(planes(image), np.array([factor]))[0, 0].numpy()
    assert np.abs(changed.astype(int) - expected.reshape(height, width)).max() <= 2


@pytest.mark.parametrize("deviation", [0.08, 0.5, 1.9, 8.0])
def test_blur_mirrors_the_border_however_near_it_is(deviation: float) -> None:
    image = pictures(1, 16, 90, "gray")
    expected = cv2.GaussianBlur(image[0], (0, 0), deviation, borderType=cv2.BORDER_REFLECT_101)
    changed = blur(planes(image), np.array([deviation]))[0, 0].numpy()
    assert np.abs(changed.astype(int) - expected.reshape(16, 90)).max() <= 1


@pytest.mark.parametrize("quality", [1, 30, 50, 75, 95, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_that_of_the_codec(channels: int, quality: int) -> None:
    for height, width in ((64, 64), (41, 55)):
        images = pictures(6, height, width, "gray" if channels == 1 else "bgr")
        expected = np.stack(
            [
                cv2.imdecode(
                    cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_UNCHANGED
                ).reshape(image.shape)
                for image in images
            ]
        )
        made = jpeg(planes(images[:, :, :, ::-1]).float(), np.full(6, quality)).flip(1)
        assert torch.equal(made, made.round().clamp(0, 255))
        error = np.abs(made.permute(0, 2, 3, 1).numpy() - expected).mean()
        change = np.abs(images.astype(float) - expected).mean()
        assert error < 0.15 + 0.1 * change


def test_jpeg_takes_a_quality_for_each_picture() -> None:
    images = planes(pictures(3, 32, 32, "rgb")).float()
    qualities = np.array([30, 60, 90])
    together = jpeg(images, qualities)
    for i in range(3):
        assert difference(together[i : i + 1], jpeg(images[i : i + 1], qualities[i : i + 1])) < 0.01
    flat = torch.full((1, 3, 20, 20), 77.0)
    assert (jpeg(flat, np.array([95])) - flat).abs().max() <= 1
