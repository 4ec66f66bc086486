"""LMDB databases, written with the lmdb package as scripts for PyTorch write them."""

import os
import pickle
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, Subset

from evenface.data import Pictures, read
from evenface.data.readers.lmdb_file import entries
from evenface.errors import UserError
from evenface.faces import UnreadableImage
from machine import LIMIT_MEMORY


def picture(person: int, number: int, side: int = 12) -> bytes:
    rng = np.random.default_rng((person, number))
    done, content = cv2.imencode(".png", rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
    assert done
    return content.tobytes()


PEOPLE = ["ann 10", "ann 2", "zoe"]
# Some on pages with their keys, some on overflow pages.
SET = {
    f"{person}/{i}.png": picture(p, i, 12 + 40 * (i == 3))
    for p, person in enumerate(PEOPLE)
    for i in range(5)
}
LABELS = [1] * 5 + [0] * 5 + [2] * 5


def write(path: Path, entries: dict, **options) -> Path:
    with (
        lmdb.open(str(path), map_size=1 << 26, **options) as environment,
        environment.begin(write=True) as writing,
    ):
        for key, value in entries.items():
            writing.put(key.encode("utf-8", "surrogateescape"), value)
    return path


def numbered(
    pattern: str = "{}", pack=lambda picture, label: pickle.dumps((picture, label))
) -> dict[str, bytes]:
    order = [4, 0, 2, 1, 3]  # written in any order, read by number
    pictures = list(SET.values())
    return {
        pattern.format(3 * i): pack(pictures[i], 7 + LABELS[i]) for n in order for i in (n, n + 5, n + 10)
    }


def check(faces) -> None:
    assert faces.labels.tolist() == LABELS
    assert [faces.pictures.encoded(i) for i in range(len(faces))] == list(SET.values())


@pytest.mark.parametrize("subdir", [True, False])
def test_keys_of_person_and_image(tmp_path: Path, subdir: bool) -> None:
    path = write(tmp_path / "set.lmdb", SET | {"__keys__": b"x", "__len__": b"15"}, subdir=subdir)
    faces = read(path)
    check(faces)
    assert faces.identities == ["ann 2", "ann 10", "zoe"]
    assert [faces.pictures.name(i) for i in range(15)] == list(SET)
    file = path / "data.mdb" if subdir else path
    assert faces.pictures.place(3) == f"{file}, key ann 10/3.png"
    assert (
        faces.pictures[3] == cv2.imdecode(np.frombuffer(SET["ann 10/3.png"], np.uint8), 1)[:, :, ::-1]
    ).all()
    assert (read(file).labels == faces.labels).all()
    assert not (path.parent / "set.lmdb-lock").exists() or not subdir


def test_folders_above_a_person_and_keys_that_are_no_text(tmp_path: Path) -> None:
    faces = read(write(tmp_path, {"a/p/0": b"0", "b/p/0": b"1", "c\udcff/0": b"2"}))
    assert faces.identities == ["a/p", "b/p", "c\udcff"]
    assert [faces.pictures.encoded(i) for i in range(3)] == [b"0", b"1", b"2"]


PACKED = {
    "plain": numbered(),
    "padded": numbered("{:08d}"),
    "lists": numbered(pack=lambda picture, label: pickle.dumps([picture, label], 2)),
    "arrays": numbered(
        pack=lambda picture, label: pickle.dumps((np.frombuffer(picture, np.uint8), label), 4)
    ),
    "newest": numbered(pack=lambda picture, label: pickle.dumps((picture, label), pickle.HIGHEST_PROTOCOL)),
}


@pytest.mark.parametrize("form", PACKED)
def test_numbered_keys_with_pickles(tmp_path: Path, form: str) -> None:
    others = {"__keys__": pickle.dumps([b"0"]), "__len__": pickle.dumps(15)}
    faces = read(write(tmp_path, PACKED[form] | others))
    check(faces)
    assert faces.identities == ["7", "8", "9"]
    assert [int(faces.pictures.name(i)) for i in range(15)] == [3 * i for i in range(15)]


class Calls:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"\x92\xc4\x04abcd\x07", "as msgpack or a picture without a label may"),
        (b"\xff\xd8\xff\xe0", "a picture without a label"),
        (b"", "it begins with b''"),
        (pickle.dumps((b"a", "label")), "something else"),
        (pickle.dumps((b"a", -1)), "something else"),
        (pickle.dumps((b"a", 1, 2)), "something else"),
        (pickle.dumps(("a", 1)), "something else"),
        (pickle.dumps({"a": 1}), "another kind"),
        (pickle.dumps(5), "something else"),
        (pickle.dumps((b"a", 1))[:-3], "exhausted before seeing STOP"),
    ],
)
def test_other_values_under_numbers_are_refused(tmp_path: Path, value: bytes, says: str) -> None:
    with pytest.raises(
        UserError, match=rf"^data.root: .*data.mdb, key 6: .*{says}.*; store each picture under"
    ):
        read(write(tmp_path, numbered() | {"6": value}))


