"""InsightFace's .rec sets, written here byte by byte."""

import os
import pickle
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, Subset

from evenface.data import Pictures, read
from evenface.data.readers.record import RecordPictures, read_records
from evenface.data.recordio import heads, parted, read_record, scan
from evenface.data.writers.record import RecordWriter
from evenface.errors import UserError
from evenface.faces import UnreadableImage
from machine import LIMIT_MEMORY

MAGIC = b"\x0a\x23\xd7\xce"
PEOPLE, EACH = 3, 5


def picture(person: int, number: int) -> bytes:
    rng = np.random.default_rng((person, number))
    done, content = cv2.imencode(".png", rng.integers(0, 256, (12, 10, 3), dtype=np.uint8))
    assert done
    return content.tobytes()


PICTURES = [picture(person, number) for person in range(PEOPLE) for number in range(EACH)]
LABELS = [person for person in range(PEOPLE) for _ in range(EACH)]


def record(content: bytes) -> bytes:
    """One record in the container: walked word by word, as dmlc-core's writer does."""
    out, start = b"", 0
    for at in range(0, len(content) // 4 * 4, 4):
        if content[at : at + 4] == MAGIC:
            out += MAGIC + struct.pack("<I", (2 if start else 1) << 29 | (at - start)) + content[start:at]
            start = at + 4
    out += MAGIC + struct.pack("<I", (3 if start else 0) << 29 | (len(content) - start)) + content[start:]
    return out + bytes(-len(content) % 4)


def image(label: float | list[float], key: int, content: bytes) -> bytes:
    """An image record: IRHeader, labels, picture."""
    if isinstance(label, list):
        return struct.pack(f"<IfQQ{len(label)}f", len(label), 0, key, 0, *label) + content
    return struct.pack("<IfQQ", 0, label, key, 0) + content


def insightface(labels=LABELS, pictures=PICTURES, form=lambda label: [float(label), 1.0]):
    """The records of face2rec2.py, {key: content}: pictures from 1, then record 0, then a record a person."""
    count = len(pictures)
    changes = [i for i in range(count) if i == 0 or labels[i] != labels[i - 1]] + [count]
    ranges = [[float(a + 1), float(b + 1)] for a, b in pairwise(changes)]
    records = {i + 1: image(form(labels[i]), i + 1, pictures[i]) for i in range(count)}
    records[0] = image([count + 1.0, count + 1.0 + len(ranges)], 0, b"")
    for i, bounds in enumerate(ranges):
        records[count + 1 + i] = image(bounds, count + 1 + i, b"")
    return records


def im2rec(labels=LABELS, pictures=PICTURES):
    return {i: image(float(labels[i]), i, pictures[i]) for i in range(len(pictures))}


def write(folder: Path, records: dict[int, bytes], *, index: bool = True, name: str = "train") -> Path:
    folder.mkdir(exist_ok=True)
    lines, content = [], b""
    for key, one in records.items():
        lines.append(f"{key}\t{len(content)}\n")
        content += record(one)
    (folder / f"{name}.rec").write_bytes(content)
    if index:
        (folder / f"{name}.idx").write_text("".join(lines))
    return folder


class Encoded(Dataset[bytes]):
    def __init__(self, pictures: Pictures):
        self.pictures = pictures

    def __getitem__(self, index: int) -> bytes:
        return self.pictures.encoded(index)


def check(faces, labels=LABELS, pictures=PICTURES) -> None:
    assert faces.labels.tolist() == labels
    assert [faces.pictures.encoded(i) for i in range(len(faces))] == pictures


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize(
    "records",
    [
        insightface(),
        insightface(form=lambda label: float(label)),
        insightface(form=lambda label: [float(label)]),
        im2rec(),
        dict(sorted(insightface().items())),  # record 0 first, as other tools order them
    ],
)
def test_every_form_gives_the_same_set(tmp_path: Path, records, index: bool) -> None:
    faces = read(write(tmp_path, records, index=index))
    check(faces)
    assert faces.identities == ["0", "1", "2"]
    first = 0 if len(records) == len(PICTURES) else 1
    assert [faces.pictures.name(i) for i in (0, 14)] == [str(first), str(first + 14)]
    assert (faces.pictures[7] == cv2.imdecode(np.frombuffer(PICTURES[7], np.uint8), 1)[:, :, ::-1]).all()


def test_a_file_is_taken_by_name_and_the_place_tells_the_record(tmp_path: Path) -> None:
    write(tmp_path, insightface(), name="web")
    faces = read(tmp_path / "web.rec")
    check(faces)
    offset = dict(line.split("\t") for line in (tmp_path / "web.idx").read_text().splitlines())["2"]
    assert faces.pictures.place(1) == f"{tmp_path / 'web.rec'}, record 2, byte {int(offset):,}"


def test_the_ranges_give_the_labels_without_a_look_at_the_pictures(tmp_path: Path) -> None:
    # Labels that only the first picture of each person has right: the ranges must be what counts.
    records = insightface()
    for key in range(1, 16):
        if key % EACH != 1:
            records[key] = image([float("nan"), 1.0], key, PICTURES[key - 1])
    check(read(write(tmp_path, records)))


def test_a_person_of_two_ranges_is_one_person(tmp_path: Path) -> None:
    labels = [7, 7, 3, 3, 7, 3]
    faces = read(write(tmp_path, insightface(labels, PICTURES[:6])))
    assert faces.identities == ["3", "7"]
    check(faces, [1, 1, 0, 0, 1, 0], PICTURES[:6])


@pytest.mark.parametrize("bounds", [[1.0, 7.0], [2.0, 6.0], [0.0, 6.0], [6.0, 1.0], [float("nan"), 6.0]])
def test_ranges_that_do_not_part_the_pictures_leave_it_to_their_labels(tmp_path: Path, bounds) -> None:
    records = insightface()
    records[16] = image(bounds, 16, b"")
    check(read(write(tmp_path, records)))


@pytest.mark.parametrize("header", [[16.0, 16.0], [16.0, 1e9], [2.0**24, 2.0**24 + 4], [16.5, 19.0]])
def test_a_record_0_that_names_no_identity_records_leaves_it_to_the_labels(tmp_path: Path, header) -> None:
    check(read(write(tmp_path, insightface() | {0: image(header, 0, b"")})))


def test_labels_that_float32_cannot_tell_apart(tmp_path: Path) -> None:
    labels = [2**24 + label for label in LABELS]
    faces = read(write(tmp_path / "ranges", insightface(labels)))
    check(faces)  # 2**24 and 2**24 + 1 are one float32; the ranges know better
    assert faces.identities == ["0", "1", "2"]
    with pytest.raises(
        UserError, match=r"^data.root: .*train.rec, record 0, byte 0: labels from 16,777,216 on"
    ):
        read(write(tmp_path / "labels", im2rec(labels)))


@pytest.mark.parametrize("label", [-1.0, 0.5, float("nan"), float("inf"), [-1.0, 1.0]])
def test_other_labels_are_refused(tmp_path: Path, label) -> None:
    records = im2rec() | {9: image(label, 9, PICTURES[9])}
    with pytest.raises(
        UserError, match=r"train.rec, record 9, byte [\d,]+: its label is .*; expected a whole"
    ):
        read(write(tmp_path, records))


def test_pictures_with_the_magic_in_them(tmp_path: Path) -> None:
    pictures = [
        MAGIC,
        MAGIC * 3,
        b"ab" + MAGIC,
        b"abcd" + MAGIC + b"e",
        MAGIC + b"abc" + MAGIC,
        b"x" * 40 + MAGIC * 2,
    ]
    path = write(tmp_path, insightface([0, 0, 0, 1, 1, 1], pictures))
    assert (path / "train.rec").read_bytes().count(
        struct.pack("<I", 1 << 29 | 32)
    ) > 2  # some are cut at byte 32
    for index in ("with", "without"):
        check(read(path), [0, 0, 0, 1, 1, 1], pictures)
        if index == "with":
            (path / "train.idx").unlink()


@given(st.lists(st.sampled_from([MAGIC, b"a", b"bcd", b"efgh"]), max_size=12).map(b"".join))
def test_parts_are_those_of_the_slow_writer(tmp_path_factory, content: bytes) -> None:
    assert parted(content) == record(content)
    path = tmp_path_factory.getbasetemp() / "parts.rec"
    path.write_bytes(record(b"first") + record(content))
    file = os.open(path, os.O_RDONLY)
    try:
        assert read_record(file, 16, path.stat().st_size) == (content, path.stat().st_size)
    finally:
        os.close(file)
    assert scan(path).tolist() == [0, 16]


def test_im2rec_s_list_gives_names_and_people(tmp_path: Path) -> None:
    people = ["zoe", "ann 10", "ann 2"]
    paths = [f"set/{people[label]}/{i}.png" for i, label in enumerate(LABELS)]
    lines = [f"{i}\t{label:f}\t{path}\n" for i, (label, path) in enumerate(zip(LABELS, paths, strict=True))]
    write(tmp_path, im2rec())
    (tmp_path / "train.lst").write_text("".join(reversed(lines)))
    faces = read(tmp_path)
    assert faces.identities == ["ann 2", "ann 10", "zoe"]
    check(faces, [{0: 2, 1: 1, 2: 0}[label] for label in LABELS])
    assert [faces.pictures.name(i) for i in range(15)] == paths


def test_insightface_s_list_gives_names_and_people(tmp_path: Path) -> None:
    write(tmp_path, insightface())
    lines = [f"1\t/data/p{label}/{i}.jpg\t{label}\n" for i, label in enumerate(LABELS)]
    lines.insert(
        4, "0\t/data/p0/lost.jpg\t0\n"
    )  # not aligned and without landmarks: InsightFace leaves it out
    (tmp_path / "train.lst").write_text("".join(lines))
    faces = read(tmp_path)
    check(faces)
    assert faces.identities == ["p0", "p1", "p2"]
    assert faces.pictures.name(4) == "/data/p0/4.jpg"


@pytest.mark.parametrize("folder", ["same/{i}", "{i}/x", "{label}/{i}", "{i}"])
def test_folders_that_are_not_the_people_give_no_names(tmp_path: Path, folder: str) -> None:
    write(tmp_path, im2rec())
    paths = [folder.format(i=i, label=min(label, 1)) for i, label in enumerate(LABELS)]
    (tmp_path / "train.lst").write_text("".join(f"{i}\t0\t{path}\n" for i, path in enumerate(paths)))
    faces = read(tmp_path)
    assert faces.identities == ["0", "1", "2"]
    assert [faces.pictures.name(i) for i in range(15)] == paths
    check(faces)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0\t0\ta/b\n", "does not name record 1"),
        ("0\t0\ta\n" * 2 + "".join(f"{i}\t0\ta\n" for i in range(1, 15)), "names a record twice"),
        ("0\t0\n", r"train.lst, line 1: expected three fields"),
        ("\n\nx\t0\ta\n", r"train.lst, line 3: "),
        ("-1\t0\ta\n", "-1 is no key"),
        ("99999999999999999999\t0\ta\n", "99999999999999999999 is no key"),
        ("", "does not name record 0"),
    ],
)
def test_other_lists_are_refused_with_the_cure(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, im2rec())
    (tmp_path / "train.lst").write_text(text)
    with pytest.raises(UserError, match=rf"^data.root: .*{says}.*; take the .lst .*or remove"):
        read(tmp_path)


