import io
import os
import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from evenface.faces import image as module
from evenface.faces.announced import announced
from evenface.faces.image import UnreadableImage, decode_image, read_image
from machine import PATIENCE

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (11, 14, 3), dtype=np.uint8)
GRAY = np.ascontiguousarray(NOISE[:, :, 0])
RAMP = np.stack(np.broadcast_arrays(*np.ogrid[0:240:40j, 0:240:56j], 90), axis=-1).astype(np.uint8)
ALPHA = RNG.integers(0, 256, (11, 14), dtype=np.uint8)
ALPHA[0], ALPHA[1] = 0, 255


def saved(picture: Image.Image | NDArray[np.uint8 | np.bool_], form: str, **options: object) -> bytes:
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, form, **options)
    return file.getvalue()


def by_pillow(content: bytes) -> NDArray[np.uint8]:
    opened = Image.open(io.BytesIO(content))
    opened.info.pop("transparency", None)  # the colours of a palette, without a word about it
    return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))


def encoded(suffix: str, array: NDArray[np.uint8 | np.uint16 | np.float32]) -> bytes:
    done, content = cv2.imencode(suffix, array[..., ::-1] if array.ndim == 3 else array)
    assert done
    return content.tobytes()


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes]) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def tiff(order: str, entries: dict[int, tuple[str, int]], data: bytes = b"") -> bytes:
    words = b"".join(
        struct.pack(order + "HHI", tag, 3 if kind == "H" else 4, 1)
        + struct.pack(order + kind, value).ljust(4, b"\0")
        for tag, (kind, value) in sorted(entries.items())
    )
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(data)) + data
    return start + struct.pack(order + "H", len(entries)) + words + bytes(4)


def gray_tiff(order: str, height: int, width: int, **others: int) -> bytes:
    """Of 154 samples; `others` sets more tags, as `t322=16`."""
    entries = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 11, 279: 154}
    entries |= {int(name[1:]): value for name, value in others.items()}
    return tiff(order, {tag: ("I", value) for tag, value in entries.items()}, GRAY.tobytes())


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x112] = orientation
    return tags


