"""One suite over every form that a set may be stored in: whatever the form, the same set comes out of it."""

import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from evenface.convert import ConvertConfig, convert, verify
from evenface.convert.checksum import checksum
from evenface.data import (
    READERS,
    AugmentConfig,
    Batch,
    BatchPlan,
    FaceDataset,
    FaceSet,
    loader,
    read,
    read_list,
)
from evenface.data.writers import WRITERS
from evenface.data.writers.record import RecordWriter
from evenface.data.writers.shards import ShardWriter
from evenface.errors import UserError
from evenface.faces import InputFormat, UnreadableImage

People = dict[str, dict[str, bytes]]
"""Person -> name -> content."""
FORMAT = InputFormat(20, 16, "rgb")
AUGMENT = AugmentConfig(rotate=20, shift=0.1, brightness=0.3, gray=0.3, erase=0.5)


def in_folder(people: People, path: Path) -> None:
    for person, pictures in people.items():
        (path / person).mkdir(parents=True)
        for name, content in pictures.items():
            (path / person / name).write_bytes(content)


def in_list(people: People, path: Path) -> None:
    in_folder(people, path.parent / "listed")
    lines = [f"listed/{person}/{name} {person}\n" for person, own in people.items() for name in own]
    path.write_text("".join(lines))


def in_records(people: People, path: Path) -> None:
    writer = RecordWriter(path, list(people))
    for label, (person, pictures) in enumerate(people.items()):
        for name, content in pictures.items():
            writer.add(label, f"{person}/{name}", content)
    writer.close()


def in_shards(people: People, path: Path) -> None:
    writer = ShardWriter(path, list(people))
    rows = [(label, person, name) for label, person in enumerate(people) for name in people[person]]
    for label, person, name in rows[1::2] + rows[::2]:
        writer.add(label, f"{person}/{name}", people[person][name])
    writer.close()


def in_lmdb(people: People, path: Path) -> None:
    with (
        lmdb.open(str(path), map_size=1 << 24) as environment,
        environment.begin(write=True) as writing,
    ):
        for person, pictures in people.items():
            for name, content in pictures.items():
                writing.put(f"{person}/{name}".encode(), content)


def in_parquet(people: People, path: Path) -> None:
    rows = [
        {"image": {"bytes": content, "path": f"{person}/{name}"}, "identity": person}
        for person, own in people.items()
        for name, content in own.items()
    ]
    rows = rows[::2] + rows[1::2]
    path.mkdir()
    for number, part in enumerate((rows[:9], rows[9:])):
        table = pa.Table.from_pylist(part)
        parquet.write_table(table, path / f"train-{number:05d}-of-00002.parquet", row_group_size=4)


FORMS: dict[str, tuple[str, Callable[[People, Path], None]]] = {
    "folder": ("faces", in_folder),
    "record": ("train.rec", in_records),
    "shards": ("shards", in_shards),
    "lmdb": ("faces.lmdb", in_lmdb),
    "parquet": ("rows", in_parquet),
    "list": ("train.txt", in_list),
}
"""Reader -> what its set is called, and what writes one."""


def stored(form: str, people: People, folder: Path) -> Path:
    path = folder / FORMS[form][0]
    FORMS[form][1](people, path)
    return path


def opened(form: str, path: Path) -> FaceSet:
    return read_list(path) if form == "list" else read(path)


def encode(picture: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, picture)[1].tobytes()


@pytest.fixture(scope="module")
def people() -> People:
    rng = np.random.default_rng(0)
    found: People = {}
    for person, images in {"person10": 4, "Ann": 5, "person2": 3, "Zoë": 6, "x": 1}.items():
        pictures = [rng.integers(0, 256, (24 + i, 20, 3), dtype=np.uint8) for i in range(images)]
        suffixes = [".png", ".jpg", ".webp"]
        found[person] = {
            f"{i} a{suffixes[i % 3]}": encode(one, suffixes[i % 3]) for i, one in enumerate(pictures)
        }
    found["x"]["0 a.jpg"] = found["Zoë"]["1 a.jpg"]  # a name that but for its end is another's
    return found


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def faces(form: str, people: People, tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    return opened(form, stored(form, people, tmp_path_factory.mktemp(form)))


def held(faces: FaceSet) -> dict[tuple[str, str], bytes]:
    """(person, name) -> content."""
    names = [faces.pictures.name(i).rpartition("/")[2] for i in range(len(faces))]
    found = {
        (faces.identities[label], name): faces.pictures.encoded(i)
        for i, (label, name) in enumerate(zip(faces.labels, names, strict=True))
    }
    assert len(found) == len(faces)
    return found


def expected(people: People) -> dict[tuple[str, str], bytes]:
    return {(person, name): content for person, own in people.items() for name, content in own.items()}


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.images, b.images)
        and torch.equal(a.labels, b.labels)
        and torch.equal(a.indices, b.indices)
        for a, b in zip(one, other, strict=True)
    )


def test_the_suite_has_every_reader() -> None:
    assert set(FORMS) == {*READERS, "list"}


def test_a_set_is_taken_for_what_it_is(form: str, people: People, tmp_path: Path) -> None:
    if form != "list":
        path = stored(form, people, tmp_path)
        assert next(name for name, reader in READERS.items() if reader.takes(path)) == form