def broken_index(lines: list[str]) -> dict[str, list[str]]:
    return {
        "cut short": lines[:-1],
        "a key twice": [*lines, "3\t0"],
        "outside": [*lines, "99\t10000000"],
        "not aligned": [*lines, "99\t2"],
        "negative": [*lines, "99\t-4"],
        "text": [*lines, "a\tb"],
        "too large": [*lines, f"99\t{10**30}"],
        "one column": [line.split("\t")[0] for line in lines],
        "empty": [],
    }


@pytest.mark.parametrize("case", broken_index([]))
def test_other_indexes_are_refused(tmp_path: Path, case: str) -> None:
    write(tmp_path, im2rec())
    idx = tmp_path / "train.idx"
    idx.write_text("".join(f"{line}\n" for line in broken_index(idx.read_text().splitlines())[case]))
    with pytest.raises(UserError, match=r"^data.root: .*train.idx"):
        read(tmp_path)


def test_an_index_of_another_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path, im2rec())
    idx = tmp_path / "train.idx"
    lines = [line.split("\t") for line in idx.read_text().splitlines()]
    idx.write_text("".join(f"{key}\t{int(offset) + 4 * (key == '7')}\n" for key, offset in lines))
    with pytest.raises(UserError, match=r"record 7, byte [\d,]+: is no whole record"):
        read(tmp_path)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("lost", [1, 4, 50])
