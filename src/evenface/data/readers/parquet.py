"""Parquet files as the `datasets` library of Hugging Face writes them.

- The column `image` has the encoded picture: a struct of `bytes` and `path`, or the bytes alone.
- The column `identity`, or else `label`, has the person: a name, or a number from 0. Numbers have names where
  the schema's metadata tells them: its entry `huggingface` is JSON, with info > features > column > names.

(`datasets`: `features/features.py`, `Features.arrow_schema` and `ClassLabel`; `features/image.py`, `Image`.)
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.data.faceset import FaceSet
from evenface.data.pictures import Names, Pictures
from evenface.errors import UserError
from evenface.faces import UnreadableImage

MOST = 1 << 29
"""Bytes of a row group, at most; a process keeps groups of as much in memory."""
_PEOPLE = ("identity", "label")
_AGAIN = "fetch it again, or write it again"


def takes_parquet(path: Path) -> bool:
    """Whether it is a `.parquet` file, or a folder with some."""
    return path.suffix == ".parquet" or (path.is_dir() and next(path.glob("*.parquet"), None) is not None)


def read_parquet(path: Path, *, field: str = "data.root") -> FaceSet:
    """The set in a `.parquet` file, or in those of a folder, by their names.

    A picture is called by its `path`, if all have one and no two the same, else by its file and row. The
    labels and paths are read, the pictures are not; those are read a row group at a time.

    Raises:
        UserError: the package is not installed, there are several splits, or a file is not as it should be.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise UserError(f"{field}: {path} needs a package; pip install 'evenface[parquet]'") from None
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    splits = {found[1] for file in files if (found := re.fullmatch(r"(.+)-\d+-of-\d+", file.stem))}
    if len(splits) > 1:
        several = ", ".join(sorted(splits))
        raise UserError(f"{field}: {path} holds the splits {several}; give a folder with the files of one")
    columns: list[_Columns] = []
    people: dict[str, int] = {}
    for file in files:
        try:
            columns.append(_read(file, people))
        except OSError as error:
            raise UserError(f"{field}: {file}: {error.strerror or error}; {_AGAIN}") from None
        except (pa.ArrowException, ValueError, RecursionError, MemoryError) as error:
            raise UserError(f"{field}: {file}: {error}; {_AGAIN}") from None
    if not sum(len(one.people) for one in columns):
        raise UserError(f"{field}: {path} has no rows; give another file")
    names = pa.chunked_array([one.paths for one in columns])
    unique = not names.null_count and len(names.unique()) == len(names)
    pictures = ParquetPictures(files, columns, Names(map(str, names)) if unique else None)
    return FaceSet.numbered(pictures, np.concatenate([one.people for one in columns]), list(people))


@dataclass(frozen=True, eq=False)
class _Columns:
    """What is known of a file before its pictures are read."""

    leaf: str
    """The column of the encoded pictures."""
    counts: list[int]
    """The rows of each row group."""
    people: NDArray[np.int64]
    """The person of each row, by the numbers that were given out."""
    paths: Any
    """A path or null for each row: a pyarrow array of large_string."""


class ParquetPictures(Pictures):
    """The pictures of these files, row by row; `names` (N,) if they have names of their own."""

    blocks: NDArray[np.int64]

    def __init__(self, files: list[Path], columns: list[_Columns], names: Names | None):
        self.files = Names(map(str, files))
        self.leaves = Names(one.leaf for one in columns)
        self.names = names
        self.counts = np.array([count for one in columns for count in one.counts], dtype=np.int64)
        """(G,) the rows of each group."""
        groups = [len(one.counts) for one in columns]
        self.starts = np.cumsum(self.counts) - self.counts
        """(G,) the first row of each group, counted through all files."""
        self.first_groups = np.cumsum(groups) - groups
        """(F,) the first group of each file."""
        self.blocks = np.repeat(np.arange(len(self.counts)), self.counts)
        self._kept: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": {}}

    def __len__(self) -> int:
        return len(self.blocks)

    def name(self, index: int) -> str:
        """Its path, or its file and row."""
        if self.names is not None:
            return self.names[index]
        file, row = self._row(index)
        return f"{Path(file).stem}/{row}"

    def place(self, index: int) -> str:
        """The file, and the row in it, from 0."""
        file, row = self._row(index)
        return f"{file}, row {row}"

    def encoded(self, index: int) -> bytes:
        """The bytes of its row; its whole row group is read, and kept for a while. Raises UnreadableImage."""
        import pyarrow as pa

        block = int(self.blocks[index])
        try:
            value = self._group(block)[index - int(self.starts[block])].as_py()
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            raise UnreadableImage(self.place(index), f"its row group cannot be read: {error}") from None
        if value is None:
            raise UnreadableImage(self.place(index), "the row holds no picture; at most the path of one")
        return bytes(value)

    def _row(self, index: int) -> tuple[str, int]:
        file = self._file(int(self.blocks[index]))
        return self.files[file], index - int(self.starts[self.first_groups[file]])

    def _file(self, block: int) -> int:
        return int(np.searchsorted(self.first_groups, block, side="right")) - 1

    def _group(self, block: int) -> Any:
        """The encoded pictures of a row group; those used last are kept, `MOST` bytes in all."""
        column = self._kept.pop(block, None)
        if column is None:
            file = self._file(block)
            with _opened(Path(self.files[file])) as opened:
                table = opened.read_row_group(
                    block - int(self.first_groups[file]), columns=[self.leaves[file]], use_threads=False
                )
            if len(table) != self.counts[block]:
                raise ValueError("it has another number of rows than before")
            column = table.column(0).combine_chunks()
            if "." in self.leaves[file]:
                (column,) = column.flatten()
        self._kept[block] = column
        # Copies of the dictionary, and a pop that may find nothing, as threads may share it.
        while len(self._kept) > 1 and sum(one.nbytes for one in tuple(self._kept.values())) > MOST:
            oldest, *_ = tuple(self._kept)
            self._kept.pop(oldest, None)
        return column


