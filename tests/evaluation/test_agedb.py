"""AgeDB-30: its list of structs in cells in structs in cells, its landmarks, and the reader of such files."""

import io
import struct
import tracemalloc
import zlib
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.io import loadmat, savemat

from evenface.errors import UserError
from evenface.evaluation.embed import FunctionEmbedder
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.protocols.agedb import agedb
from evenface.evaluation.protocols.matfile import read_variable
from evenface.faces import TEMPLATE_112

from .conftest import GRAY_16, picture, raw_pixels

EACH = 2
LIST = "04_FINAL_protocol_30_years.mat"
PICTURES = "03_Protocol_Images"
POINTS = TEMPLATE_112 * 1.5 + 20  # in the 250x250 pictures


def name(person, age):
    return f"{person}_An{person}Le_{age // 30}_x_{age}"


def fold_pairs(fold):
    """(first, second, label): two genuine and two impostor pairs of four people, not in this order."""
    a, b, c, d = range(4 * fold, 4 * fold + 4)
    return [
        (name(a, 20), name(a, 50), 1),
        (name(a, 20), name(b, 50), -1),
        (name(c, 50), name(c, 20), 1),
        (name(d, 20), name(c, 50), -1),
    ]


def cells(rows):
    """An object array for savemat: a cell array of these rows."""
    table = np.empty((len(rows), len(rows[0])), dtype=object)
    for place in np.ndindex(table.shape):
        table[place] = rows[place[0]][place[1]]
    return table


def entry(stem):
    return {"name": stem, "age": float(stem[-2:])}


def split(pairs):
    found = cells([[entry(pair[row]) for pair in pairs] for row in (0, 1)])
    return {"pairs": found, "labels": np.array([[float(label) for *_, label in pairs]])}


def mat(splits, compress=False, variable="splits"):
    file = io.BytesIO()
    savemat(file, {variable: splits}, do_compression=compress)
    return file.getvalue()


def protocol(folds=None, compress=False):
    folds = [fold_pairs(fold) for fold in range(10)] if folds is None else folds
    return mat(cells([[split(pairs)] for pairs in folds]), compress)


GOOD = protocol()
PACKED = protocol(compress=True)


@cache
def encoded(person, age, size):
    return cv2.imencode(".jpg", picture(person, age, size))[1].tobytes()


def make(root, *, size=112):
    (root / PICTURES).mkdir(parents=True)
    for person in range(40):
        for age in (20, 50):
            (root / PICTURES / f"{name(person, age)}.jpg").write_bytes(encoded(person, age, size))
    (root / LIST).write_bytes(PACKED)
    return root


@pytest.fixture
def root(tmp_path):
    return make(tmp_path / "agedb")


def known(pairs):
    return [
        (pairs.images.names[a], pairs.images.names[b], 1 if same else -1, int(fold))
        for a, b, same, fold in zip(pairs.first, pairs.second, pairs.same, pairs.fold, strict=True)
    ]


def expected():
    return [(f"{a}.jpg", f"{b}.jpg", label, fold) for fold in range(10) for a, b, label in fold_pairs(fold)]


def test_each_column_of_a_fold_is_a_pair(root):
    pairs = agedb(root, "template")
    assert pairs.name == "AgeDB-30"
    assert known(pairs) == expected()
    assert (pairs.people[pairs.first] == pairs.people[pairs.second]).tolist() == pairs.same.tolist()
    assert len(set(pairs.people.tolist())) == 40
    pairs.images.check()


@pytest.mark.parametrize("content", [GOOD, PACKED])
def test_the_same_as_readers_by_place_find(root, content):
    """The places at which public readers look in what SciPy makes of the official list."""
    (root / LIST).write_bytes(content)
    rows = []
    for number, fold in enumerate(loadmat(root / LIST)["splits"]):
        pictures, labels = fold[0][0][0][0], fold[0][0][0][1][0]
        for column, label in enumerate(labels):
            first, second = (pictures[row][column][0][0][0][0] + ".jpg" for row in (0, 1))
            rows.append((first, second, int(label), number))
    assert known(agedb(root, "template")) == rows == expected()