def test_a_file_cut_short_is_refused(tmp_path: Path, index: bool, lost: int) -> None:
    write(tmp_path, insightface(), index=index)
    content = (tmp_path / "train.rec").read_bytes()
    (tmp_path / "train.rec").write_bytes(content[:-lost])
    with pytest.raises(UserError, match=r"^data.root: .*train\.(rec|idx).*(again|removed?)"):
        read(tmp_path)


def test_what_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data.root: .*none.rec: No such file"):
        read(tmp_path / "none.rec")
    (tmp_path / "empty.rec").write_bytes(b"")
    with pytest.raises(UserError, match=r"empty.rec: the file is empty"):
        read(tmp_path / "empty.rec")
    with pytest.raises(UserError, match=r"^here: .*holds no picture"):
        read_records(write(tmp_path / "none", {0: image([1.0, 1.0], 0, b"")}), field="here")


def test_a_broken_picture_is_named_when_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, im2rec())
    faces = read(tmp_path)
    with (tmp_path / "train.rec").open("r+b") as file:
        file.seek(int(faces.pictures.offsets[3]))
        file.write(b"\0")
        file.seek(int(faces.pictures.offsets[5]) + 40)
        file.write(b"\0" * 40)
    with pytest.raises(UnreadableImage, match=r"record 3, byte [\d,]+: a broken record: there is no record"):
        faces.pictures[3]
    with pytest.raises(UnreadableImage, match=r"record 5, .*(PNG|not a picture)"):
        faces.pictures[5]
    os.truncate(tmp_path / "train.rec", int(faces.pictures.offsets[9]) + 20)
    with pytest.raises(UnreadableImage, match=r"record 9, .*cut short"):
        faces.pictures[9]
    (tmp_path / "train.rec").unlink()
    with pytest.raises(UnreadableImage, match=r"record 4, .*No such file"):
        pickle.loads(pickle.dumps(faces.pictures))[4]


