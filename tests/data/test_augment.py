from dataclasses import fields

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenface.data import AugmentConfig, augment
from evenface.data.augment import MASK_DROP, STEPS, Sample, generators, steps
from evenface.data.changes import (
    ERASED,
    Image,
    adjust,
    change_gamma,
    colour_matrix,
    light_from,
    lower_resolution,
    mask_edges,
    mix_channels,
    paint_mask,
    recompress,
    warp,
)
from evenface.errors import UserError
from evenface.faces import template
from evenface.faces.format import Colour

PROBABILITY = st.sampled_from([0.0, 0.5, 1.0])
CONFIGS = st.builds(
    AugmentConfig,
    flip=PROBABILITY,
    mask=PROBABILITY,
    rotate=st.floats(0, 180),
    scale=st.floats(0, 0.9),
    shift=st.floats(0, 1),
    brightness=st.floats(0, 1),
    contrast=st.floats(0, 1),
    gamma=st.floats(0, 1),
    light=st.floats(0, 1),
    saturation=st.floats(0, 1),
    hue=st.floats(0, 180),
    gray=PROBABILITY,
    low_resolution=PROBABILITY,
    low_resolution_least=st.floats(0.05, 1),
    blur=PROBABILITY,
    noise=st.floats(0, 1),
    jpeg=PROBABILITY,
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


def test_every_option_belongs_to_one_step() -> None:
    ranges = {"low_resolution_least", "erase_area"}
    options = [option for step in STEPS for option in step.options]
    assert sorted(options) == sorted({field.name for field in fields(AugmentConfig)} - ranges)


def test_what_is_off_draws_nothing() -> None:
    """So that a new kind of change leaves the pictures of a run as they were."""
    used = rng()
    augment(picture(), OFF, used)
    assert used.bit_generator.state == rng().bit_generator.state


def test_generators_are_those_of_numpy_at_a_place() -> None:
    key = np.random.SeedSequence((3, 8)).generate_state(2, np.uint64)
    alone = [np.random.Generator(np.random.Philox(counter=n << 192, key=key)) for n in (5, 0, 2**40, 5)]
    expected = [(g.random(), g.integers(9), *g.standard_normal(3, dtype=np.float32)) for g in alone]
    moved = generators(8, [5, 0, 2**40, 5])
    assert [(g.random(), g.integers(9), *g.standard_normal(3, dtype=np.float32)) for g in moved] == expected
    assert expected[0] == expected[3] != expected[1]


def test_the_order_of_the_draws() -> None:
    config = AugmentConfig(
        flip=1, rotate=9, scale=0.1, shift=0.05, brightness=0.2, contrast=0.3, gamma=0.4, light=0.5,
        gray=1, low_resolution=1, blur=1, noise=0.1, erase=1, erase_area=(0.1, 0.2),
    )  # fmt: skip
    sample = Sample(config, rng(), (30, 20, 3), "rgb")
    drawn = {step.options[0]: step.draw(sample) for step in steps(config)}
    again = rng()
    again.random()
    assert drawn["rotate"] == pytest.approx(again.uniform(-1, 1, 4) * [9, 0.1, 1, 1] + [0, 1, 0, 0])
    assert drawn["gamma"] == (1.4 ** again.uniform(-1, 1),)
    assert drawn["light"] == pytest.approx(0.5 * again.uniform(-1, 1, 2))
    assert drawn["brightness"] == pytest.approx(1 + again.uniform(-1, 1, 2) * [0.2, 0.3])
    again.random()
    again.random()
    assert drawn["low_resolution"] == (again.uniform(0.4, 1),)
    again.random()
    assert drawn["blur"] == (again.uniform(0.005, 0.02) * 20,)
    spread = 25.5 * again.random()
    assert drawn["noise"] is not None
    assert np.array_equal(drawn["noise"][0], spread * again.standard_normal((30, 20, 3), dtype=np.float32))
    again.random()
    area, ratio = again.uniform(0.1, 0.2) * 600, 2 ** again.uniform(-1, 1)
    tall, wide = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
    assert drawn["erase"] == (again.integers(31 - tall), again.integers(21 - wide), tall, wide)
    assert sample.rng.bit_generator.state == again.bit_generator.state


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


@pytest.mark.parametrize(("height", "width"), [(100, 100), (100, 40)])
def test_a_large_part_is_erased_whole(height: int, width: int) -> None:
    """Of more than half a square, no rectangle of 1:2 fits: it takes the nearest shape that does."""
    image = np.full((height, width, 3), 200, np.uint8)
    generator = rng()
    config = AugmentConfig(flip=0, erase=1, erase_area=(0.8, 0.9))
    for _ in range(50):
        erased = (augment(image, config, generator) == ERASED).all(axis=2)
        assert 0.78 < erased.mean() < 0.92


@pytest.mark.parametrize(("field", "value"), [("low_resolution_least", 0), ("hue", 181), ("mask", -0.1)])
def test_newer_options_have_ranges(field: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"^data\.augment\.{field}: "):
        AugmentConfig(**{field: value})  # type: ignore[arg-type]


def test_low_resolution_reaches_the_least_factor() -> None:
    """Of 16 random pixels' mean over areas of 100, about a tenth of the deviation is left."""
    image, generator = picture(160, 160, 1), rng()
    config = AugmentConfig(flip=0, low_resolution=1, low_resolution_least=0.1)
    stds = [augment(image, config, generator, "gray").std() / image.std() for _ in range(60)]
    assert 0.04 < min(stds) < 0.1
    mild = AugmentConfig(flip=0, low_resolution=1)
    assert min(augment(image, mild, generator, "gray").std() for _ in range(60)) > 0.15 * image.std()


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_colours_keep_their_luma_and_scale_their_distance_to_it(colour: Colour) -> None:
    luma = np.array([0.299, 0.587, 0.114])[:: 1 if colour == "rgb" else -1]
    image = picture(64, 64) // 3 + 85  # far from clipping
    gray = (image @ luma)[:, :, None]
    for saturation in (0.0, 0.5, 1.4):
        changed = mix_channels(image, colour_matrix(saturation, 0, colour))
        assert np.abs(changed - (gray + saturation * (image - gray))).max() < 1
    turned = mix_channels(image, colour_matrix(1, 120, colour))
    assert np.abs(turned @ luma - gray[:, :, 0]).max() < 1
    assert np.abs(turned.astype(float) - image).mean() > 10
    back = colour_matrix(1, -120, colour) @ colour_matrix(1, 120, colour)
    assert np.allclose(back, np.eye(3), atol=1e-12)


def test_a_hue_turns_from_red_to_green_to_blue_in_either_order() -> None:
    red = np.array([1.0, 0, 0])
    third = colour_matrix(1, 120, "rgb") @ red
    assert third.argmax() == 1
    assert (colour_matrix(1, 240, "rgb") @ red).argmax() == 2
    assert np.allclose(colour_matrix(1, 120, "bgr") @ red[::-1], third[::-1])


def test_colours_of_gray_are_left_alone() -> None:
    image = picture(channels=1)
    config = AugmentConfig(flip=0, saturation=1, hue=180, gray=1)
    assert augment(image, config, rng(), "gray") is image


def test_mask_hides_mouth_and_tip_of_the_nose_and_not_the_eyes() -> None:
    for height, width in ((112, 112), (112, 96), (56, 64), (33, 33)):
        eyes, nose, corners = np.split(template(height, width), [2, 3])
        image, white = np.zeros((height, width, 3), np.uint8), np.full(3, 255)
        for drop in MASK_DROP:
            covered = paint_mask(image, drop, white)
            for points, value in ((eyes, 0), (nose, 255), (corners, 255)):
                for x, y in np.rint(points).astype(int):
                    assert (covered[y, x] == value).all()
            assert (covered[-1, width // 2] == 255).all()  # the chin


def test_mask_is_a_convex_polygon_of_smooth_edges() -> None:
    cover = paint_mask(np.zeros((112, 112, 1), np.uint8), 3.0, np.array([200]))[:, :, 0]
    polygon = (cover > 100).astype(np.uint8)
    (outline,), _ = cv2.findContours(polygon, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert cv2.contourArea(cv2.convexHull(outline)) == pytest.approx(cv2.contourArea(outline), rel=0.02)
    between = (cover > 0) & (cover < 200)
    assert 50 < between.sum() < 500
    edges = mask_edges(112, 112, 3.0)
    assert np.allclose(np.linalg.norm(edges[:, :2], axis=1), 1)
    y, x = np.mgrid[:112, :112]
    inside = np.all([a * x + b * y + c > 0 for a, b, c in edges], axis=0)
    assert np.array_equal(inside, cover > 100)


def test_masks_have_many_colours_and_heights() -> None:
    image, generator = picture(112, 112), rng()
    seen = [augment(image, AugmentConfig(flip=0, mask=1), generator) for _ in range(40)]
    assert len({tuple(masked[90, 56]) for masked in seen}) > 35
    tops = {int(np.flatnonzero((masked[:, 56] == masked[90, 56]).all(axis=1))[0]) for masked in seen}
    assert len(tops) > 4


@pytest.mark.parametrize("colour", ["rgb", "bgr", "gray"])
def test_jpeg_is_what_the_codec_makes_of_the_picture(colour: Colour) -> None:
    image = cv2.GaussianBlur(picture(40, 31), (0, 0), 2)
    image[:, :, 2] //= 2
    if colour == "gray":
        image = image[:, :, :1]
    changes = [
        np.abs(
            recompress(image, quality, 2 if colour == "bgr" else 0).reshape(image.shape) - image.astype(float)
        )
        for quality in (30, 60, 95)
    ]
    assert changes[0].mean() > changes[1].mean() > changes[2].mean()
    assert 0 < changes[2].mean() < 2
    # Halved chroma costs blue the most, so a wrong order of the channels shows.
    as_bgr = image[:, :, ::-1] if colour == "rgb" else image
    code = cv2.imencode(".jpg", as_bgr, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    expected = cv2.imdecode(code, cv2.IMREAD_UNCHANGED).reshape(image.shape)
    expected = expected[:, :, ::-1] if colour == "rgb" else expected
    assert np.array_equal(recompress(image, 30, 2 if colour == "bgr" else 0).reshape(image.shape), expected)


def test_jpeg_draws_its_quality_over_the_whole_range() -> None:
    generator, config = rng(), AugmentConfig(jpeg=1)
    jpeg = next(step for step in STEPS if step.options == ("jpeg",))
    found = [jpeg.draw(Sample(config, generator, (9, 9, 3), "bgr")) for _ in range(1000)]
    assert {parameters[0] for parameters in found if parameters} == set(range(30, 96))
    assert {parameters[1] for parameters in found if parameters} == {2}