def test_an_evaluation_of_the_whole_set(root):
    (result,) = evaluate(FunctionEmbedder(raw_pixels, GRAY_16, "raw pixels"), agedb(root, "template"))
    assert (result.protocol, result["accuracy"].value) == ("AgeDB-30", 1)
    assert result.conventions["crop"] == "pictures already on the template"
    assert result.conventions["folds"].startswith("10 folds")


def test_the_list_elsewhere_and_the_pictures_without_a_folder(root, tmp_path):
    (root / LIST).rename(tmp_path / "other.mat")
    pairs = agedb(root / PICTURES, "template", tmp_path / "other.mat")
    assert known(pairs) == expected()
    assert pairs.images[0].shape == (112, 112, 3)
    (root / PICTURES / f"{name(0, 50)}.jpg").unlink()
    with pytest.raises(UserError, match=r"0_An0Le_1_x_50.jpg: missing"):
        pairs.images.check()


def sixty_eight(five):
    """Points of which the five follow: the eyes' six lie unevenly about their mean, the others anywhere."""
    rng = np.random.default_rng(5)
    points = rng.uniform(0, 250, (68, 2))
    for eye, at in zip(five[:2], (36, 42), strict=True):
        around = rng.uniform(-12, 12, (6, 2))
        points[at : at + 6] = eye + around - around.mean(axis=0)
    points[[30, 48, 54]] = five[2:]
    return points


def pts(points, end="\n"):
    lines = ["version: 1", "n_points:  68", "{", *(f"{x:.6f} {y:.6f}" for x, y in points), "}"]
    return end.join(lines) + end


def with_landmarks(root):
    for path in (root / PICTURES).glob("*.jpg"):
        path.with_suffix(".pts").write_text(pts(sixty_eight(POINTS)))
    return root


def dot(point, size):
    image = np.zeros((size, size), np.uint8)
    cv2.circle(image, (round(point[0] * 16), round(point[1] * 16)), 4 * 16, 255, -1, shift=4)
    return image


def test_the_68_points_carry_the_five_to_the_template(tmp_path):
    root = with_landmarks(make(tmp_path / "agedb", size=250))
    pairs = agedb(root)
    assert pairs.conventions["crop"] == "the set's own 68 points"
    assert "37-42 and 43-48, nose 31, mouth corners 49 and 55" in pairs.conventions["points"]
    for place in range(5):
        cv2.imwrite(str(pairs.images.path(0)), dot(POINTS[place], 250))
        crop = pairs.images[0][:, :, 0].astype(float)
        assert crop.shape == (112, 112)
        rows, columns = np.indices(crop.shape)
        found = [(columns * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum()]
        assert_allclose(found, TEMPLATE_112[place], atol=0.3)
    before = pairs.sha256
    file = pairs.images.path(0).with_suffix(".pts")
    file.write_bytes(pts(sixty_eight(POINTS), " \r\n").encode())
    assert pairs.images[0].shape == (112, 112, 3)
    assert agedb(root).sha256 != before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: "", "empty"),
        (lambda t: t.replace("}", ""), r"shape \(67, 2\)"),
        (lambda t: t[: t.rindex(".")], r"shape \(67, 2\)"),
        (lambda t: t.replace("}", "1 1"), r"shape \(68, 2\)"),
        (lambda t: t.replace("{", "("), r"shape \(68, 2\)"),
        (lambda t: t.replace("{\n", ""), r"shape \(67, 2\)"),
        (lambda t: t.replace("{\n", "{\n1 2\n"), r"shape \(69, 2\)"),
        (lambda t: t.replace("{\n", "{\n1 2 3\n"), "not 68 lines"),
        (lambda t: t.replace(".", "x"), "not 68 lines"),
        (lambda t: pts(np.full((68, 2), np.nan)), "not finite"),
        (lambda t: pts(np.ones((68, 2))), "lie in one place"),
    ],
)
def test_broken_landmarks_are_named(tmp_path, change, says):
    pairs = agedb(with_landmarks(make(tmp_path / "agedb", size=250)))
    file = pairs.images.path(0).with_suffix(".pts")
    file.write_text(change(file.read_text()))
    with pytest.raises(UserError, match=rf"0_An0Le_0_x_20.pts: .*{says}"):
        pairs.images[0]