def test_pickled_pictures_hold_no_object_for_each(tmp_path: Path) -> None:
    pictures = read(write(tmp_path, im2rec())).pictures
    assert pictures.encoded(2) == PICTURES[2]
    again = pickle.loads(pickle.dumps(pictures))
    assert isinstance(again, RecordPictures)
    assert again.encoded(2) == PICTURES[2]
    assert all(not isinstance(value, list | dict | tuple) for value in vars(pictures).values())


def test_worker_processes_read_the_same(tmp_path: Path) -> None:
    pictures = read(write(tmp_path, insightface())).pictures
    assert pictures.encoded(14) == PICTURES[14]  # the file is open before the fork
    for start in (pictures, pickle.loads(pickle.dumps(pictures))):
        dataset = Subset(Encoded(start), [*range(15)] * 3)
        assert list(DataLoader(dataset, batch_size=None, num_workers=2)) == PICTURES * 3


NAMES = ["ann", "bo b", "c\udcff"]


def written(path: Path, stop: int = 15, state=None, start: int = 0):
    writer = RecordWriter(path, NAMES, state)
    for i in range(start, stop):
        writer.add(LABELS[i], f"{NAMES[LABELS[i]]}/{i}.png", PICTURES[i])
    return writer


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written(tmp_path / "set").close()
    for remove in ((), ("train.idx",)):
        for name in remove:
            (tmp_path / "set" / name).unlink()
        faces = read(tmp_path / "set")
        assert faces.identities == NAMES
        assert [faces.pictures.name(i) for i in range(15)] == [
            f"{NAMES[label]}/{i}.png" for i, label in enumerate(LABELS)
        ]
        check(faces)


