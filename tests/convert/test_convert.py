"""The conversion: what is written, what it goes on from, and the checksum."""

import json
import multiprocessing
import os
import signal
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.convert import Checksum, ConvertConfig, convert, verify
from evenface.convert.checksum import checksum
from evenface.convert.conversion import _order
from evenface.convert.pictures import CHUNK, SUFFIXES, THREADS, read_ahead, with_suffix
from evenface.data import FaceSet, Pictures, read, read_folder
from evenface.data.finished import beside
from evenface.data.readers.folder import SUFFIXES as READ
from evenface.data.writers import WRITERS
from evenface.errors import UserError
from evenface.faces import UnreadableImage

from .conftest import encode

TO = pytest.mark.parametrize("to", WRITERS)
ABOUT = ("journal.jsonl", "index.npz")


def named(folder: Path, to: str) -> Path:
    return folder / ("new.rec" if to == "rec" else "new")


def files(output: Path) -> dict[str, bytes]:
    """Everything that was written, by name; without what tells of times."""
    root = output.parent if output.suffix == ".rec" else output
    paths = [path for path in root.rglob("*") if path.is_file() and not path.name.endswith(ABOUT)]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def total(root: Path) -> str:
    """The checksum of a folder of people, as its definition has it."""
    found = 0
    for path in root.glob("*/*"):
        parts = (path.parent.name.encode(), path.name.encode(), path.read_bytes())
        digest = sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()
        found += int(digest, 16)
    return f"{found % 2**256:064x}"


@TO
def test_a_set_in_another_form_has_the_same_checksum(faces: Path, tmp_path: Path, to: str) -> None:
    output = named(tmp_path / "out", to)
    told: list[tuple[int, int]] = []
    source = read_folder(faces)
    result = convert(source, output, ConvertConfig(to), progress=lambda *done: told.append(done))
    assert told == [(done, 29) for done in range(1, 30)]
    assert (result.checksum.pictures, result.skipped, result.already) == (29, [], 0)
    assert str(result.checksum) == total(faces) == str(checksum(read(output)))
    recorded = json.loads(beside(output, "checksum.json").read_bytes())
    assert recorded == {"sha256": total(faces), "pictures": 29, "form": to}
    assert verify(output) == (result.checksum, total(faces), 29)
    before = files(output)
    again = convert(source, output, ConvertConfig(to))
    assert (again.already, again.checksum) == (29, result.checksum)
    assert files(output) == before


def test_the_checksum_sees_a_changed_byte_name_or_person_and_a_lost_picture(faces: Path) -> None:
    seen = {total(faces)}
    whole = (faces / "ann" / "0.png").read_bytes()

    def look() -> None:
        found = str(checksum(read_folder(faces)))
        assert found == total(faces)
        assert found not in seen
        seen.add(found)

    assert str(checksum(read_folder(faces))) in seen
    (faces / "ann" / "0.png").write_bytes(whole + b"\0")
    look()
    (faces / "ann" / "0.png").write_bytes(whole)
    (faces / "ann" / "0.png").rename(faces / "ann" / "00.png")
    look()
    (faces / "ann" / "00.png").rename(faces / "p1" / "00.png")
    look()
    (faces / "p1" / "00.png").unlink()
    look()


def test_the_checksum_needs_no_order(faces: Path) -> None:
    source = read_folder(faces)
    shuffled = Checksum()
    for picture in read_ahead(source, np.random.default_rng(1).permutation(29)):
        assert not isinstance(picture, UnreadableImage)
        shuffled.add(picture)
    assert shuffled == checksum(source)


def test_shards_are_in_the_order_of_their_seed(faces: Path, tmp_path: Path) -> None:
    source = read_folder(faces)
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        convert(source, tmp_path / name, ConvertConfig("shards", shuffle=seed))
    one, two, other = (read(tmp_path / name) for name in "abc")
    names = [[one.pictures.name(i) for i in range(29)] for one in (one, two, other)]
    assert names[0] == names[1] != names[2]
    assert sorted(names[0]) == sorted(names[2])
    assert len(set(one.labels[:10].tolist())) > 2  # many people in a stretch