def test_missing_landmarks_are_named_with_the_other_crop(root):
    with pytest.raises(UserError, match=r"0_An0Le_0_x_20.pts: missing.* crop 'template'"):
        agedb(root)
    with pytest.raises(UserError, match=r"agedb.crop: 'x' is none of landmarks, template"):
        agedb(root, "x")


def test_template_crop_refuses_the_original_pictures(tmp_path):
    pairs = agedb(make(tmp_path / "agedb", size=250), "template")
    with pytest.raises(UserError, match=r"0_An0Le_0_x_20.jpg: is 250x250 pixels, not a 112x112 crop"):
        pairs.images[0]


FOLDS = [fold_pairs(fold) for fold in range(10)]


def with_last(*pairs):
    return [*FOLDS[:9], list(pairs)]


def one(a, b, label):
    """Ten folds, the last with this pair and one of the other kind."""
    return with_last((a, b, label), FOLDS[9][1] if label == 1 else FOLDS[9][0])


@pytest.mark.parametrize(
    ("folds", "says"),
    [
        (FOLDS[:9], "'splits' is not a cell array of 10 folds"),
        ([*FOLDS, FOLDS[0]], "'splits' is not a cell array of 10 folds"),
        (with_last(*FOLDS[9][:3]), "fold 10: 2 labels 1 and 1 labels -1 of 3, and 6 pictures"),
        (with_last(FOLDS[9][0]), "fold 10: 1 labels 1 and 0 labels -1"),
        (with_last(), "fold 10: 0 labels 1 and 0 labels -1 of 0, and 0 pictures"),
        (with_last(*FOLDS[9][:3], ("1_a_20", "2_a_50", 0)), "fold 10: 2 labels 1 and 1 labels -1 of 4"),
        (with_last(*FOLDS[9], ("1_a_20", "2_a_50", 0)), "fold 10: 2 labels 1 and 2 labels -1 of 5"),
        (with_last(*FOLDS[9], ("1_a_20", "2_a_50", float("nan"))), "2 labels 1 and 2 labels -1 of 5"),
        (one("1_a_20", "1_a_20", 1), "pair 1, 1_a_20.jpg and 1_a_20.jpg, cannot be a genuine pair"),
        (one("1_a_20", "2_a_50", 1), "fold 10: pair 1, .* cannot be a genuine pair"),
        (one("1_a_20", "1_a_50", -1), "fold 10: pair 1, .* cannot be an impostor pair"),
        (one("1_a_20", "../1_a_50", 1), "fold 10: expected a struct with a name 'PERSON_...'"),
        (one("1_a_20", "1_\\a_50", 1), "expected a struct with a name"),
        (one("1_a_20", "1_a\n_50", 1), "expected a struct with a name"),
        (one("1_a_20", "_a_50", 1), "expected a struct with a name"),
        (one("1_a_20", "a.50", 1), "expected a struct with a name"),
    ],
)
def test_lists_that_make_no_sense(root, folds, says):
    (root / LIST).write_bytes(protocol(folds))
    with pytest.raises(UserError, match=f"{LIST}: .*{says}"):
        agedb(root, "template")


SPLIT = split(FOLDS[0])


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        ("text", "'splits' is not a cell array of 10 folds"),
        (np.zeros((10, 1)), "'splits' is not a cell array of 10 folds"),
        (SPLIT, "'splits' is not a cell array of 10 folds"),
        (cells([["text"]] * 10), "fold 1: expected a struct of a cell array and labels"),
        (cells([[{"labels": SPLIT["labels"], "pairs": SPLIT["pairs"]}]] * 10), "fold 1: expected a struct"),
        (cells([[{"pairs": SPLIT["pairs"]}]] * 10), "fold 1: expected a struct of a cell array and labels"),
        (cells([[SPLIT | {"pairs": SPLIT["pairs"][:1]}]] * 10), "fold 1: .* of 4, and 4 pictures"),
        (cells([[SPLIT | {"pairs": cells([["a_b"] * 8])}]] * 10), "expected a struct with a name"),
        (cells([[SPLIT | {"pairs": cells([[{"age": 1.0}] * 8])}]] * 10), "expected a struct with a name"),
    ],
)
def test_other_things_in_the_place_of_the_folds(root, splits, says):
    (root / LIST).write_bytes(mat(splits))
    with pytest.raises(UserError, match=f"{LIST}: .*{says}"):
        agedb(root, "template")