def test_real_people_come_back_byte_for_byte(tmp_path: Path, data_root: Path) -> None:
    faces = read(data_root / "celeb" / "images")
    faces = faces.pick(faces.labels < 12)
    writer = RecordWriter(tmp_path, faces.identities)
    for i in range(len(faces)):
        writer.add(int(faces.labels[i]), faces.pictures.name(i), faces.pictures.encoded(i))
    writer.close()
    again = read(tmp_path)
    assert again.identities == faces.identities
    check(again, faces.labels.tolist(), [faces.pictures.encoded(i) for i in range(len(faces))])
    assert (tmp_path / "property").read_text() == "12,112,112"


def test_what_is_written_is_insightface_s_form(tmp_path: Path) -> None:
    written(tmp_path).close()
    expected = write(tmp_path / "expected", insightface(form=float))
    for name in ("train.rec", "train.idx"):
        assert (tmp_path / name).read_bytes() == (expected / name).read_bytes()
    assert (tmp_path / "property").read_text() == "3,12,10"
    assert (tmp_path / "train.lst").read_bytes().splitlines()[11] == b"12\t2\tc\xff/11.png"


@pytest.mark.parametrize("at", [0, 1, 5, 7, 15])
def test_writing_goes_on_from_a_state(tmp_path: Path, at: int) -> None:
    writer = written(tmp_path / "a", at)
    state = pickle.loads(pickle.dumps(writer.state()))
    for i in range(at, min(at + 3, 15)):  # lost work, partly on the disk
        writer.add(LABELS[i], f"lost{i}", b"lost" * 100)
    writer.state()
    written(tmp_path / "a", state=state, start=at).close()
    written(tmp_path / "b").close()
    for name in ("train.rec", "train.idx", "train.lst", "property"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_person_without_a_picture_has_an_empty_range(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "x.rec", ["a", "b", "c", "d"])
    writer.add(1, "0", PICTURES[0])
    writer.add(3, "0", PICTURES[1])
    writer.close()
    faces = read(tmp_path / "x.rec")
    assert faces.identities == ["b", "d"]
    check(faces, [0, 1], PICTURES[:2])


def test_the_writer_refuses(tmp_path: Path) -> None:
    writer = written(tmp_path, 7)
    with pytest.raises(ValueError, match="person 0 comes after person 1"):
        writer.add(0, "x", PICTURES[0])
    for name in ("a\tb", "a\nb", "a\ud800"):
        with pytest.raises(
            UserError, match=r"train.lst: 'bo b/a\\.*' has a tab, a new line, or what is no text"
        ):
            writer.add(1, name, PICTURES[0])
    with pytest.raises(UserError, match=r"train.rec is there already"):
        RecordWriter(tmp_path, NAMES)
    state = writer.state()
    os.truncate(tmp_path / "train.lst", 3)
    with pytest.raises(UserError, match=r"train.lst: shorter than it was"):
        RecordWriter(tmp_path, NAMES, state)


def test_a_broken_picture_is_kept_and_gives_no_size(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path, NAMES[:1])
    for name, content in (("x", b"no picture"), ("y", PICTURES[0]), ("z", b"")):
        writer.add(0, name, content)
    writer.close()
    assert (tmp_path / "property").read_text() == "1,12,10"
    check(read(tmp_path), [0] * 3, [b"no picture", PICTURES[0], b""])


@pytest.mark.parametrize("pictures", [2**24 - 1, 2**24, 2**24 + 2, 2**25 + 1])
def test_record_0_of_a_large_set_announces_no_picture_too_many(tmp_path: Path, pictures: int) -> None:
    writer = RecordWriter(tmp_path, ["a"])
    writer._next += pictures
    writer.close()
    words = np.fromfile(tmp_path / "train.rec", "<u4")
    first = int(heads(words, np.array([0]))["labels"][0, 0])
    assert pictures - 3 <= first - 1 <= pictures
    if pictures < 2**24:
        assert first - 1 == pictures


GOOD = [insightface(), im2rec(), insightface(form=float)]


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_sets_are_refused_or_read(tmp_path_factory, data) -> None:
    folder = write(tmp_path_factory.getbasetemp() / "damaged", data.draw(st.sampled_from(GOOD)))
    if data.draw(st.booleans()):
        labels = "".join(f"{i}\t0\tp{i % 4}/{i}\n" for i in range(20))
        (folder / "train.lst").write_text(labels)
    else:
        (folder / "train.lst").unlink(missing_ok=True)
    for name in data.draw(st.sets(st.sampled_from(sorted(path.name for path in folder.iterdir())))):
        content = bytearray((folder / name).read_bytes())
        for _ in range(data.draw(st.integers(0, 4))):
            start = (
                data.draw(st.integers(0, len(content) // 4))
                * data.draw(st.sampled_from([1, 4]))
                % len(content)
            )
            patch = data.draw(
                st.sampled_from([b"\xff" * 4, b"\0" * 4, MAGIC, b"-", b"9" * 30, b"\t\n"])
                | st.binary(max_size=4)
            )
            content[start : start + len(patch)] = patch
        (folder / name).write_bytes(
            content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))]
        )
    if data.draw(st.booleans()):
        (folder / "train.idx").unlink()
    try:
        faces = read(folder)
    except UserError as error:
        assert str(error).startswith("data.root: ")
        return
    assert faces.labels.max() < len(faces.identities)
    assert len(faces) <= (folder / "train.rec").stat().st_size // 32
    for i in range(len(faces)):
        faces.pictures.name(i)
        try:
            faces.pictures.encoded(i)
        except UnreadableImage as error:
            assert "train.rec, record" in str(error)