class Waiting(Pictures):
    """Pictures that count how many of them are read ahead."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 1000

    def name(self, index: int) -> str:
        return f"{index}.png"

    def place(self, index: int) -> str:
        return str(index)

    def encoded(self, index: int) -> bytes:
        self.read += 1
        return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0IEND\0\0\0\0"


class Blocks(Waiting):
    """40 blocks of 25 pictures."""

    blocks = np.repeat(np.random.default_rng(0).permutation(40), 25)


def test_what_is_read_in_blocks_is_shuffled_some_blocks_at_a_time() -> None:
    source = FaceSet.of(Blocks(), ["p"] * 1000)
    orders = [_order(source, ConvertConfig("shards", shuffle=seed)) for seed in (1, 1, 2)]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    for order in orders:
        assert np.array_equal(np.sort(order), np.arange(1000))
        windows = [set(Blocks.blocks[part].tolist()) for part in np.split(order, [400, 800])]
        assert list(map(len, windows)) == [16, 16, 8]
        assert set.union(*windows) == set(range(40))
        assert sorted(windows[0]) != list(range(16))
        assert len(set(Blocks.blocks[order[:25]].tolist())) > 8


def kill_after(monkeypatch: pytest.MonkeyPatch, to: str, pictures: int) -> None:
    """This process ends at the first picture after so many; a note is taken every 5 pictures."""
    ticks = count()
    monkeypatch.setattr("evenface.convert.conversion.monotonic", lambda: next(ticks))
    cls: Any = WRITERS[to].writer
    add, added = cls.add, count()

    def dying(self: Any, label: int, name: str, content: bytes) -> None:
        if next(added) == pictures:
            os.kill(os.getpid(), signal.SIGKILL)
        add(self, label, name, content)

    monkeypatch.setattr(cls, "add", dying)


def torn(output: Path) -> None:
    """What a kill may leave besides: half a line in the journal, and half a picture."""
    with beside(output, "journal.jsonl").open("ab") as file:
        file.write(b'{"done": 29, "pictures": 2')
    for path in output.glob("*.part"):
        with path.open("ab") as file:
            file.write(b"half a picture")
    if output.suffix == ".rec":
        for suffix in (".rec", ".idx", ".lst"):
            with output.with_suffix(suffix).open("ab") as file:
                file.write(b"half")


@pytest.mark.parametrize("kills", [(0,), (1, 3), (7, 8, 9), (28,), (4, 0, 24)])
@TO
def test_a_killed_conversion_goes_on(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, kills: tuple[int, ...]
) -> None:
    source = read_folder(faces)
    whole, output = named(tmp_path / "whole", to), named(tmp_path / "killed", to)
    result = convert(source, whole, ConvertConfig(to))
    for pictures in kills:
        with monkeypatch.context() as patched:
            kill_after(patched, to, pictures)
            fork: Any = multiprocessing.get_context("fork")
            child = fork.Process(target=convert, args=(source, output, ConvertConfig(to)))
            child.start()
            child.join()
            assert child.exitcode == -signal.SIGKILL
        assert not beside(output, "checksum.json").exists()
        torn(output)
        # Some of these would read as a set that is whole: of the first people, or of the first shards.
        with pytest.raises(UserError, match=r"^data.root: .*new.* was not finished; repeat the call"):
            read(output)
    again = convert(source, output, ConvertConfig(to))
    assert again.checksum == result.checksum
    assert (again.already > 0) == (sum(kills) > 5)
    assert files(output) == files(whole)
    assert verify(output)[0] == result.checksum


@pytest.mark.parametrize("to", ["folder", "shards"])
def test_another_source_or_other_options_are_refused(faces: Path, tmp_path: Path, to: str) -> None:
    output = tmp_path / "new"
    source = read_folder(faces)
    convert(source, output, ConvertConfig(to), source="here")
    before = files(output)
    other = ConvertConfig("shards" if to == "folder" else "folder")
    cure = r"repeat that call to go on with it, delete .*new, or name another place"
    for faces_, config, place, said in (
        (source.at_least(2), ConvertConfig(to), "here", "set"),
        (source, ConvertConfig(to), "there", "source"),
        (source, other, "here", "to"),
        (source, ConvertConfig(to, check=True), "here", "check"),
        *([(source, ConvertConfig(to, shuffle=1), "here", "shuffle")] if to == "shards" else []),
    ):
        with pytest.raises(UserError, match=rf"new holds another conversion, of another .*{said}.*{cure}"):
            convert(faces_, output, config, source=place)
    assert files(output) == before


@TO
def test_what_is_there_already_is_left_alone(faces: Path, tmp_path: Path, to: str) -> None:
    output = named(tmp_path, to)
    (output if to == "rec" else tmp_path / "mine").write_text("mine")
    target = output if to == "rec" else tmp_path
    with pytest.raises(UserError, match=r"is there already|is not empty; name a new folder"):
        convert(read_folder(faces), target, ConvertConfig(to))
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "new.rec" if to == "rec" else "mine"}


@TO
def test_a_broken_picture_stops_or_is_left_out(faces: Path, tmp_path: Path, to: str) -> None:
    bad = faces / "p2" / "4.png"
    bad.write_text("no picture")
    (faces / "p1" / "0.png").write_text("")
    output = named(tmp_path / "out", to)
    with pytest.raises(UnreadableImage, match=r"4\.png: not a picture|0\.png: empty file|0\.png: not a pict"):
        convert(read_folder(faces), output, ConvertConfig(to))
    result = convert(read_folder(faces), output, ConvertConfig(to, corrupt="skip"))  # goes on
    assert result.checksum.pictures == 27
    assert sorted(line.split(": ")[0] for line in result.skipped) == [str(faces / "p1" / "0.png"), str(bad)]
    assert verify(output)[0] == result.checksum
    again = convert(read_folder(faces), output, ConvertConfig(to, corrupt="skip"))
    assert again.skipped == result.skipped
    bad.unlink()
    (faces / "p1" / "0.png").unlink()
    assert str(result.checksum) == total(faces)


@TO
@pytest.mark.parametrize("check", [False, True])
def test_check_decodes(faces: Path, tmp_path: Path, to: str, check: bool) -> None:
    bad = faces / "p2" / "4.png"
    content = bad.read_bytes()
    at = content.index(b"IDAT") + 4
    bad.write_bytes(content[:at] + bytes(len(content) - at - 16) + content[-16:])
    config = ConvertConfig(to, check=check, corrupt="skip")
    result = convert(read_folder(faces), named(tmp_path / "out", to), config)
    assert len(result.skipped) == check
    assert result.checksum.pictures == 29 - check


def test_a_picture_is_called_by_what_it_is() -> None:
    jpeg, png = encode(0, ".jpg"), encode(0, ".png")
    assert [with_suffix(name, jpeg) for name in ("1.jpg", "1.JPEG", "1.png", "1", "1.x", ".png")] == [
        *("1.jpg", "1.JPEG", "1.jpg", "1.jpg", "1.x.jpg", ".jpg")
    ]
    assert with_suffix("1.jpg", png) == "1.png"
    with pytest.raises(ValueError, match="not a picture"):
        with_suffix("1.jpg", b"GIF")


def test_a_folder_is_read_again_whatever_the_kind() -> None:
    assert {suffix for suffixes in SUFFIXES.values() for suffix in suffixes} <= set(READ)


class Strange(Pictures):
    """An archive whose names mean harm."""

    names = ("../../x.jpg", "/etc/passwd", "a\\b", "..", "", "1.jpg", "p/1.jpg")

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def place(self, index: int) -> str:
        return f"archive, {index}"

    def encoded(self, index: int) -> bytes:
        return encode(index, ".png")


@TO
def test_an_archive_s_names_stay_inside(tmp_path: Path, to: str) -> None:
    output = named(tmp_path / "above" / "out", to)
    people = ["..", "/abs", "..", "a\\..", "A\\..", "p", "p"]
    source = FaceSet.of(Strange(), people if to == "folder" else ["p"] * 7)
    result = convert(source, output, ConvertConfig(to))
    assert [path.name for path in tmp_path.iterdir()] == ["above"]
    assert [path.name for path in (tmp_path / "above").iterdir()] == ["out"]
    assert result.checksum.pictures == 7
    assert verify(output)[0] == result.checksum
    for i in range(7):
        assert any(encode(i, ".png") in content for content in files(output).values())


def test_few_pictures_are_in_memory() -> None:
    pictures = Waiting()
    found = read_ahead(FaceSet.of(pictures, ["p"] * 1000), np.arange(1000))
    for number in range(1, 400):
        picture = next(found)
        assert not isinstance(picture, UnreadableImage)
        assert pictures.read <= number + (2 * THREADS + 2) * CHUNK
    found.close()
    assert pictures.read < 1000


def test_a_disk_that_is_full_is_said_and_the_conversion_goes_on(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = Path.write_bytes, count()

    def full(self: Path, content: bytes) -> int:
        if next(written) == 10:
            raise OSError(28, "No space left on device", str(self))
        return write(self, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match=r"No space left on device; mend this and repeat the call"):
            convert(read_folder(faces), tmp_path / "new", ConvertConfig("folder"))
    result = convert(read_folder(faces), tmp_path / "new", ConvertConfig("folder"))
    assert str(result.checksum) == total(faces)


@pytest.mark.parametrize("content", [b"[]\n", b"no JSON\n", b"\xff\n", b"[" * 100_000 + b"\n", b"1\n2\n"])
def test_a_journal_that_is_none_is_said(faces: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "journal.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"journal\.jsonl: not a conversion's journal, or damaged; delete"):
        convert(read_folder(faces), tmp_path / "new", ConvertConfig("folder"))


@settings(max_examples=30)
@given(at=st.floats(0, 1, exclude_max=True), bit=st.none() | st.integers(0, 7))
def test_a_journal_that_is_cut_or_changed_is_said_or_makes_no_difference(
    faces: Path, tmp_path_factory: pytest.TempPathFactory, at: float, bit: int | None
) -> None:
    folder = tmp_path_factory.mktemp("any")
    source = read_folder(faces)
    with pytest.MonkeyPatch.context() as patched:
        ticks = count()
        patched.setattr("evenface.convert.conversion.monotonic", lambda: next(ticks))
        convert(source, folder / "new", ConvertConfig("folder"))
    path = folder / "new" / "journal.jsonl"
    content = bytearray(path.read_bytes())
    assert content.count(b"\n") > 5
    place = int(at * len(content))
    if bit is None:
        del content[place:]
    else:
        content[place] ^= 1 << bit
    path.write_bytes(content)
    (folder / "new" / "checksum.json").unlink()
    try:
        result = convert(source, folder / "new", ConvertConfig("folder"))
    except UserError:
        assert bit is not None
    else:
        assert str(result.checksum) == total(faces) == total(folder / "new")


def test_verify_says_what_is_wrong(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--verify: there is no .*checksum\.json; name what"):
        verify(faces)
    (faces / "checksum.json").write_text("{")
    with pytest.raises(UserError, match=r"^--verify: .*checksum\.json is damaged; convert"):
        verify(faces)
    (faces / "checksum.json").write_text('{"sha256": "0", "pictures": 29}')
    assert verify(faces)[1:] == ("0", 29)


@pytest.mark.parametrize(
    ("config", "says"), [({"to": "tar"}, "--to: 'tar'"), ({"to": "rec", "shuffle": -1}, "--shuffle: -1")]
)
def test_wrong_settings_are_refused(config: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        ConvertConfig(**config)


def test_real_faces_go_round(data_root: Path, tmp_path: Path) -> None:
    source = read_folder(data_root / "celeb" / "images")
    source = source.pick(source.labels < 12)
    first = convert(source, tmp_path / "shards", ConvertConfig("shards", check=True))
    second = convert(read(tmp_path / "shards"), tmp_path / "rec" / "train.rec", ConvertConfig("rec"))
    third = convert(read(tmp_path / "rec"), tmp_path / "folder", ConvertConfig("folder"))
    assert first.checksum == second.checksum == third.checksum
    back = read_folder(tmp_path / "folder")
    assert [back.pictures.name(i) for i in range(len(back))] == [
        source.pictures.name(i) for i in range(len(source))
    ]
    assert cv2.imread(str(back.paths[0])).shape == (112, 112, 3)