def test_the_people_in_natural_order(faces: FaceSet) -> None:
    assert faces.identities == ["Ann", "Zoë", "person2", "person10", "x"]
    assert faces.labels.dtype == np.int64
    assert faces.counts().tolist() == [5, 6, 3, 4, 2]


def test_names_and_bytes(faces: FaceSet, people: People) -> None:
    assert len(faces) == len(faces.pictures) == 20
    assert held(faces) == expected(people)
    assert len({faces.pictures.name(i) for i in range(20)}) == 20
    assert len({faces.pictures.place(i) for i in range(20)}) == 20


def test_pictures_are_what_opencv_decodes(faces: FaceSet) -> None:
    for i in range(len(faces)):
        bgr = cv2.imdecode(np.frombuffer(faces.pictures.encoded(i), np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(faces.pictures[i], bgr[:, :, ::-1])


def test_a_set_can_be_pickled_before_and_after_it_was_read(faces: FaceSet, people: People) -> None:
    again = pickle.loads(pickle.dumps(faces))
    assert held(again) == expected(people)
    assert held(pickle.loads(pickle.dumps(again))) == expected(people)


def test_threads_and_a_fork_may_share_a_set(faces: FaceSet) -> None:
    rows = list(range(len(faces))) * 20
    whole = [faces.pictures.encoded(i) for i in rows]
    fresh = pickle.loads(pickle.dumps(faces))  # has nothing open yet
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fresh.pictures.encoded, rows)) == whole
    child = os.fork()
    if not child:  # a file's position would be shared, too
        same_bytes = False
        try:
            same_bytes = [fresh.pictures.encoded(i) for i in rows] == whole
        finally:  # an error must not go on with the tests a second time
            os._exit(not same_bytes)
    assert [fresh.pictures.encoded(i) for i in rows] == whole
    assert os.waitpid(child, 0)[1] == 0


def test_the_same_batches_for_any_number_of_workers(faces: FaceSet) -> None:
    dataset = FaceDataset(faces, FORMAT, AUGMENT, seed=3)
    plan = BatchPlan(faces.labels, 6, "random", seed=3)
    whole = list(loader(dataset, plan, 0, 7, workers=0))
    for step, batch in enumerate(whole):
        assert batch.indices.tolist() == [index for index, _ in plan.batch(step)]
        assert batch.labels.tolist() == faces.labels[batch.indices].tolist()
        plain = FaceDataset(faces, FORMAT)
        assert torch.equal(plain[int(batch.indices[0]), 0][0], plain[int(batch.indices[0]), 99][0])
    assert same(list(loader(dataset, plan, 0, 7, workers=2)), whole)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_training_goes_on_within_an_epoch(faces: FaceSet, workers: int) -> None:
    plan = BatchPlan(faces.labels, 4, "balanced", seed=3)
    whole = list(loader(FaceDataset(faces, FORMAT, AUGMENT, seed=3), plan, 0, 11, workers=0))
    assert plan.steps_per_epoch == 5
    fresh = pickle.loads(pickle.dumps(faces))
    again = BatchPlan(fresh.labels, 4, "balanced", seed=3)
    for start in (2, 7):
        rest = list(loader(FaceDataset(fresh, FORMAT, AUGMENT, seed=3), again, start, 11, workers=workers))
        assert same(rest, whole[start:])


def broken(content: bytes) -> bytes:
    """A PNG with a whole header and nothing behind that could be a picture."""
    at = content.index(b"IDAT") + 4
    return content[:at] + bytes(len(content) - at - 16) + content[-16:]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_picture_is_named_or_passed_over(
    form: str, people: People, tmp_path: Path, workers: int
) -> None:
    content = broken(people["Zoë"]["3 a.png"])
    path = stored(form, {**people, "Zoë": {**people["Zoë"], "3 a.png": content}}, tmp_path)
    faces = opened(form, path)
    (bad,) = (i for i in range(len(faces)) if faces.pictures.encoded(i) == content)
    with pytest.raises(UnreadableImage) as raised:
        faces.pictures[bad]
    assert raised.value.place == faces.pictures.place(bad)
    assert str(tmp_path) in raised.value.place
    plan = BatchPlan(faces.labels, 10)
    batches = list(loader(FaceDataset(faces, FORMAT, corrupt="skip"), plan, 0, 2, workers=workers))
    assert sum(map(len, batches)) == 19
    assert [error.place for batch in batches for error in batch.skipped] == [faces.pictures.place(bad)]
    with pytest.raises(UnreadableImage) as raised:
        list(loader(FaceDataset(faces, FORMAT), plan, 0, 2, workers=workers))
    assert raised.value.place == faces.pictures.place(bad)


@pytest.mark.parametrize("to", WRITERS)
def test_every_form_becomes_every_other(faces: FaceSet, people: People, tmp_path: Path, to: str) -> None:
    output = tmp_path / ("new.rec" if to == "rec" else "new")
    result = convert(faces, output, ConvertConfig(to))
    back = read(output)
    assert back.identities == faces.identities
    assert held(back) == expected(people)
    assert checksum(back) == checksum(faces) == result.checksum
    found, recorded, pictures = verify(output)
    assert (str(found), pictures) == (recorded, 20)


def test_a_set_that_is_not_there_is_said(form: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=FORMS[form][0]):
        opened(form, tmp_path / FORMS[form][0])