def test_a_pickle_that_would_run_does_not(tmp_path: Path) -> None:
    bomb = pickle.dumps((Calls(tmp_path / "ran"), 1))
    with pytest.raises(UserError, match=r"calls '(posix|os|nt).mkdir', which may be harmful"):
        read(write(tmp_path / "set", {"0": bomb, "__keys__": bomb, "__len__": bomb}))
    assert not (tmp_path / "ran").exists()
    pickle.loads(bomb)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (
            {"image-000000001": b"a", "label-000000001": b"1", "num-samples": b"1"},
            "labels under keys of their own",
        ),
        ({"0": b"a", "0_label": b"1"}, "labels under keys of their own"),
        ({"0": b"a", "p/0": b"1"}, "the key .0. is neither person/image nor"),
        ({"abc": b"a"}, "the key 'abc' is neither person/image nor, as all"),
        ({"__len__": b"a"}, "has no entries"),
        ({}, "has no entries"),
    ],
)
def test_other_keys_are_refused(tmp_path: Path, entries, says: str) -> None:
    with pytest.raises(UserError, match=rf"^data.root: .*data.mdb.*({says})"):
        read(write(tmp_path, entries))


def test_what_is_not_there_or_no_database(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.mdb: No such file"):
        read(tmp_path / "none.mdb")
    for content in (b"", b"text" * 5000, b"text" * 5):
        (tmp_path / "text.mdb").write_bytes(content)
        with pytest.raises(UserError, match=r"text.mdb: .*not a database of LMDB.*; copy the database again"):
            read(tmp_path / "text.mdb")


class Encoded(Dataset[bytes]):
    def __init__(self, pictures: Pictures):
        self.pictures = pictures

    def __getitem__(self, index: int) -> bytes:
        return self.pictures.encoded(index)


@pytest.mark.parametrize("entries", [SET, numbered()], ids=["keys", "pickles"])
def test_worker_processes_read_the_same(tmp_path: Path, entries) -> None:
    first, second = read(write(tmp_path, entries)).pictures, read(tmp_path).pictures
    assert first.encoded(3) == second.encoded(3)  # two sets of one file in one process, open before the fork
    for start in (first, pickle.loads(pickle.dumps(second))):
        dataset = Subset(Encoded(start), [*range(15)] * 3)
        assert list(DataLoader(dataset, batch_size=None, num_workers=2)) == list(SET.values()) * 3


def test_a_file_that_is_gone_or_cut_short_later(tmp_path: Path) -> None:
    pictures = read(write(tmp_path / "set", SET)).pictures
    pictures.encoded(0)
    os.truncate(tmp_path / "set" / "data.mdb", 8192)
    with pytest.raises(UnreadableImage, match=r"key ann 10/3.png: the file has been cut short"):
        pictures.encoded(3)
    shutil.rmtree(tmp_path / "set")
    with pytest.raises(UnreadableImage, match=r"key ann 10/0.png: No such file"):
        pickle.loads(pickle.dumps(pictures)).encoded(0)


def test_databases_within_a_database_are_refused(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "named"), max_dbs=1) as environment:
        environment.open_db(b"pictures")
    with pytest.raises(UserError, match=r"the key b'pictures' has a database within the database"):
        read(tmp_path / "named")
    path = write(tmp_path / "several", SET) / "data.mdb"
    content = bytearray(path.read_bytes())
    content[92] = content[4096 + 92] = 4  # what the C library writes for MDB_DUPSORT, which Python's does not
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"its keys have several values or an order of their own"):
        read(tmp_path / "several")