def test_a_list_that_is_not_there(root):
    (root / LIST).write_bytes(mat(1.0, variable="split"))
    with pytest.raises(UserError, match="there is no 'splits' in it"):
        agedb(root, "template")
    (root / LIST).unlink()
    with pytest.raises(UserError, match=f"{LIST}: No such file"):
        agedb(root, "template")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("mat")


def read_or_refuse(folder, content):
    (folder / LIST).write_bytes(content)
    try:
        pairs = agedb(folder, "template")
    except UserError as error:
        assert LIST in str(error)
    else:
        assert set(pairs.fold.tolist()) == set(range(10))
        for first, second, label, _ in known(pairs):
            assert (first.split("_")[0] == second.split("_")[0]) == (label == 1)


@given(st.sampled_from([GOOD, PACKED]), st.integers(0, len(GOOD)))
def test_cut_files_are_refused(place, content, length):
    read_or_refuse(place, content[:length])
    if length < len(content) - 8:
        with pytest.raises(UserError, match=LIST):
            agedb(place, "template")


@settings(max_examples=300)
@given(st.sampled_from([GOOD, PACKED]), st.lists(st.integers(8 * 124, 8 * len(GOOD)), max_size=6))
def test_flipped_bits_are_refused_or_read(place, content, bits):
    changed = bytearray(content)
    for bit in bits:
        changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    read_or_refuse(place, bytes(changed))


@given(data=st.data())
def test_flipped_bits_in_the_packed_part_are_refused_or_read(place, data):
    """The same behind the check sum: flipped, then packed."""
    changed = bytearray(GOOD[128:])
    for at in data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=1, max_size=4)):
        changed[at] = data.draw(st.integers(0, 255))
    read_or_refuse(place, GOOD[:128] + element(15, zlib.compress(bytes(changed), 1), pad=False))


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=9)
NUMBERS = st.lists(st.integers(0, 100), max_size=5).flatmap(
    lambda values: st.sampled_from(["uint8", "int8", "int16", "uint32", "int64", "float32", "float64"]).map(
        lambda dtype: np.array([values], dtype)
    )
)
KEYS = st.sampled_from(["name", "age", "a_field_of_thirty_one_letters__"])
VALUES = st.recursive(
    TEXT | NUMBERS,
    lambda inner: st.lists(inner, min_size=1, max_size=4) | st.dictionaries(KEYS, inner, min_size=1),
    max_leaves=10,
)


def for_scipy(value):
    if isinstance(value, list):
        return cells([[for_scipy(inner) for inner in value]])
    return {key: for_scipy(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=-1)


def agree(found, value, scipy):
    """What the reader found is what was written, and what SciPy finds."""
    assert type(found) is type(value)
    if isinstance(value, str):
        assert found == value == str(scipy[0])
    elif isinstance(value, list):
        assert scipy.shape == (1, len(value))
        for parts in zip(found, value, scipy[0], strict=True):
            agree(*parts)
    elif isinstance(value, dict):
        assert list(found) == list(value) == list(scipy.dtype.names)
        for key in value:
            agree(found[key], value[key], scipy[0, 0][key])
    else:
        assert_array_equal(found, value[0])
        assert_array_equal(found, scipy.reshape(-1))


@settings(max_examples=150)
@given(value=VALUES, compress=st.booleans())
def test_what_scipy_writes_is_read(place, value, compress):
    file = place / "x.mat"
    if depth(value) <= 8:
        file.write_bytes(mat(for_scipy(value), compress, "value"))
        agree(read_variable(file, "value"), value, loadmat(file)["value"])


def element(kind, data, pad=True):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8 if pad else 0)


def matrix(kind, rows, columns, *parts, called=b""):
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<ii", rows, columns))
    return element(14, head + element(1, called) + b"".join(parts))


def packed(*variables):
    return GOOD[:128] + b"".join(element(15, zlib.compress(data, 1), pad=False) for data in variables)


def nested(times, kind):
    inner = matrix(6, 1, 1, element(9, struct.pack("<d", 7)))
    for left in reversed(range(times)):
        fields = [element(5, struct.pack("<i", 8)), element(1, b"field\0\0\0")] if kind == 2 else []
        inner = matrix(kind, 1, 1, *fields, inner, called=b"" if left else b"splits")
    return inner


