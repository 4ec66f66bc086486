import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.errors import UserError
from evenface.evaluation.feature_files import gather_features, map_features, read_feature, write_feature

quick = settings(max_examples=150)


def packed(rows, columns, step, kind, values) -> bytes:
    return struct.pack("<4i", rows, columns, step, kind) + struct.pack(f"<{len(values)}f", *values)


def test_a_feature_is_written_as_the_kit_writes_it(tmp_path):
    write_feature(tmp_path / "a.bin", np.array([1.5, -2, 0], np.float32))
    assert (tmp_path / "a.bin").read_bytes() == packed(3, 1, 4, 5, [1.5, -2, 0])


@pytest.mark.parametrize("header", [(3, 1, 4, 5), (1, 3, 12, 5)])
def test_one_column_and_one_row_are_one_feature(tmp_path, header):
    path = tmp_path / "a.bin"
    path.write_bytes(packed(*header, [1, 2, 3]))
    feature = read_feature(path)
    assert feature.tolist() == [1, 2, 3]
    assert feature.dtype == np.float32


def test_many_rows_are_mapped(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(packed(2, 3, 12, 5, [1, 2, 3, 4, 5, 6]))
    assert map_features(path).tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(UserError, match=r"a\.bin: holds 2 rows of 3 values"):
        read_feature(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "0 bytes, shorter than a feature file's header"),
        (b"\1" * 15, "15 bytes, shorter"),
        (packed(3, 1, 4, 6, [1, 2, 3]), "OpenCV type 6; expected 5"),
        (packed(-3, 1, 4, 5, [1, 2, 3]), "says -3 rows"),
        (packed(3, 0, 0, 5, []), "0 columns"),
        (packed(-1, -3, -12, 5, [1, 2, 3]), "says -1 rows"),
        (packed(3, 1, 8, 5, [1, 2, 3]), "8 bytes a row"),
        (packed(3, 1, 4, 5, [1, 2]), "8 bytes follow where 12 should"),
        (packed(3, 1, 4, 5, [1, 2, 3, 4]), "16 bytes follow where 12 should"),
        (packed(2**31 - 1, 1, 4, 5, [1]), "4 bytes follow where 8,589,934,588 should"),
        (packed(2**31 - 1, 2**29 - 1, 2**31 - 4, 5, [1]), "4 bytes follow"),
        (packed(3, 1, 4, 5, [1, float("nan"), 3]), "value 1 is not finite"),
        (packed(2, 1, 4, 5, [1, float("-inf")]), "value 1 is not finite"),
        (np.lib.format.MAGIC_PREFIX + b"\1\0" + b" " * 200, "OpenCV type"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, says):
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.bin: .*" + says.replace("(", r"\(")):
        read_feature(path)


def test_a_huge_sparse_file_is_not_read(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(packed(2**31 - 1, 1, 4, 5, []))
    with path.open("r+b") as file:
        file.truncate(16 + 4 * (2**31 - 1))
    with pytest.raises(UserError, match="expected one feature"):
        read_feature(path)
    path.unlink()


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(UserError, match=r"b\.bin: No such file"):
        read_feature(tmp_path / "b.bin")
    with pytest.raises(UserError, match="Is a directory"):
        read_feature(tmp_path)


@quick
@given(st.binary(max_size=64))
def test_any_bytes_are_a_feature_or_a_user_error(tmp_path, content):
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    try:
        feature = read_feature(path)
    except UserError as error:
        assert "a.bin" in str(error)
        return
    assert np.isfinite(feature).all()
    assert feature.tobytes() == content[16:]


@quick
@given(
    header=st.tuples(*[st.integers(-(2**31), 2**31 - 1) | st.integers(-1, 6)] * 4),
    values=st.lists(st.floats(width=32), max_size=6),
)
def test_any_header_is_a_feature_or_a_user_error(tmp_path, header, values):
    path = tmp_path / "a.bin"
    path.write_bytes(packed(*header, values))
    rows, columns, step, kind = header
    right = kind == 5 and {rows, columns} == {1, len(values)} and step == 4 * columns
    if right and values and np.isfinite(values).all():
        assert read_feature(path).tolist() == values
    else:
        with pytest.raises(UserError):
            read_feature(path)


@quick
@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_what_is_written_is_read(tmp_path, values):
    write_feature(tmp_path / "a.bin", np.array(values, np.float32))
    assert read_feature(tmp_path / "a.bin").tolist() == values


def test_features_are_gathered_in_order(tmp_path):
    paths = [tmp_path / f"{i}.bin" for i in range(3)]
    for number, path in enumerate(paths):
        write_feature(path, np.full(4, number, np.float32))
    rows = gather_features(paths[::-1], tmp_path / "all.npy")
    assert isinstance(rows, np.memmap)
    assert rows.tolist() == [[2] * 4, [1] * 4, [0] * 4]
    np.testing.assert_array_equal(np.load(tmp_path / "all.npy"), rows)


def test_a_feature_of_another_dimension_leaves_no_file(tmp_path):
    paths = [tmp_path / f"{i}.bin" for i in range(2)]
    write_feature(paths[0], np.ones(4, np.float32))
    write_feature(paths[1], np.ones(5, np.float32))
    with pytest.raises(UserError, match=r"1\.bin: 5 values, but .*0\.bin has 4"):
        gather_features(paths, tmp_path / "all.npy")
    assert not (tmp_path / "all.npy").exists()
