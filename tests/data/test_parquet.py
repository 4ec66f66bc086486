"""Parquet files in the layout of Hugging Face's `datasets`, written with pyarrow alone."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, Subset

from evenface.data import Pictures, read
from evenface.data.readers import parquet
from evenface.errors import UserError
from evenface.faces import UnreadableImage
from machine import LIMIT_MEMORY

PEOPLE, EACH = 3, 5


def picture(person: int, number: int) -> bytes:
    rng = np.random.default_rng((person, number))
    done, content = cv2.imencode(".png", rng.integers(0, 256, (12, 10, 3), dtype=np.uint8))
    assert done
    return content.tobytes()


PICTURES = [picture(person, number) for number in range(EACH) for person in range(PEOPLE)]
LABELS = [person for _ in range(EACH) for person in range(PEOPLE)]
PATHS = [f"p{label}/{i}.png" for i, label in enumerate(LABELS)]
NAMES = ["zoe", "ann 10", "ann 2"]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def images(pictures=PICTURES, paths=PATHS, kind=IMAGE) -> pa.Array:
    return pa.array([{"bytes": one, "path": path} for one, path in zip(pictures, paths, strict=True)], kind)


def hugging_face(names: list[str], column: str = "label") -> dict[str, str]:
    features = {"image": {"_type": "Image"}, column: {"names": names, "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def write(path: Path, rows: slice = slice(None), *, metadata=None, group: int = 4, **columns) -> Path:
    columns = columns or {"image": images(), "label": pa.array(LABELS)}
    table = pa.table({name: column[rows.start : rows.stop] for name, column in columns.items()})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=group)
    return path


def check(faces, names, labels=LABELS, pictures=PICTURES) -> None:
    assert [faces.identities[label] for label in faces.labels] == [names[label] for label in labels]
    assert [faces.pictures.encoded(i) for i in range(len(faces))] == pictures


def test_a_file_of_hugging_face(tmp_path: Path) -> None:
    faces = read(write(tmp_path / "set.parquet", metadata=hugging_face(NAMES)))
    assert faces.identities == ["ann 2", "ann 10", "zoe"]
    check(faces, NAMES)
    assert [faces.pictures.name(i) for i in range(15)] == PATHS
    assert faces.pictures.place(9) == f"{tmp_path / 'set.parquet'}, row 9"
    assert faces.pictures.blocks is not None
    assert faces.pictures.blocks.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 3
    assert (faces.pictures[7] == cv2.imdecode(np.frombuffer(PICTURES[7], np.uint8), 1)[:, :, ::-1]).all()


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"image": pa.array(PICTURES), "label": pa.array(LABELS)}, "012"),
        ({"image": pa.array(PICTURES, pa.large_binary()), "identity": pa.array(LABELS, pa.uint8())}, "012"),
        ({"image": images(), "label": pa.array([NAMES[label] for label in LABELS])}, NAMES),
        ({"label": pa.array(LABELS), "identity": pa.array([NAMES[i] for i in LABELS], pa.large_string()),
          "image": images(), "age": pa.array([1.5] * 15)}, NAMES),
        ({"image": images(), "label": pa.array([NAMES[i] for i in LABELS]).dictionary_encode()}, NAMES),
        ({"image": images(), "label": pa.array(LABELS).dictionary_encode()}, "012"),
        ({"image": images(kind=pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())])),
          "label": pa.array(LABELS, pa.int16())}, "012"),
    ],
)  # fmt: skip
def test_other_columns(tmp_path: Path, columns, names) -> None:
    check(read(write(tmp_path / "set.parquet", **columns)), names)


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    for file, (start, stop) in enumerate([(0, 6), (6, 6), (6, 15)]):
        # Each file may count its people in its own way; their names are what counts.
        names = NAMES if file < 2 else [*reversed(NAMES)]
        labels = pa.array(LABELS if file < 2 else [2 - label for label in LABELS])
        path = tmp_path / f"train-{file:05d}-of-00003.parquet"
        write(path, slice(start, stop), metadata=hugging_face(names), image=images(), label=labels)
    (tmp_path / "README.md").write_text("A set.")
    faces = read(tmp_path)
    check(faces, NAMES)
    assert faces.pictures.place(8) == f"{tmp_path / 'train-00002-of-00003.parquet'}, row 2"
    assert faces.pictures.name(8) == PATHS[8]


def test_splits_are_not_mixed(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"{split}-00000-of-00001.parquet")
    with pytest.raises(
        UserError, match=r"^data.root: .* the splits test, train; give a folder with the files"
    ):
        read(tmp_path)


@pytest.mark.parametrize("paths", [["a.png"] * 15, [None, *PATHS[1:]]])
def test_names_are_files_and_rows_where_paths_are_none(tmp_path: Path, paths) -> None:
    for file, (start, stop) in enumerate([(0, 7), (7, 15)]):
        path = tmp_path / f"train-{file:05d}-of-00002.parquet"
        write(path, slice(start, stop), image=images(paths=paths), label=pa.array(LABELS))
    pictures = read(tmp_path).pictures
    names = [pictures.name(i) for i in range(15)]
    assert names[8] == "train-00001-of-00002/1"
    assert len(set(names)) == 15


def test_a_row_without_a_picture_is_told_when_it_is_read(tmp_path: Path) -> None:
    column = pa.array(
        [None, {"bytes": None, "path": "x"}, *({"bytes": one, "path": "y"} for one in PICTURES[2:])], IMAGE
    )
    faces = read(write(tmp_path / "set.parquet", image=column, label=pa.array(LABELS)))
    for index in (0, 1):
        with pytest.raises(UnreadableImage, match=rf"set.parquet, row {index}: the row holds no picture"):
            faces.pictures.encoded(index)
    assert faces.pictures.encoded(2) == PICTURES[2]


@pytest.mark.parametrize(
    ("columns", "metadata", "says"),
    [
        ({"img": images(), "label": pa.array(LABELS)}, None, "no column image with .* among img, label"),
        ({"image": pa.array(PATHS), "label": pa.array(LABELS)}, None, "no column image with encoded"),
        ({"image": images()}, None, "no column identity or label among image"),
        ({"label": pa.array([1.0] * 15)}, None, "the labels are double"),
        ({"label": pa.array([0] * 9 + [-1] + [0] * 5)}, None, "row 9 has the label -1"),
        ({"label": pa.array([0] * 9 + [None] + [0] * 5)}, None, "row 9 has no label"),
        ({"label": pa.array(LABELS)}, hugging_face(["a", "b"]), "row 2: 2 is no label of 2 people"),
        ({"label": pa.array(LABELS)}, hugging_face({"0": "a"}), "something else than a list"),
        ({"label": pa.array(LABELS)}, {"huggingface": "[" * 100_000}, "set.parquet"),
        ({"label": pa.array(LABELS)}, {"huggingface": "{"}, "set.parquet"),
        ({"image": images()[:0], "label": pa.array([], pa.int64())}, None, "no rows"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, columns, metadata, says: str) -> None:
    table = columns if "image" in columns or "img" in columns else columns | {"image": images()}
    path = write(tmp_path / "set.parquet", metadata=metadata, **table)
    with pytest.raises(UserError, match=rf"^data.root: .*{says}"):
        read(path)


@pytest.mark.parametrize(
    "metadata", [{"huggingface": "[1, 2]"}, {"huggingface": '{"info": 3}'}, {"pandas": "x"}]
)
def test_metadata_without_names_gives_numbers(tmp_path: Path, metadata) -> None:
    check(read(write(tmp_path / "set.parquet", metadata=metadata)), "012")


def test_paths_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "set.parquet")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"p0/0.png", b"p\xff/0.png"))
    with pytest.raises(UserError, match=r"set.parquet: .*UTF"):
        read(path)


def test_what_is_not_there_or_not_parquet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data.root: .*none.parquet: .*No such file"):
        read(tmp_path / "none.parquet")
    for content in (b"", b"PAR1", b"text" * 500):
        (tmp_path / "text.parquet").write_bytes(content)
        with pytest.raises(UserError, match=r"text.parquet: .*; fetch it again"):
            read(tmp_path / "text.parquet")


def test_a_missing_package_is_told_with_the_cure(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path / "set.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'evenface\[parquet\]'"):
        read(path)


def test_row_groups_are_kept_within_bounds(tmp_path: Path, monkeypatch) -> None:
    faces = read(write(tmp_path / "set.parquet", group=2))
    reads = []
    opened = parquet._opened
    monkeypatch.setattr(parquet, "_opened", lambda file: reads.append(file) or opened(file))
    monkeypatch.setattr(parquet, "MOST", 4 * len(PICTURES[0]) + 200)  # two groups
    for index in (0, 1, 2, 0, 3, 1):
        faces.pictures.encoded(index)
    assert len(reads) == 2
    for index in (4, 2, 0):  # the group used longest ago makes room
        faces.pictures.encoded(index)
    assert len(reads) == 5
    with pytest.raises(
        UserError, match=r"row group 0 has [\d,]+ bytes, all of which .* \(row_group_size=100\)"
    ):
        read(write(tmp_path / "large.parquet", group=15))


class Encoded(Dataset[bytes]):
    def __init__(self, pictures: Pictures):
        self.pictures = pictures

    def __getitem__(self, index: int) -> bytes:
        return self.pictures.encoded(index)


def test_worker_processes_read_the_same(tmp_path: Path) -> None:
    pictures = read(write(tmp_path / "set.parquet")).pictures
    assert pictures.encoded(3) == PICTURES[3]  # a group is kept before the fork
    for start in (pictures, again := pickle.loads(pickle.dumps(pictures))):
        dataset = Subset(Encoded(start), [*range(15)] * 3)
        assert list(DataLoader(dataset, batch_size=None, num_workers=2)) == PICTURES * 3
    assert len(pickle.dumps(again)) == len(pickle.dumps(pictures))  # what is kept does not travel
    (tmp_path / "set.parquet").unlink()
    with pytest.raises(UnreadableImage, match=r"set.parquet, row 0: its row group cannot be read"):
        again.encoded(0)


TRY = """
import sys
from pathlib import Path
import pyarrow.parquet
from evenface.data import read
from evenface.errors import UserError
from evenface.faces import UnreadableImage
limit_memory(5)
for line in sys.stdin:
    try:
        faces = read(Path(line[:-1]))
        for i in range(len(faces)):
            faces.pictures.name(i)
            try:
                faces.pictures.encoded(i)
            except UnreadableImage:
                pass
        print("read", flush=True)
    except UserError as error:
        print(str(error).replace(chr(10), " "), flush=True)