PALETTE = Image.fromarray(NOISE).quantize(16)
LOSSLESS = {
    **{f"RGB {form}": saved(NOISE, form) for form in ("PNG", "BMP", "TIFF", "PPM")},
    **{f"L {form}": saved(GRAY, form) for form in ("PNG", "BMP", "TIFF", "PPM")},
    **{f"1 {form}": saved(GRAY > 99, form) for form in ("PNG", "BMP", "TIFF", "PPM")},
    **{f"P {form}": saved(PALETTE, form) for form in ("PNG", "BMP", "TIFF", "GIF")},
    **{f"P {n} bits": saved(Image.fromarray(NOISE).quantize(2**n), "PNG", bits=n) for n in (1, 2, 4)},
    **{f"alpha {form}": saved(np.dstack([NOISE, ALPHA]), form) for form in ("PNG", "BMP")},
    "alpha WebP": saved(np.dstack([NOISE, ALPHA]), "WEBP", lossless=True, exact=True),
    "alpha, gray": saved(np.dstack([GRAY, ALPHA]), "PNG"),
    "alpha, palette": saved(PALETTE, "PNG", transparency=bytes(range(0, 160, 10))),
    "alpha, one index": saved(PALETTE, "PNG", transparency=3),
    "alpha, one colour": saved(NOISE, "PNG", transparency=tuple(NOISE[2, 3].tolist())),
    "alpha, one gray": saved(GRAY, "PNG", transparency=int(NOISE[2, 3, 0])),
    "WebP": saved(NOISE, "WEBP", lossless=True),
    "PPM with comments": b"P6 # 9 9\n#\n14 #w\n11\n255\n" + NOISE.tobytes(),
    "PPM of digits": b"P3\n14 11\n255\n" + b" ".join(b"%d" % value for value in NOISE.ravel()) + b"\n",
    "PGM of digits": b"P2\n14 11\n255\n" + b" ".join(b"%d" % value for value in GRAY.ravel()) + b"\n",
    "PBM of digits": b"P1\n14 11\n" + b" ".join(b"%d" % (value > 99) for value in GRAY.ravel()) + b"\n",
    "BMP of OS/2": b"BM" + struct.pack("<IIIIHHHH", 26 + 44 * 11, 0, 26, 12, 14, 11, 1, 24)
    + b"".join(row[:, ::-1].tobytes() + b"\0\0" for row in NOISE[::-1]),
    "BMP, top row first": b"BM" + struct.pack("<IIIIiiHH24x", 54 + 44 * 11, 0, 54, 40, 14, -11, 1, 24)
    + b"".join(row[:, ::-1].tobytes() + b"\0\0" for row in NOISE),
    "TIFF, big-endian": gray_tiff(">", 11, 14),
    **{name: saved(NOISE, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_deflate", "packbits")},
    "TIFF group4": saved(GRAY > 99, "TIFF", compression="group4"),
    "1x1": saved(NOISE[:1, :1], "PNG"),
    "1xN": saved(np.repeat(NOISE[:1], 300, axis=1), "PNG"),
    "Nx1": saved(np.repeat(NOISE[:, :1], 300, axis=0), "BMP"),
    "bytes after the end": saved(NOISE, "PNG") + b"more",
}  # fmt: skip
FRAMES = {
    form: saved(NOISE, form, save_all=True, append_images=[Image.fromarray(255 - NOISE)], **options)
    for form, options in {"PNG": {}, "WEBP": {"lossless": True}, "GIF": {}, "TIFF": {}}.items()
}
CMYK = Image.fromarray(RNG.integers(0, 256, (3, 4, 4), dtype=np.uint8), "CMYK").resize(
    (56, 40), Image.Resampling.BOX
)
JPEG = saved(RAMP, "JPEG", quality=95)
JPEGS = {
    "JPEG": JPEG,
    "gray": saved(RAMP[..., 0], "JPEG"),
    "progressive": saved(RAMP, "JPEG", progressive=True),
    "no subsampling": saved(RAMP, "JPEG", subsampling=0),
    "restart markers": saved(RAMP, "JPEG", restart_marker_blocks=2),
    "CMYK of Adobe": saved(CMYK, "JPEG", quality=95),
    "thumbnail in EXIF": JPEG[:2] + b"\xff\xe1" + struct.pack(">H", 8 + len(saved(NOISE, "JPEG")))
    + b"Exif\0\0" + saved(NOISE, "JPEG") + JPEG[2:],
    "padding and stray bytes":
    JPEG[:20] + b"\xff\xff\xff" + JPEG[20:].replace(b"\xff\xc0", b"ab\xff\0c\xff\xff\xc0"),
    "WebP": saved(RAMP, "WEBP", quality=95),
    "TIFF": saved(RAMP, "TIFF", compression="jpeg"),
}  # fmt: skip
SEEDS = LOSSLESS | FRAMES | JPEGS | {"EXIF": saved(NOISE, "WEBP", exif=exif(6), lossless=True)}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_pictures_are_pillows_to_the_bit(name: str) -> None:
    picture = decode_image(LOSSLESS[name], name)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, by_pillow(LOSSLESS[name]))


@pytest.mark.parametrize("name", JPEGS)
def test_lossy_pictures_are_near_pillows(name: str) -> None:
    picture, expected = decode_image(JPEGS[name], name).astype(int), by_pillow(JPEGS[name]).astype(int)
    assert picture.shape == expected.shape == (40, 56, 3)
    assert np.abs(picture - expected).max() <= 3


def test_real_pictures_are_pillows(data_root: Path) -> None:
    for path in sorted((data_root / "lfw").rglob("*.jpg"))[:20]:
        assert announced(path.read_bytes())[1:] == Image.open(path).size
        assert np.abs(read_image(path).astype(int) - by_pillow(path.read_bytes())).max() <= 3


@pytest.mark.parametrize("name", FRAMES)
def test_of_several_frames_the_first_is_read(name: str) -> None:
    assert np.array_equal(decode_image(FRAMES[name], name), by_pillow(FRAMES[name]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(form: str, orientation: int) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    content = saved(RAMP, form, exif=exif(orientation), **options)
    turned = [
        RAMP, RAMP[:, ::-1], RAMP[::-1, ::-1], RAMP[::-1], RAMP.swapaxes(0, 1), np.rot90(RAMP, -1),
        RAMP[::-1, ::-1].swapaxes(0, 1), np.rot90(RAMP),
    ][orientation - 1]  # fmt: skip
    assert announced(content)[1:] == (56, 40)
    picture = decode_image(content, form).astype(int)
    assert picture.shape == turned.shape
    assert np.abs(picture - turned).max() <= (20 if form == "JPEG" else 0)
    assert np.abs(picture - by_pillow(content)).max() <= (3 if form == "JPEG" else 0)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pnm"])
@pytest.mark.parametrize("shape", [(11, 14), (11, 14, 3)])
def test_sixteen_bits_become_the_upper_eight(suffix: str, shape: tuple[int, ...]) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, shape, dtype=np.uint16)
    picture = decode_image(encoded(suffix, deep), suffix).astype(int)
    expected = np.broadcast_to((deep >> 8).reshape(11, 14, -1), (11, 14, 3))
    assert np.abs(picture - expected).max() <= (1 if suffix == ".tiff" else 0)


@pytest.mark.parametrize(("colour", "channels"), [(4, 2), (6, 4)])
def test_sixteen_bits_with_alpha(colour: int, channels: int) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (11, 14, channels)).astype(">u2")
    picture = decode_image(png(14, 11, 16, colour, [row.tobytes() for row in deep]), "x")
    assert np.array_equal(picture, np.broadcast_to(deep[..., : channels - 1] >> 8, (11, 14, 3)))


def test_a_transparent_tiff_comes_over_black() -> None:
    over = NOISE * (ALPHA[..., None] / 255)
    picture = decode_image(saved(np.dstack([NOISE, ALPHA]), "TIFF"), "x")
    assert np.abs(picture - over).max() <= 1
    assert np.array_equal(
        decode_image(saved(np.dstack([NOISE, np.full_like(ALPHA, 255)]), "TIFF"), "x"), NOISE
    )


def test_a_transparent_gif_comes_over_its_background() -> None:
    content = saved(PALETTE, "GIF", transparency=3, background=5)
    there = np.asarray(PALETTE) != 3
    colours = np.asarray(PALETTE.convert("RGB"))
    background = colours[np.asarray(PALETTE) == 5][0]
    assert np.array_equal(decode_image(content, "x"), np.where(there[..., None], colours, background))


@pytest.mark.parametrize("largest", [1, 15, 254, 1000, 4095, 65534])
@pytest.mark.parametrize("kind", [2, 3, 5, 6])
def test_pnm_of_other_ranges_is_refused(kind: int, largest: int) -> None:
    with pytest.raises(
        UnreadableImage, match="a: PNM whose largest value is neither 255 nor 65535; write it"
    ):
        decode_image(b"P%d\n2 2\n%d\n" % (kind, largest) + b"1 " * 24, "a")


@pytest.mark.parametrize("name", SEEDS)
def test_the_announced_size_is_pillows(name: str) -> None:
    opened = Image.open(io.BytesIO(SEEDS[name]))
    width, height = opened.size
    assert announced(SEEDS[name])[1:] == (width, height)


def test_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PIXELS", 14 * 11)
    for content in LOSSLESS.values():
        if announced(content)[1:] == (14, 11):
            decode_image(content, "a")
    monkeypatch.setattr(module, "MOST_PIXELS", 14 * 11 - 1)
    for name, content in LOSSLESS.items():
        if announced(content)[1:] == (14, 11):
            with pytest.raises(
                UnreadableImage, match=r"of 14 x 11 pixels; at most 0 million are read, make it smaller"
            ):
                decode_image(content, name)


def lies() -> dict[str, bytes]:
    """Small files that announce 20,000 x 20,000 pixels, or other sizes that would take gigabytes."""
    plain, gif, webp = saved(NOISE, "PNG"), saved(NOISE, "GIF"), saved(NOISE, "WEBP", exif=exif(1))
    side = struct.pack("<I", 19_999)[:3]
    start = JPEG.index(b"\xff\xc0")
    return {
        "JPEG": JPEG[: start + 5] + struct.pack(">HH", 20_000, 20_000) + JPEG[start + 9 :],
        "PNG": png(20_000, 20_000, 8, 2, [bytes(60_000)] * 3),
        "PNG chunk": plain[:33] + struct.pack(">I4s", 0x7FFFFFF0, b"IDAT") + plain[41:],
        "BMP": b"BM" + struct.pack("<IIIIiiHH24x", 0, 0, 54, 40, 20_000, -20_000, 1, 24),
        "BMP of OS/2": b"BM" + struct.pack("<IIIIHHHH", 0, 0, 26, 12, 20_000, 20_000, 1, 24),
        "WebP VP8X": webp[:24] + side + side + webp[30:],
        "GIF": gif[:6] + struct.pack("<HH", 20_000, 20_000) + gif[10:],
        "PNM": b"P6 20000 20000 255\n",
        "PNM of digits": b"P2\n#\n20000\n20000\n255\n1 2 3",
        "TIFF": gray_tiff("<", 20_000, 20_000),
        "TIFF tiles": gray_tiff(">", 11, 14, t322=16_384, t323=16_368, t324=8, t325=154),
        "TIFF strip": gray_tiff("<", 11, 14, t278=1 << 24),
    }


CHILD = """
import pickle, resource, sys
from evenface.faces.image import UnreadableImage, decode_image

def most():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmPeak"))

before = most()
resource.setrlimit(resource.RLIMIT_AS, ((before + 4096) << 20,) * 2)
for name, content in pickle.load(sys.stdin.buffer).items():
    try:
        decode_image(content, name)
        print(name, "was read")
    except UnreadableImage:
        pass
    if most() > before + 200:
        print(name, "took", most() - before, "MiB")
        before = most()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_lie_about_the_size_allocates_nothing() -> None:
    child = [sys.executable, "-c", CHILD]
    done = subprocess.run(
        child, input=pickle.dumps(lies()), capture_output=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == b""


@pytest.mark.parametrize("name", lies())
def test_a_lie_about_the_size_is_told(name: str) -> None:
    with pytest.raises(
        UnreadableImage,
        match=r"of \d+ x \d+ pixels; at most 100 million" if name != "PNG chunk" else "cut short",
    ):
        decode_image(lies()[name], name)


@pytest.mark.parametrize(
    "content",
    [
        b"text",
        b"P7\nWIDTH 1\n",
        b"\xff\xd8",
        b"RIFF" + bytes(40) + b"WAVE",
        encoded(".hdr", np.ones((4, 4, 3), np.float32)),
        encoded(".pfm", np.ones((4, 4, 3), np.float32)),
        encoded(".ras", NOISE),
        saved(RAMP, "JPEG2000"),
        saved(RAMP, "ICO"),
    ],
)  # fmt: skip
def test_other_kinds_are_refused(content: bytes) -> None:
    with pytest.raises(UnreadableImage, match=r"a: (not a picture in JPEG, PNG, BMP|WebP with a header)"):
        decode_image(content, "a")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    with (tmp_path / "vast.png").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "a.png").write_bytes(LOSSLESS["RGB PNG"])
    (tmp_path / "link.png").symlink_to("a.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert np.array_equal(read_image(tmp_path / "link.png"), NOISE)
    for name, why in {
        "empty.png": "empty file",
        "pipe.png": "not a regular file",
        "": "not a regular file",
        "vast.png": "1099511627776 bytes, more than a picture takes",
        "no.png": "No such file",
        "a.png/b.png": "Not a directory",
        "loop.png": "Too many levels",
        "n" * 300: "File name too long",
    }.items():
        with pytest.raises(UnreadableImage, match=why) as caught:
            read_image(tmp_path / name)
        assert caught.value.place == str(tmp_path / name)


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(LOSSLESS["RGB PNG"])
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(UnreadableImage, match="Permission denied"):
        read_image(tmp_path / "a.png")


def test_the_error_can_be_sent_between_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableImage(Path("a/b.jpg"), "why")))
    assert (type(error), str(error), error.place, error.why) == (
        UnreadableImage,
        "a/b.jpg: why",
        "a/b.jpg",
        "why",
    )


def check_it_is_read_or_refused(content: bytes) -> NDArray[np.uint8] | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_PIXELS", 1_000_000)  # for speed
        try:
            picture = decode_image(content, "a")
        except UnreadableImage as error:
            assert str(error).startswith("a: ")
            return None
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    _, width, height = announced(content)
    assert 0 < picture.shape[0] * picture.shape[1] <= width * height
    return picture


FUZZ = settings(max_examples=1500, suppress_health_check=list(HealthCheck))


@FUZZ
@given(st.sampled_from(sorted(SEEDS)), st.floats(0, 1, exclude_max=True))
def test_a_cut_picture_is_refused_or_keeps_its_shape(name: str, where: float) -> None:
    picture = check_it_is_read_or_refused(SEEDS[name][: int(len(SEEDS[name]) * where)])
    assert (
        picture is None or picture.shape == decode_image(SEEDS[name], name).shape or name.startswith("EXIF")
    )


@FUZZ
@given(
    st.sampled_from(sorted(SEEDS)),
    st.lists(
        st.tuples(st.one_of(st.integers(0, 80), st.integers(0, 5000)), st.integers(0, 255)),
        min_size=1,
        max_size=5,
    ),
)
def test_a_picture_with_changed_bytes_is_read_or_refused(name: str, changes: list[tuple[int, int]]) -> None:
    content = bytearray(SEEDS[name])
    for at, value in changes:
        content[at % len(content)] = value
    check_it_is_read_or_refused(bytes(content))


@FUZZ
@given(st.sampled_from([b"", *sorted({content[:4] for content in SEEDS.values()})]), st.binary(max_size=80))
@example(b"P5\n", b"9" * 5000 + b" 1 255\n")
@example(b"P2 ", b"#" * 5000)
@example(b"II*\0", b"\xff" * 80)
@example(b"\xff\xd8", b"\xff" * 5000)
@example(b"P5 ", b" " * 4090 + b"2 2 255 1234")
def test_bytes_after_a_start_are_read_or_refused(start: bytes, rest: bytes) -> None:
    check_it_is_read_or_refused(start + rest)
