import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenface.data import AugmentConfig, augment
from evenface.data.augment import ERASED, Image, adjust, change_gamma, light_from, lower_resolution, warp
from evenface.faces.format import Colour

PROBABILITY = st.sampled_from([0.0, 0.5, 1.0])
CONFIGS = st.builds(
    AugmentConfig,
    flip=PROBABILITY,
    rotate=st.floats(0, 180),
    scale=st.floats(0, 0.9),
    shift=st.floats(0, 1),
    brightness=st.floats(0, 1),
    contrast=st.floats(0, 1),
    gamma=st.floats(0, 1),
    light=st.floats(0, 1),
    gray=PROBABILITY,
    low_resolution=PROBABILITY,
    blur=PROBABILITY,
    noise=st.floats(0, 1),
    erase=PROBABILITY,
    erase_area=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda area: (min(area), max(area))),
)
OFF = AugmentConfig(flip=0)


def picture(height: int = 32, width: int = 24, channels: int = 3, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@given(
    CONFIGS, st.integers(16, 40), st.integers(16, 40), st.sampled_from(["rgb", "bgr", "gray"]), st.integers(0)
)
def test_any_change_keeps_the_form_and_follows_the_generator(
    config: AugmentConfig, height: int, width: int, colour: Colour, seed: int
) -> None:
    image = picture(height, width, 1 if colour == "gray" else 3)
    before = image.copy()
    changed = augment(image, config, np.random.default_rng(seed), colour)
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(changed, augment(image, config, np.random.default_rng(seed), colour))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_all_off_changes_nothing(channels: int) -> None:
    image = picture(channels=channels)
    assert np.array_equal(augment(image, OFF, rng(), "rgb" if channels == 3 else "gray"), image)


@pytest.mark.parametrize("channels", [1, 3])
def test_flip_is_the_exact_mirror_half_of_the_time(channels: int) -> None:
    image, generator = picture(channels=channels), rng()
    colour: Colour = "rgb" if channels == 3 else "gray"
    assert np.array_equal(augment(image, AugmentConfig(flip=1), rng(), colour), image[:, ::-1])
    flipped = 0
    for _ in range(400):
        changed = augment(image, AugmentConfig(), generator, colour)
        is_mirror = np.array_equal(changed, image[:, ::-1])
        assert is_mirror or np.array_equal(changed, image)
        flipped += is_mirror
    assert 160 < flipped < 240


def test_warp_shifts_by_whole_pixels_and_replicates_the_border() -> None:
    image = picture()
    moved = warp(image, 0, 1, 3, -2)
    assert np.array_equal(moved[:-2, 3:], image[2:, :-3])
    assert np.array_equal(moved[:-2, :3], np.repeat(image[2:, :1], 3, axis=1))
    assert np.array_equal(moved[-2:, 3:], np.repeat(image[-1:, :-3], 2, axis=0))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_warp_turns_about_the_middle_counter_clockwise(quarters: int) -> None:
    image = picture(31, 31)
    assert np.array_equal(warp(image, 90 * quarters, 1, 0, 0), np.rot90(image, quarters))


def test_warp_enlarges_about_the_middle() -> None:
    ramp = np.tile(np.arange(0, 248, 8, dtype=np.uint8), (31, 1))[:, :, None]
    assert np.array_equal(warp(ramp, 0, 2, 0, 0)[4], 60 + 4 * np.arange(31))


def test_random_warp_stays_within_its_limits() -> None:
    """A single bright pixel in the middle: where it lands shows the shift that was drawn."""
    image = np.zeros((41, 41, 1), np.uint8)
    image[18:23, 18:23] = 255
    generator, found = rng(), []
    for _ in range(300):
        changed = augment(image, AugmentConfig(flip=0, shift=0.2), generator, "gray")[:, :, 0].astype(float)
        found.append([(changed.sum(1 - axis) @ np.arange(41)) / changed.sum() - 20 for axis in (0, 1)])
    assert np.abs(found).max() <= 0.2 * 41 + 0.1
    assert (np.min(found, axis=0) < -7).all()
    assert (np.max(found, axis=0) > 7).all()


def test_adjust_is_the_formula() -> None:
    image = picture()
    bright = image.astype(float) * 0.8
    expected = (bright - bright.mean()) * 1.1 + bright.mean()
    assert np.array_equal(adjust(image, 0.8, 1.1), np.clip(np.rint(expected), 0, 255))
    assert np.array_equal(adjust(image, 1, 1), image)
    assert (adjust(image, 1, 0) == round(image.mean())).all()


def test_gamma_is_the_power_of_the_fraction() -> None:
    image = picture()
    assert np.array_equal(change_gamma(image, 1), image)
    for exponent in (0.5, 1.3):
        expected = np.rint(255 * (image.astype(float) / 255) ** exponent)
        assert np.array_equal(change_gamma(image, exponent), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_light_is_a_plane_that_is_one_in_the_middle(channels: int) -> None:
    flat = np.full((21, 41, channels), 100, np.uint8)
    lit = light_from(flat, 0.3, -0.2)
    assert (lit[10, 20] == 100).all()
    assert (lit[10, 40] == 130).all()
    assert (lit[10, 0] == 70).all()
    assert (lit[20, 20] == 80).all()
    assert (lit[0, 40] == 150).all()
    # Saturates rather than wraps.
    assert (light_from(flat, 1, 1)[-1, -1] == 255).all()
    assert (light_from(flat, 1, 1)[0, 0] == 0).all()


@pytest.mark.parametrize(
    ("config", "low", "high"),
    [
        (AugmentConfig(flip=0, gamma=0.5), 255 * 0.4**1.5, 255 * 0.4 ** (1 / 1.5)),
        (AugmentConfig(flip=0, light=0.2), 102 * 0.6, 102 * 1.4),
        (AugmentConfig(flip=0, brightness=0.3), 102 * 0.7, 102 * 1.3),
    ],
)
def test_random_tones_reach_their_limits_and_stay_within(
    config: AugmentConfig, low: float, high: float
) -> None:
    flat, generator = np.full((9, 9, 1), 102, np.uint8), rng()
    seen = np.stack([augment(flat, config, generator, "gray") for _ in range(600)]).astype(float)
    assert low - 1 <= seen.min() <= low + 8
    assert high - 8 <= seen.max() <= high + 1


def test_blur_keeps_the_mean_and_lowers_the_contrast() -> None:
    image, generator = picture(64, 64), rng()
    stds = []
    for _ in range(50):
        changed = augment(image, AugmentConfig(flip=0, blur=1), generator)
        assert abs(changed.mean() - image.mean()) < 1.5
        stds.append(changed.std() / image.std())
    # Of white noise, a Gaussian of deviation s pixels keeps 1 / (2 s sqrt(pi)): at 2 % of 64 pixels, 0.22.
    assert min(stds) == pytest.approx(1 / (2 * 0.02 * 64 * np.pi**0.5), abs=0.03)
    assert max(stds) > 0.7


def test_noise_has_the_deviation_it_was_told() -> None:
    flat, generator = np.full((32, 32, 1), 128, np.uint8), rng()
    seen = [augment(flat, AugmentConfig(flip=0, noise=0.05), generator, "gray") for _ in range(300)]
    stds = [float(changed.std()) / 255 for changed in seen]
    assert 0.045 < max(stds) < 0.054
    assert min(stds) < 0.003
    assert abs(np.mean(seen) - 128) < 0.2


@pytest.mark.parametrize(
    ("colour", "weights"), [("rgb", (0.299, 0.587, 0.114)), ("bgr", (0.114, 0.587, 0.299))]
)
def test_gray_is_luma_in_all_channels(colour: Colour, weights: tuple[float, float, float]) -> None:
    image = picture()
    changed = augment(image, AugmentConfig(flip=0, gray=1), rng(), colour)
    assert (changed == changed[:, :, :1]).all()
    assert np.abs(changed[:, :, 0] - image @ np.array(weights)).max() <= 1


def test_low_resolution_keeps_the_average_and_loses_detail() -> None:
    image = picture(40, 40)
    low = lower_resolution(image, 0.5)
    assert abs(low.mean() - image.mean()) < 2
    assert low.std() < 0.6 * image.std()
    assert np.array_equal(lower_resolution(image, 1), image)


def test_erase_paints_one_rectangle_of_the_area_asked_for() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    generator = rng()
    for _ in range(50):
        config = AugmentConfig(flip=0, erase=1, erase_area=(0.1, 0.2))
        erased = (augment(image, config, generator) == ERASED).all(axis=2)
        rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
        assert erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert 0.09 < erased.mean() < 0.21
        assert 0.45 < len(rows) / len(columns) < 2.2
