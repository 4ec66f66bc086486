import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dctn

from evenface.check.look import Look, look, look_at_pixels, picture_bits
from evenface.check.near import ALL, WORD, distance

from .conftest import encoded, picture

IMAGE = picture(1)
JPEG = encoded(IMAGE)


def bits_of(bgr: np.ndarray) -> np.ndarray:
    return look_at_pixels(np.ascontiguousarray(bgr[:, :, ::-1])).bits


def pil(image: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def rgb() -> Image.Image:
    return Image.fromarray(IMAGE[:, :, ::-1])


def differing(one: np.ndarray, other: np.ndarray) -> int:
    return int(distance(bits_of(one), bits_of(other)))


def test_the_bits_are_the_signs_of_the_lowest_frequencies():
    luma = cv2.cvtColor(picture(2, 32), cv2.COLOR_BGR2GRAY)
    signs = dctn(luma.astype(float), norm="ortho")[:16, :16] > 0
    signs[0, 0] = False
    words = [int(word) for word in picture_bits(luma)]
    unpacked = [word >> bit & 1 for word in words for bit in range(64)]
    low = [signs[u, v] for u in range(8) for v in range(8)]
    right = [signs[u, v] for u in range(8) for v in range(8, 16)]
    rest = [signs[u, v] for u in range(8, 16) for v in range(16)]
    assert unpacked == low + right + rest


COPIES = {
    "quality 60": lambda image: cv2.imdecode(np.frombuffer(encoded(image, 60), np.uint8), 1),
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "twice the size": lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
    "brighter": lambda image: cv2.convertScaleAbs(image, beta=20),
    "gray": lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_changed_copy_is_near(name):
    for seed in range(20):
        bits, others = map(bits_of, (picture(seed), COPIES[name](picture(seed))))
        assert distance(bits[:1], others[:1]) <= WORD
        assert distance(bits, others) <= ALL


def test_other_and_mirrored_pictures_are_far():
    assert all(differing(picture(i), picture(i + 1)) > 2 * ALL for i in range(20))
    assert all(differing(picture(i), picture(i)[:, ::-1]) > 2 * ALL for i in range(20))


def test_a_pictures_figures():
    seen = look(encoded(IMAGE, suffix=".png"))
    assert (seen.height, seen.width) == (112, 112)
    thumb = cv2.resize(IMAGE, (32, 32), interpolation=cv2.INTER_AREA).astype(int)
    assert seen.tint == (thumb.max(2) - thumb.min(2)).max() > 20
    luma = thumb @ [0.114, 0.587, 0.299]
    assert seen.mean == pytest.approx(luma.mean(), abs=0.5)
    assert seen.deviation == pytest.approx(luma.std(), abs=0.5)


def test_gray_in_a_colour_file_is_gray():
    gray = cv2.cvtColor(IMAGE, cv2.COLOR_BGR2GRAY)
    for content in (encoded(gray), encoded(COPIES["gray"](IMAGE)), encoded(gray, suffix=".png")):
        assert look(content).tint <= 2


def test_16_bits_alpha_palette_and_cmyk_are_read():
    deep = encoded(IMAGE.astype(np.uint16) * 257, suffix=".png")
    alpha = encoded(np.dstack([IMAGE, np.full((112, 112), 7, np.uint8)]), suffix=".png")
    cmyk = pil(rgb().convert("CMYK"), format="JPEG", quality=95)
    palette = pil(rgb().quantize(64), format="PNG")
    progressive = pil(rgb(), format="JPEG", quality=90, progressive=True)
    for content in (deep, alpha, cmyk, palette, progressive):
        seen = look(content)
        assert isinstance(seen, Look), seen
        assert distance(seen.bits, bits_of(IMAGE)) <= ALL


def test_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = look(pil(rgb().crop((0, 0, 112, 80)), format="JPEG", exif=exif))
    assert (seen.height, seen.width) == (112, 80)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif", ".pgm"])
def test_a_file_cut_short_is_told(suffix):
    whole = encoded(IMAGE if suffix != ".pgm" else IMAGE[:, :, 0], suffix=suffix)
    assert isinstance(look(whole), Look)
    for part in (0.3, 0.6, 0.9):
        assert isinstance(look(whole[: int(part * len(whole))]), str)


def test_a_jpeg_cut_short_says_so_though_its_thumbnail_is_whole():
    thumbnail = encoded(picture(3, 40))
    comment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = JPEG[:2] + comment + JPEG[2:]
    assert isinstance(look(whole), Look)
    assert isinstance(look(whole + b"\xff\xda trailing bytes"), Look)
    for cut in (1, 2, 500, 2000):
        assert "cut short" in look(whole[:-cut])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"see readme\n", ": begins with b'see readme"),
        (b"<!DOCTYPE html><html>404</html>", ": begins with b'<!DOCTYPE html>"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG with a header that is"),
        (b"\xff\xd8\xff", "cut short"),
    ],
)
def test_what_is_no_picture_is_described(content, words):
    assert words in look(content)


def test_a_header_of_a_huge_picture_takes_no_memory():
    header = bytearray(encoded(IMAGE, suffix=".png"))
    header[16:24] = (200_000).to_bytes(4, "big") * 2
    assert isinstance(look(bytes(header)), str)


@settings(max_examples=150)
@given(data=st.data())
def test_broken_bytes_never_raise(data):
    content = bytearray(
        data.draw(st.sampled_from([JPEG, encoded(IMAGE, suffix=".png"), encoded(IMAGE, suffix=".webp")]))
    )
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(look(bytes(content[: data.draw(st.integers(0, len(content)))])), (Look, str))
