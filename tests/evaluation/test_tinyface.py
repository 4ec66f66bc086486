"""TinyFace's lists and search, and the reader of its MATLAB files against SciPy's."""

import io
import json
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from evenface.errors import UserError
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.protocols.identification import DISTRACTOR
from evenface.evaluation.protocols.matfile import read_mat
from evenface.evaluation.protocols.tinyface import tinyface

from .conftest import picture, write

PROBES = [("1_a.jpg", 1), ("1_b.jpg", 1), ("2_a.jpg", 2), ("7_a.jpg", 7)]
GALLERY = [("7_x.jpg", 7), ("1_x.jpg", 1), ("1_y.jpg", 1), ("2_x.jpg", 2), ("2_y.jpg", 2), ("2_z.jpg", 2)]
DISTRACTORS = ["d1.jpg", "d2.jpg", "d3.jpg"]


def mat(what: str, rows: list[tuple[str, int]], dtype: str = "uint16", compress: bool = False) -> bytes:
    """As MATLAB has it: a column of cells with a line of text each, and a column of numbers."""
    cells = np.empty((len(rows), 1), dtype=object)
    for place, (name, _) in enumerate(rows):
        cells[place, 0] = name
    file = io.BytesIO()
    ids = np.array([[person] for _, person in rows], dtype=dtype)
    savemat(file, {f"{what}_ids": ids, f"{what}_set": cells}, do_compression=compress)
    return file.getvalue()


def make_tinyface(root: Path) -> Path:
    folder = root / "Testing_Set"
    for place, (name, person) in enumerate(PROBES):
        write(folder / "Probe" / name, picture(person, place, 20))
    for place, (name, person) in enumerate(GALLERY):
        write(folder / "Gallery_Match" / name, picture(person, 10 + place, 24))
    for place, name in enumerate(DISTRACTORS):
        write(folder / "Gallery_Distractor" / name, picture(100 + place, 1, 30))
    (folder / "Gallery_Distractor" / "Thumbs.db").write_bytes(b"no picture")
    (folder / "probe_img_ID_pairs.mat").write_bytes(mat("probe", PROBES))
    (folder / "gallery_match_img_ID_pairs.mat").write_bytes(mat("gallery", GALLERY, compress=True))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_tinyface(tmp_path / "tinyface")


def test_the_set_is_what_the_lists_say(root):
    chosen = tinyface(root)
    names = [f"Probe/{name}" for name, _ in PROBES] + [f"Gallery_Match/{name}" for name, _ in GALLERY]
    assert list(chosen.images.names) == names + [f"Gallery_Distractor/{name}" for name in DISTRACTORS]
    people = [person for _, person in PROBES + GALLERY]
    assert chosen.people.tolist() == people + [DISTRACTOR] * 3
    (search,) = chosen.searches
    assert search.probes.tolist() == [0, 1, 2, 3]
    assert search.gallery.tolist() == list(range(4, 13))
    assert not search.pooled
    assert chosen.images[0].shape == (20, 20, 3)  # as it is; an embedder resizes it
    assert list(tinyface(root / "Testing_Set").images.names) == list(chosen.images.names)


def test_people_who_look_alike_are_found(root, raw):
    (result,) = evaluate(raw, tinyface(root), batch_size=4)
    assert [rate.key for rate in result.rates] == ["rank1", "rank5", "rank10", "rank20", "rank50", "map"]
    assert (result["rank1"].value, result["map"].value) == (1.0, 1.0)
    assert result.counts == {
        "mated probes": 4,
        "non-mated probes": 0,
        "gallery people": 3,
        "gallery pictures": 6,
        "distractors": 3,
    }
    assert "resized to the input" in result.headline
    json.dumps(result.to_json(), allow_nan=False)


def test_rank_and_map_by_hand(root):
    # Angles from the probes' common direction; smaller is nearer.
    chosen = tinyface(root)
    degrees = {"7_x": 50, "1_x": 10, "1_y": 40, "2_x": 20, "2_y": 30, "2_z": 70, "d1": 5, "d2": 35, "d3": 80}
    angle = np.radians([degrees.get(Path(name).stem, 0) for name in chosen.images.names])
    (result,) = chosen.score(np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))
    # The list of every probe: d1 1_x 2_x 2_y d2 1_y 7_x 2_z d3.
    one = ((1 / 2 + 0 / 1) / 2 + (2 / 6 + 1 / 5) / 2) / 2
    two = ((1 / 3 + 0 / 2) / 2 + (2 / 4 + 1 / 3) / 2 + (3 / 8 + 2 / 7) / 2) / 3
    seven = (1 / 7 + 0 / 6) / 2
    assert result["map"].value == pytest.approx((one + one + two + seven) / 4)
    assert result.cmc.hits[:7].tolist() == [0, 2, 3, 3, 3, 3, 4]
    assert (result["rank1"].value, result["rank5"].value, result["rank10"].value) == (0.0, 0.75, 1.0)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64", "int64"])
def test_lists_that_scipy_writes(tmp_path, dtype, compress):
    rows = [("a.jpg", 3), ("Gr\u00fc\u00dfe.jpg", 200), ("\u4eba.jpg", 0), ("x" * 300 + ".jpg", 17)]
    (tmp_path / "x.mat").write_bytes(mat("probe", rows, dtype, compress))
    names, ids = read_mat(tmp_path / "x.mat", "probe_set", "probe_ids")
    assert list(zip(names, ids.tolist(), strict=True)) == rows


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) >= 1
    return content.replace(old, new, 1)