HUGE = """
import sys
from pathlib import Path
from evenface.data import read
from evenface.errors import UserError
limit_memory(2)
for folder in sorted(Path(sys.argv[1]).iterdir()):
    try:
        faces = read(folder)
        [faces.pictures.encoded(i) for i in range(len(faces))]
    except UserError as error:
        print("refused", error)
    else:
        print("read", len(faces))
"""


def test_huge_lengths_take_no_memory(tmp_path: Path) -> None:
    tall = struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0) + PICTURES[0]
    for name, content in {
        "length": MAGIC + struct.pack("<I", 2**29 - 1) + image(0.0, 0, PICTURES[0]),
        "flag": record(tall),
        "parts": (MAGIC + struct.pack("<I", 1 << 29)) + (MAGIC + struct.pack("<I", 2 << 29)) * 100_000,
        "ranges": record(image([2.0**23, 2.0**23 + 5], 0, b"")) + record(image(0.0, 1, PICTURES[0])),
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.rec").write_bytes(content)
    words = [sys.executable, "-c", LIMIT_MEMORY + HUGE, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.count("refused data.root: ") == 3
    assert "read 1\n" in done.stdout


def test_a_name_that_a_list_would_take_for_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.rec: the person 'a/b' has a / in the name"):
        RecordWriter(tmp_path / "train.rec", ["ann", "a/b"])
    assert not list(tmp_path.iterdir())
