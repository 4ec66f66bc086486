import itertools
import math
from array import array
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.errors import UserError
from evenface.faces import TEMPLATE_112, five_points_from_30, similarity
from evenface.faces.landmarks import Names, PointsList, five_points, misfit, read_points_file

FACE = TEMPLATE_112 * 2 + 30


def scattered(count: int, marks: dict[int, tuple[float, float]]) -> np.ndarray:
    points = np.random.default_rng(count).uniform(-500, 500, (count, 2))
    for place, xy in marks.items():
        points[place] = xy
    return points


def face_68() -> np.ndarray:
    eyes = {36: (1, 0), 37: (2, -1), 38: (4, -1), 39: (5, 0), 40: (4, 1), 41: (2, 1)}
    left = {place: (100 + x, 200 + y) for place, (x, y) in eyes.items()}
    right = {place + 6: (150 + x, 200 + y) for place, (x, y) in eyes.items()}
    return scattered(68, {**left, **right, 30: (128, 230), 48: (108, 260), 54: (149, 260)})


def line(points: np.ndarray, comma: str) -> str:
    return comma.join(f"{value:.3f}" for value in np.ravel(points))


@pytest.mark.parametrize("comma, suffix", [(",", ".csv"), (" ", ".txt"), ("\t", ".lst")])
def test_every_number_of_points(tmp_path: Path, comma: str, suffix: str):
    of_68 = np.array([[103, 200], [153, 200], [128, 230], [108, 260], [149, 260]])
    jd = scattered(106, dict(zip((104, 105, 54, 84, 90), map(tuple, FACE), strict=True)))
    ours = scattered(106, dict(zip((38, 88, 86, 52, 61), map(tuple, FACE), strict=True)))
    for points, order, expected in (
        (FACE, None, FACE),
        (face_68(), None, of_68),
        (jd, "jd", FACE),
        (ours, "insightface", FACE),
    ):
        file = tmp_path / f"points{suffix}"
        file.write_text(f"a/1.jpg{comma}{line(points, comma)}\n\n./b 2.png{comma}{line(points + 1, comma)}\n")
        found = PointsList(file, order)
        assert len(found) == 2
        np.testing.assert_allclose(found("a/1.jpg"), expected, atol=1e-3)
        np.testing.assert_allclose(found("b 2.png"), expected + 1, atol=1e-3)
        assert found("1.jpg") is None
        np.testing.assert_allclose(five_points(points, order), expected)


def test_celeba_with_its_two_first_lines(tmp_path: Path):
    head = "2\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y "
    file = tmp_path / "list_landmarks_align_celeba.txt"
    file.write_text(
        head + "rightmouth_x rightmouth_y \n"
        "000001.jpg 69  109  106  113   77  142   73  152  108  154\n"
        "000002.jpg 69  110  107  112   81  135   70  151  108  153\n"
    )
    found = PointsList(file)
    np.testing.assert_array_equal(
        found("000002.jpg"), [[69, 110], [107, 112], [81, 135], [70, 151], [108, 153]]
    )
    table = tmp_path / "list_landmarks_align_celeba.csv"
    table.write_text(
        ",".join(["image_id", *"abcdefghij"]) + "\n000001.jpg,69,109,106,113,77,142,73,152,108,154\n"
    )
    np.testing.assert_array_equal(PointsList(table)("000001.jpg"), found("000001.jpg"))


def test_named_columns_in_any_order(tmp_path: Path):
    names = [f"{axis}{k}" for k in range(5, 0, -1) for axis in "yx"]
    file = tmp_path / "faces.csv"
    values = line(FACE[::-1, ::-1], ",")
    file.write_text(
        ",".join(["score", "file", *names, "why"]) + f'\n0.9,"a,1.jpg",{values},\n,b.jpg,{"," * 9},no face\n'
    )
    found = PointsList(file)
    np.testing.assert_allclose(found("a,1.jpg"), FACE, atol=1e-3)
    assert len(found) == 1


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "lists no picture"),
        (f"a.jpg,{line(FACE, ',')}\nb.jpg,1,2,3\n", "line 2: expected a file's name and 5, 68 or 106"),
        (f"a.jpg,{line(FACE, ',')}\n\nb.jpg,{line(FACE[:4], ',')},1,nan\n", "line 3: expected"),
        (f"a.jpg,{line(FACE, ',')}\n\nb.jpg,{line(FACE[:4], ',')},1,1e999\n", "line 3: expected"),
        (f"a.jpg,{line(FACE, ',')}\nb.jpg,{line(np.zeros((30, 2)), ',')}\n", "line 2: 61 fields"),
        (f"a.jpg,{line(scattered(106, {}), ',')}\n", "line 1: .*--order jd or insightface"),
        (f"a.jpg,{line(FACE, ',')}\nb.jpg,{line(FACE, ',')}\na.jpg,{line(FACE, ',')}\n", "line 3.*in line 1"),
        (f"a.jpg,{line(FACE[[1, 0, 2, 4, 3]], ',')}\n", "mark no faces.*on the left of the picture first"),
        (f"a.jpg,{line(FACE[:, ::-1], ',')}\n", "mark no faces"),
        (f"a.jpg,{line(np.ones((5, 2)), ',')}\n", "mark no faces"),
        ("x" * 20_000, "line 1: too long"),
        (f"a.jpg {line(FACE, ' ')}\n" * 3, "line 3: .*only a .csv has commas|parted by commas"),
        (
            ",".join(["file", *(f"{a}{k}" for k in range(1, 6) for a in "xy")]) + "\na.jpg,1\n",
            "line 2: 2 columns",
        ),
    ],
)
def test_wrong_lists(tmp_path: Path, text: str, words: str):
    file = tmp_path / "points.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=words):
        PointsList(file)
    with pytest.raises(UserError, match=r"points\.csv"):
        PointsList(file)