def _opened(file: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(file, pre_buffer=False)


def _read(file: Path, people: dict[str, int]) -> _Columns:
    """A file's labels and paths; people who are new get the next numbers in `people`.

    Raises:
        ValueError, pyarrow.ArrowException, OSError and others: the file is not as it should be.
    """
    import pyarrow as pa

    with _opened(file) as opened:
        schema = opened.schema_arrow
        leaf, path = _image_column(schema)
        person = next((name for name in _PEOPLE if name in schema.names), None)
        if person is None:
            raise ValueError(f"no column {' or '.join(_PEOPLE)} among {', '.join(schema.names)}")
        counts, numbers, paths = [], [np.empty(0, np.int64)], [pa.array([], pa.large_string())]
        class_names = _class_names(schema, person)
        for group in range(opened.num_row_groups):
            about = opened.metadata.row_group(group)
            # A run of equal values takes a few bytes, however long it says it is; pictures take some each.
            if not 0 <= about.num_rows <= file.stat().st_size // 8:
                raise ValueError(
                    f"row group {group} announces {about.num_rows:,} rows, more than the file can hold"
                )
            if about.total_byte_size > MOST:
                raise ValueError(
                    f"row group {group} has {about.total_byte_size:,} bytes, all of which are read for one "
                    f"picture; write it with groups of {MOST:,} bytes or fewer (row_group_size=100)"
                )
            table = opened.read_row_group(group, columns=[person, *path], use_threads=False)
            if table.num_rows != about.num_rows:
                raise ValueError(f"row group {group} has {table.num_rows} rows, not {about.num_rows}")
            counts.append(table.num_rows)
            numbers.append(_people(table.column(person), class_names, people, sum(counts[:-1])))
            paths.append(_paths(table, path))
    return _Columns(leaf, counts, np.concatenate(numbers), pa.chunked_array(paths).combine_chunks())


def _image_column(schema: Any) -> tuple[str, list[str]]:
    """The column of the bytes, and that of the paths, if there is one."""
    import pyarrow as pa

    if "image" in schema.names:
        kind = schema.field("image").type
        if _is_bytes(kind):
            return "image", []
        fields = [one.name for one in kind] if pa.types.is_struct(kind) else []
        if "bytes" in fields and _is_bytes(kind.field("bytes").type):
            return "image.bytes", ["image.path"] * ("path" in fields)
    raise ValueError(f"no column image with encoded pictures among {', '.join(schema.names)}")


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _class_names(schema: Any, column: str) -> list[str] | None:
    metadata = (schema.metadata or {}).get(b"huggingface")
    found = None if metadata is None else json.loads(metadata)
    for key in ("info", "features", column, "names"):
        found = found.get(key) if isinstance(found, dict) else None
    if found is not None and not (isinstance(found, list) and all(isinstance(name, str) for name in found)):
        raise ValueError(f"the metadata names the people of {column} by something else than a list of names")
    return found


def _people(
    column: Any, class_names: list[str] | None, people: dict[str, int], row: int
) -> NDArray[np.int64]:
    """The numbers of the people in a column, whose first row is `row`."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        missing = int(np.argmax(column.is_null().to_numpy()))
        raise ValueError(f"row {row + missing} has no label")
    if pa.types.is_integer(column.type):
        labels, numbers = np.unique(column.to_numpy(), return_inverse=True)
        if len(labels) and labels[0] < 0:
            raise ValueError(
                f"row {row + int(np.argmin(numbers))} has the label {labels[0]}, which is nobody"
            )
        if class_names is not None and len(labels) and labels[-1] >= len(class_names):
            raise ValueError(
                f"row {row + int(np.argmax(numbers))}: {labels[-1]} is no label of {len(class_names)} people"
            )
        names = [str(label) if class_names is None else class_names[label] for label in labels.tolist()]
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        encoded = column.combine_chunks().dictionary_encode()
        names, numbers = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    else:
        raise ValueError(f"the labels are {column.type}; expected whole numbers or text")
    number = np.array([people.setdefault(name, len(people)) for name in names], dtype=np.int64)
    return number[numbers]


def _paths(table: Any, path: list[str]) -> Any:
    import pyarrow as pa

    if not path:
        return pa.nulls(table.num_rows, pa.large_string())
    paths = table.column("image").combine_chunks().flatten()[0].cast(pa.large_string())
    paths.validate(full=True)  # that they are UTF-8
    return paths