"""


@pytest.fixture(scope="module")
def another_process():
    """Reads a set where a crash would end only itself, and gives what it said."""
    words = [sys.executable, "-c", LIMIT_MEMORY + TRY]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def said(path: Path) -> str:
        process.stdin.write(f"{path}\n")
        return process.stdout.readline()

    yield said
    process.stdin.close()
    assert process.wait() == 0
    process.stdout.close()


@settings(max_examples=200)
@given(data=st.data())
def test_damaged_files_are_refused_or_read(tmp_path_factory, another_process, data) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    content = bytearray(write(path, metadata=hugging_face(NAMES)).read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(content) - 1) | st.integers(footer, len(content) - 1))
        content[start] = data.draw(
            st.sampled_from([0, 255, 127, 128, content[start] ^ 1]) | st.integers(0, 255)
        )
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    found = another_process(path)
    assert found == "read\n" or found.startswith("data.root: ")


def test_a_long_run_of_one_label_takes_no_memory(tmp_path: Path, another_process) -> None:
    rows = 10_000_000
    table = pa.table({"image": pa.nulls(rows, pa.binary()), "label": pa.array(np.zeros(rows, np.int64))})
    pq.write_table(table, tmp_path / "set.parquet", row_group_size=rows)
    assert (tmp_path / "set.parquet").stat().st_size < 100_000
    assert "announces 10,000,000 rows, more than the file can hold" in another_process(
        tmp_path / "set.parquet"
    )