def test_thirty_points_a_line_are_no_name_with_spaces(tmp_path: Path):
    file = tmp_path / "points.txt"
    file.write_text(f"a.jpg {line(np.zeros((30, 2)), ' ')}\n" * 3)
    with pytest.raises(UserError, match="line 1: 61 fields"):
        PointsList(file)


def test_missing_list(tmp_path: Path):
    with pytest.raises(UserError, match="No such file"):
        PointsList(tmp_path / "points.csv")


def test_a_file_for_each_picture(tmp_path: Path):
    file = tmp_path / "01.txt"
    for separator in (",", " ", ", ", "\t"):
        file.write_text("\n".join(line(point, separator) for point in FACE) + "\n\n")
        np.testing.assert_allclose(read_points_file(file), FACE, atol=1e-3)
    file.write_text("\r\n".join(line(point, ",") for point in face_68()))
    np.testing.assert_allclose(read_points_file(file), five_points(face_68()), atol=1e-3)


@pytest.mark.parametrize(
    "text, words",
    [
        (b"", "found 0"),
        (b"1,2\n" * 7, "found 7; known are 5, 30"),
        (b"1,2\n" * 4 + b"1,2,3\n", "line 5: expected x,y"),
        (b"1,2\n" * 4 + b"1,inf\n", "line 5: expected x,y"),
        (b"1,2\n\xff\xfe", "line 2"),
        (b"1,2\n" * 100_000, "too long"),
        (b"1,2\n" * 106, "--order"),
        (b"1,2\n" * 30, "coincide"),
    ],
)
def test_wrong_file_for_a_picture(tmp_path: Path, text: bytes, words: str):
    file = tmp_path / "01.txt"
    file.write_bytes(text)
    with pytest.raises(UserError, match=words):
        read_points_file(file)


@settings(max_examples=150)
@given(data=st.data(), suffix=st.sampled_from([".csv", ".txt"]))
def test_damaged_lists_are_told_or_read(tmp_path: Path, data: st.DataObject, suffix: str):
    comma = "," if suffix == ".csv" else " "
    whole = "".join(f"p/{i}.jpg{comma}{line(FACE + i, comma)}\n" for i in range(3)).encode()
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    content += data.draw(st.binary(max_size=8))
    file = tmp_path / f"points{suffix}"
    file.write_bytes(content)
    try:
        found = PointsList(file)
    except UserError as error:
        assert "points" in str(error)
        return
    assert 1 <= len(found) <= 4
    for i in range(3):
        points = found(f"p/{i}.jpg")
        assert points is None or np.isfinite(points).all()


@settings(max_examples=150)
@given(
    content=st.one_of(st.binary(max_size=200), st.text("0123456789,. -e\nnaif", max_size=200).map(str.encode))
)
def test_any_file_for_a_picture_is_told_or_read(tmp_path: Path, content: bytes):
    file = tmp_path / "01.txt"
    file.write_bytes(content)
    try:
        points = read_points_file(file)
    except UserError as error:
        assert str(file) in str(error)
    else:
        assert points.shape == (5, 2)
        assert np.isfinite(points).all()


def test_names():
    names = [f"{a}/{b}" for a, b in itertools.product("abc", range(50))]
    found = Names(array("Q", map(Names.digest, names)))
    assert [found.find(name) for name in names] == list(range(150))
    assert found.find("d/0") is None
    assert found.twice() is None
    assert Names(array("Q", map(Names.digest, ["a", "b", "c", "b"]))).twice() == (1, 3)
    assert Names(array("Q")).find("a") is None
    assert Names.digest("\udcff") != Names.digest("\udcfe")


def test_misfit_is_zero_for_the_template_however_it_lies():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert misfit(TEMPLATE_112 @ turn.T * 7 - 40) == pytest.approx(0, abs=1e-9)
    moved = TEMPLATE_112.copy()
    moved[2] += [0, 9]
    away = [math.dist(a, b) for a, b in zip(apply(moved), TEMPLATE_112, strict=True)]
    assert misfit(moved) == pytest.approx(math.sqrt(sum(one**2 for one in away) / 5))
    assert misfit(TEMPLATE_112 * [-1, 1]) > 20


def apply(points: np.ndarray) -> np.ndarray:
    matrix = similarity(points, TEMPLATE_112)
    return np.array([matrix @ [*point, 1] for point in points])


def test_real_fiducials(data_root: Path):
    files = sorted((data_root / "cfp" / "Data" / "Fiducials").glob("00[1-5]/*/*.txt"))
    assert len(files) == 70
    frontal = []
    for file in files:
        points = read_points_file(file)
        np.testing.assert_array_equal(points, five_points_from_30(np.loadtxt(file, delimiter=",")))
        if file.parent.name == "frontal":
            frontal.append(misfit(points))
    assert np.median(frontal) < 5