steps = st.lists(
    st.tuples(st.binary(min_size=1, max_size=12), st.none() | st.integers(0, 20_000)), min_size=1, max_size=60
)


@settings(max_examples=60)
@given(st.lists(steps, min_size=1, max_size=4))
def test_entries_are_those_that_lmdb_finds(tmp_path_factory, transactions) -> None:
    path = tmp_path_factory.getbasetemp() / "random.mdb"
    path.unlink(missing_ok=True)
    with lmdb.open(str(path), subdir=False, map_size=1 << 26, sync=False, lock=False) as environment:
        for transaction in transactions:
            with environment.begin(write=True) as writing:
                for key, size in transaction:
                    if size is None:
                        writing.delete(key)
                    else:
                        writing.put(key * 20, (key * size)[:size])
        with environment.begin() as reading:
            expected = list(reading.cursor())
    content = path.read_bytes()
    assert [(key, content[start : start + size]) for key, start, size in entries(path)] == expected


TRY = """
import sys
from hashlib import sha256
from pathlib import Path
from evenface.data import read
from evenface.errors import UserError
from evenface.faces import UnreadableImage
limit_memory(3)
for line in sys.stdin:
    try:
        faces = read(Path(line[:-1]))
        digest = sha256()
        for i in range(len(faces)):
            try:
                digest.update(faces.pictures.encoded(i))
            except UnreadableImage:
                pass
        print("read", digest.hexdigest(), flush=True)
    except UserError as error:
        print(error, flush=True)
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


@pytest.mark.parametrize("form", ["keys", "pickles"])
def test_a_file_cut_short_ends_no_process(tmp_path: Path, another_process, form: str) -> None:
    content = (write(tmp_path / "set", {"keys": SET, "pickles": numbered()}[form]) / "data.mdb").read_bytes()
    whole = another_process(tmp_path / "set")
    assert whole == f"read {sha256(b''.join(SET.values())).hexdigest()}\n"
    refused = 0
    for pages in range(len(content) // 4096):
        for more in (0, 1, 2000):
            path = tmp_path / f"{pages}-{more}.mdb"
            path.write_bytes(content[: 4096 * pages + more])
            found = another_process(path)
            # The end of the last page may be unused: then nothing is lost.
            assert found == whole or re.search(r"cut short|not a database|damaged", found)
            refused += found != whole
    assert refused >= len(content) // 4096 * 3 - 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    many = {f"{'person' * 10}{p}/{i}": b"x" * (500 + 1000 * i) for p in range(20) for i in range(5)}
    return (write(tmp_path_factory.mktemp("whole"), many) / "data.mdb").read_bytes()


changes = st.lists(
    st.tuples(
        st.integers(0, 10**6),
        st.sampled_from([20, 64, 150, 4096]),
        st.integers(0, 4095),
        st.sampled_from([0, 1, 255]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150)
@given(changes=changes)
@example(changes=[(0, 150, offset, 255) for offset in range(136, 144)])  # the last page in use
@example(changes=[(0, 150, offset, 255) for offset in range(128, 136)])  # the root
def test_damaged_files_end_no_process(tmp_path_factory, another_process, whole: bytes, changes) -> None:
    content = bytearray(whole)
    for page, within, at, value in changes:
        place = page % (len(content) // 4096) * 4096 + at % within
        content[place] = value if value != 1 else content[place] ^ 1
    path = tmp_path_factory.getbasetemp() / "damaged.mdb"
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    found = another_process(path)
    assert found.startswith(("read ", "data.root: "))
