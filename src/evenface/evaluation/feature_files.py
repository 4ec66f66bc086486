"""Feature files of the MegaFace development kit: OpenCV matrices as they lie in memory, behind a header.

A file is four little-endian int32 (rows, columns, bytes from one row to the next, OpenCV's type number,
5 = float32) and the rows. The kit writes one file a picture, the feature as one column (D, 1); as
one row (1, D) it is read as well.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError

Floats = NDArray[np.float32]

_HEADER = np.dtype("<i4")
_FLOAT32 = 5  # CV_32F, one channel
_BYTES = 4 * _HEADER.itemsize
_MOST = 2**20  # values of a feature: a header that says more belongs to something else


def read_feature(path: Path) -> Floats:
    """The one feature (D,) of a file of one column or one row.

    Raises:
        UserError: the file is missing or is no such matrix, it holds several features, or a value is not
            finite.
    """
    rows = map_features(path)
    if 1 not in rows.shape or rows.size > _MOST:
        raise UserError(
            f"{path}: holds {rows.shape[0]} rows of {rows.shape[1]} values; expected one feature, "
            "as one column or one row"
        )
    feature = np.array(rows, dtype=np.float32).reshape(-1)
    if not np.isfinite(feature).all():
        raise UserError(
            f"{path}: value {int(np.argmin(np.isfinite(feature)))} is not finite; extract it again"
        )
    return feature


def map_features(path: Path) -> Floats:
    """The matrix (rows, columns) of a file, memory-mapped; values are not looked at.

    Raises:
        UserError: the file is missing, or its header or size is not that of a float32 matrix.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_BYTES)
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a feature file of the MegaFace kit") from None
    if len(header) != _BYTES:
        raise UserError(f"{path}: {size} bytes, shorter than a feature file's header; extract it again")
    rows, columns, step, kind = np.frombuffer(header, dtype=_HEADER).tolist()
    if kind != _FLOAT32:
        raise UserError(f"{path}: OpenCV type {kind}; expected {_FLOAT32}, float32; extract it again")
    if rows < 1 or columns < 1 or step != 4 * columns:
        raise UserError(
            f"{path}: header says {rows} rows, {columns} columns, {step} bytes a row; not a feature file"
        )
    if size != _BYTES + 4 * rows * columns:
        raise UserError(
            f"{path}: header says {rows} x {columns} values, but {size - _BYTES:,} bytes follow where "
            f"{4 * rows * columns:,} should; it is cut short or no feature file; extract it again"
        )
    return np.memmap(path, dtype="<f4", mode="r", offset=_BYTES, shape=(rows, columns))


def write_feature(path: Path, feature: Floats) -> None:
    """Write one feature (D,) as the kit does, as one column."""
    values = np.asarray(feature, dtype="<f4")
    header = np.array([len(values), 1, 4, _FLOAT32], dtype=_HEADER)
    path.write_bytes(header.tobytes() + values.tobytes())


def gather_features(paths: Sequence[Path], target: Path) -> Floats:
    """The features of many files as one array (M, D) in a new .npy file, memory-mapped.

    Raises:
        UserError: as `read_feature`, or a feature has not as many values as the first.
    """
    first = read_feature(paths[0])
    unfinished = target.with_name(target.name + ".part")
    rows = new_rows(unfinished, (len(paths), len(first)))
    for number, path in enumerate(paths):
        feature = read_feature(path)
        if len(feature) != len(first):
            raise UserError(
                f"{path}: {len(feature)} values, but {paths[0]} has {len(first)}; extract all with one model"
            )
        rows[number] = feature
    rows.flush()
    unfinished.replace(target)
    mapped: Floats = np.load(target, mmap_mode="r")
    return mapped


def new_rows(path: Path, shape: tuple[int, int]) -> Any:
    """A new .npy file of float32 rows (N, D), memory-mapped, with its place on the disk.

    Raises:
        UserError: the disk has no such place: later it would end the process without a word.
    """
    rows = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    size = path.stat().st_size
    if hasattr(os, "posix_fallocate"):
        try:
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            path.unlink()
            raise UserError(
                f"{path}: {size:,} bytes cannot be had ({error.strerror}); make room, or name another folder"
            ) from None
    return rows