@pytest.mark.parametrize("kind", [1, 2])
def test_cells_and_structs_may_be_nested_but_not_without_end(tmp_path, kind):
    file = tmp_path / "x.mat"
    file.write_bytes(packed(nested(8, kind)))
    found = read_variable(file, "splits")
    for _ in range(8):
        (found,) = found.values() if kind == 2 else found
    assert found.tolist() == [7]
    for times in (9, 2_000):
        file.write_bytes(packed(nested(times, kind)))
        with pytest.raises(UserError, match=r"a broken MATLAB file \(cells nested too deep"):
            read_variable(file, "splits")


EMPTY = matrix(6, 0, 0, element(9, b""))
MEBIBYTE = 1 << 20
FLAGS, CALLED = element(6, struct.pack("<II", 1, 0)), element(1, b"splits")
STRUCT = (element(5, struct.pack("<i", 1)), element(1, bytes(15 * MEBIBYTE)))
SMALL_FILES = {
    "zeros without end": packed(bytes(200 * MEBIBYTE)),
    "a full part, then zeros without end": packed(
        matrix(9, 1, 1, element(2, bytes(16 * MEBIBYTE - 64)), called=b"other678"), bytes(200 * MEBIBYTE)
    ),
    "2^60 cells": packed(matrix(1, 2**30, 2**30, EMPTY, called=b"splits")),
    "2^30 numbers": packed(matrix(6, 2**30, 1, element(9, bytes(8)), called=b"splits")),
    "a million dimensions": packed(element(14, FLAGS + element(5, b"\xff" * MEBIBYTE) + CALLED)),
    "15 million fields": packed(matrix(2, 1, 1, *STRUCT, EMPTY, called=b"splits")),
    "2 million parts": packed(matrix(1, 1, 1, bytes(15 * MEBIBYTE), called=b"splits")),
    "60,000 empty cells, and one missing": packed(
        matrix(1, 60_001, 1, EMPTY * 60_000, called=b"splits")
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SMALL_FILES)
def test_small_files_do_not_grow(tmp_path, case):
    assert len(SMALL_FILES[case]) < MEBIBYTE
    (tmp_path / LIST).write_bytes(SMALL_FILES[case])
    tracemalloc.start()
    with pytest.raises(UserError, match="broken MATLAB file"):
        agedb(tmp_path, "template")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize(
    "variable",
    [
        matrix(3, 1, 1, EMPTY, called=b"splits"),  # an object
        matrix(4, 2, 1, element(4, b"a\0b\0"), called=b"splits"),  # two lines of text
        matrix(6, 1, 1, element(9, bytes(8)), element(9, bytes(8)), called=b"splits"),  # complex
        matrix(6, 1, 1, element(9, bytes(7)), called=b"splits"),
        matrix(6, 1, 1, element(14, bytes(8)), called=b"splits"),
        matrix(1, 1, 1, element(9, bytes(8)), called=b"splits"),
        matrix(2, 2, 1, STRUCT[0], element(1, b"a"), EMPTY, EMPTY, called=b"splits"),  # two structs
        matrix(2, 2, 1, STRUCT[0], element(1, b"a"), EMPTY, called=b"splits"),
        matrix(2, 1, 1, STRUCT[0], element(1, b"ab"), EMPTY, called=b"splits"),
        matrix(2, 1, 1, element(5, bytes(4)), element(1, b"ab"), EMPTY, called=b"splits"),
        matrix(2, 1, 1, element(5, b""), element(1, b"ab"), EMPTY, called=b"splits"),
        matrix(2, 1, 1, called=b"splits"),
        matrix(1, 1, 1, element(14, b""), called=b"splits"),
    ],
)
def test_other_kinds_of_matrices_are_refused(tmp_path, variable):
    (tmp_path / LIST).write_bytes(packed(variable))
    with pytest.raises(UserError, match=f"{LIST}: a broken MATLAB file"):
        agedb(tmp_path, "template")


def test_other_variables_are_passed_over(root):
    """Such as an array of three dimensions, which the reader does not know."""
    file = io.BytesIO()
    savemat(file, {"other": np.zeros((2, 3, 4))})
    (root / LIST).write_bytes(file.getvalue() + GOOD[128:])
    assert known(agedb(root, "template")) == expected()