GOOD = mat("probe", PROBES)
BROKEN = {
    "empty": (b"", "not a MATLAB file of level 5"),
    "text": (b"probe_set, probe_ids\n" * 20, "not a MATLAB file of level 5"),
    "hdf5": (patched(GOOD, b"\x00\x01IM", b"\x00\x02IM"), "save it with -v7"),
    "big-endian": (patched(GOOD, b"\x00\x01IM", b"\x01\x00MI"), "not a MATLAB file of level 5"),
    "header alone": (GOOD[:128], "there is no 'probe_set'"),
    "other variables": (mat("gallery", PROBES), "there is no 'probe_set'"),
    "numbers only": (patched(GOOD, b"probe_set", b"probe_sat"), "there is no 'probe_set'"),
    "names only": (patched(GOOD, b"probe_ids", b"probe_ide"), "there is no 'probe_ids'"),
    "cut short": (GOOD[:-9], "broken MATLAB file.*fetch it again"),
    "a nested cell": (
        patched(GOOD, struct.pack("<IIII", 6, 8, 4, 0), struct.pack("<IIII", 6, 8, 1, 0)),
        "a cell that is not one line of text",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_lists(root, case):
    content, says = BROKEN[case]
    (root / "Testing_Set" / "probe_img_ID_pairs.mat").write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        tinyface(root)
    assert "probe_img_ID_pairs.mat" in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([*PROBES, ("1_a.jpg", 1)], "a picture stands there twice"),
        ([*PROBES, ("../1_c.jpg", 1)], "expected the name of a picture"),
        ([*PROBES, ("a\nb.jpg", 1)], "expected the name of a picture"),
        ([*PROBES, ("..", 1)], "expected the name of a picture"),
        ([*PROBES, ("9_a.jpg", 9)], "9_a.jpg shows person 9, who is not in .*gallery_match"),
        ([*PROBES, ("9_a.jpg", -100)], "9_a.jpg has person -100"),
        ([*PROBES, ("9_a.jpg", float("nan"))], "9_a.jpg has person nan"),
        ([*PROBES, ("9_a.jpg", float("inf"))], "9_a.jpg has person inf"),
        ([*PROBES, ("9_a.jpg", 1.5)], "9_a.jpg has person 1.5"),
        ([], "0 names for 0 people|broken"),
    ],
)
def test_lists_that_make_no_sense(root, rows, says):
    (root / "Testing_Set" / "probe_img_ID_pairs.mat").write_bytes(mat("probe", rows, "float64"))
    with pytest.raises(UserError, match=says):
        tinyface(root)


def test_missing_parts(root):
    folder = root / "Testing_Set"
    for name in DISTRACTORS:
        (folder / "Gallery_Distractor" / name).unlink()
    with pytest.raises(UserError, match="Gallery_Distractor: no pictures; the protocol needs all 153,428"):
        tinyface(root)
    (folder / "gallery_match_img_ID_pairs.mat").unlink()
    with pytest.raises(UserError, match=r"gallery_match_img_ID_pairs\.mat: No such file"):
        tinyface(root)


def test_small_files_do_not_grow(tmp_path):
    """A cell that announces 2^28 cells, and a zlib stream of 200 MB of zeros, cost next to nothing."""
    cells = np.empty((1, 1), dtype=object)
    cells[0, 0] = np.empty((1, 1), dtype=object)
    cells[0, 0][0, 0] = "a.jpg"
    file = io.BytesIO()
    savemat(file, {"probe_set": cells})
    huge = file.getvalue().replace(struct.pack("<IIii", 5, 8, 1, 1), struct.pack("<IIii", 5, 8, 2**28, 1))
    packer = zlib.compressobj()
    stream = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    bomb = GOOD[:128] + struct.pack("<II", 15, len(stream)) + stream
    for content in (huge, bomb):
        (tmp_path / "x.mat").write_bytes(content)
        tracemalloc.start()
        with pytest.raises(UserError, match="broken MATLAB file"):
            read_mat(tmp_path / "x.mat", "probe_set", "probe_ids")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6


PACKED = mat("probe", PROBES, compress=True)


def read_or_refuse(folder: Path, content: bytes) -> None:
    file = folder / "x.mat"
    file.write_bytes(content)
    try:
        names, ids = read_mat(file, "probe_set", "probe_ids")
    except UserError as error:
        assert str(file) in str(error)
    else:
        assert all(isinstance(name, str) for name in names)
        assert ids.dtype == np.float64


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mat")


@given(st.sampled_from([GOOD, PACKED]), st.integers(0, len(GOOD)))
def test_cut_files_are_refused(place, content, length):
    read_or_refuse(place, content[:length])


@given(st.sampled_from([GOOD, PACKED]), st.lists(st.integers(8 * 124, 8 * len(GOOD)), max_size=6))
def test_flipped_bits_are_refused_or_read(place, content, bits):
    changed = bytearray(content)
    for bit in bits:
        changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    read_or_refuse(place, bytes(changed))


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_header_are_refused_or_read(place, content):
    read_or_refuse(place, GOOD[:128] + content)
