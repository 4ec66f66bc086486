import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.data import BatchPlan, FaceDataset, FaceSet, loader, read, read_folder
from evenface.data.readers.shards import read_shards, takes_shards
from evenface.data.shard_index import ShardIndex, index_file, known_index, make_index, read_index
from evenface.data.writers import shards as writer
from evenface.data.writers.shards import ShardWriter
from evenface.errors import UserError
from evenface.faces import InputFormat, UnreadableImage

Members = list[tuple[str, bytes]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVENFACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(seed: int, suffix: str = ".png") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    return bytes(cv2.imencode(suffix, pixels)[1])


def packed(members: Members, format: int = tarfile.USTAR_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def tar(path: Path, members: Members, format: int = tarfile.USTAR_FORMAT) -> Path:
    path.write_bytes(packed(members, format))
    return path


def content(faces: FaceSet) -> dict[str, tuple[str, bytes]]:
    """Of each picture: its name, person and bytes."""
    assert len({faces.pictures.name(i) for i in range(len(faces))}) == len(faces)
    return {
        faces.pictures.name(i): (faces.identities[faces.labels[i]], faces.pictures.encoded(i))
        for i in range(len(faces))
    }


def refused(path: Path, match: str) -> None:
    with pytest.raises(UserError, match=rf"(?s)^data\.root: .*{match}"):
        read(path)


# Writing


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PICTURES", 4)


SOURCE = [(i % 3, f"{'abc'[i % 3]}/{i}.png", picture(i)) for i in range(11)]


def written(folder: Path, source: list[tuple[int, str, bytes]] = SOURCE) -> Path:
    shards = ShardWriter(folder, ["a", "b", "c"])
    for one in source:
        shards.add(*one)
    shards.close()
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_written_is_read(tmp_path: Path, small: None) -> None:
    faces = read(written(tmp_path / "out"))
    assert content(faces) == {name: ("abc"[label], data) for label, name, data in SOURCE}
    assert faces.identities == ["a", "b", "c"]
    assert faces.pictures.blocks is not None
    assert faces.pictures.blocks.tolist() == [0] * 4 + [1] * 4 + [2] * 3
    assert sorted(files(tmp_path / "out")) == sorted(
        f"shard-00000{i}.tar{suffix}" for i in range(3) for suffix in ("", ".index.npz")
    )


def test_webdataset_reads_what_is_written(tmp_path: Path, small: None) -> None:
    folder = written(tmp_path / "out")
    urls = sorted(map(str, folder.glob("*.tar")))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode())
    assert [sample["__key__"] for sample in samples] == [f"{i:09d}" for i in range(11)]
    raw = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    for sample, decoded, (label, name, data) in zip(raw, samples, SOURCE, strict=True):
        assert sample["png"] == data
        assert decoded["json"] == {"identity": "abc"[label], "label": label, "file_name": name}


def test_the_extension_follows_the_content(tmp_path: Path) -> None:
    data = {s: picture(0, f".{s}") for s in ("jpg", "png", "webp", "bmp", "ppm", "tiff")}
    written(tmp_path / "out", [(0, "x.jpg", each) for each in [*data.values(), b"broken"]])
    with tarfile.open(tmp_path / "out" / "shard-000000.tar") as archive:
        names = [name for name in archive.getnames() if not name.endswith(".json")]
    assert [name[9:] for name in names] == [".jpg", ".png", ".webp", ".bmp", ".pnm", ".tif", ".jpg"]
    faces = read(tmp_path / "out")
    assert [faces.pictures.encoded(i) for i in range(7)] == [*data.values(), b"broken"]


def test_the_same_pictures_make_the_same_archives(tmp_path: Path, small: None) -> None:
    one, two = files(written(tmp_path / "1")), files(written(tmp_path / "2"))
    assert {k: v for k, v in one.items() if k.endswith(".tar")} == {
        k: v for k, v in two.items() if k.endswith(".tar")
    }
    with tarfile.open(tmp_path / "1" / "shard-000000.tar") as archive:
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in archive} == {(0, 0, 0, "")}


def test_bytes_end_a_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BYTES", 4000)
    folder = written(tmp_path / "out")
    assert [len(make_index(path).names) for path in sorted(folder.glob("*.tar"))] == [2, 2, 2, 2, 2, 1]


@pytest.mark.parametrize("stop", range(12))
@pytest.mark.parametrize("more", [0, 3, 6])
def test_going_on_from_a_state(tmp_path: Path, small: None, stop: int, more: int) -> None:
    shards = ShardWriter(tmp_path / "out", ["a", "b", "c"])
    for one in SOURCE[:stop]:
        shards.add(*one)
    state = json.loads(json.dumps(shards.state()))
    for one in SOURCE[stop : stop + more]:  # which the kill undoes
        shards.add(*one)
    if stop + more >= len(SOURCE):
        shards.close()
    del shards
    shards = ShardWriter(tmp_path / "out", ["a", "b", "c"], state)
    for one in SOURCE[stop:]:
        shards.add(*one)
    shards.close()
    found, expected = files(tmp_path / "out"), files(written(tmp_path / "whole"))
    assert found.keys() == expected.keys()
    assert all(found[name] == expected[name] for name in expected if name.endswith(".tar"))
    assert len(read(tmp_path / "out")) == len(SOURCE)


def test_writing_refuses_what_is_there_or_gone(tmp_path: Path, small: None) -> None:
    written(tmp_path / "out")
    with pytest.raises(UserError, match=r"shard-000000\.tar is there already; name another folder"):
        ShardWriter(tmp_path / "out", ["a"])
    with pytest.raises(UserError, match=r"shorter than it was; delete .* and begin anew"):
        ShardWriter(tmp_path / "new", ["a"], {"shard": 1, "first": 4, "pictures": 5, "bytes": 5000})


def test_no_pictures_leave_no_shard(tmp_path: Path) -> None:
    assert files(written(tmp_path / "out", [])) == {}


# Reading


def test_reads_webdatasets_own_shards(tmp_path: Path) -> None:
    expected = {}
    with webdataset.ShardWriter(str(tmp_path / "w-%03d.tar"), maxcount=3, verbose=0) as sink:
        for i in range(8):
            sample = {"__key__": f"dir.d/{i:04d}", "jpg": picture(i, ".jpg"), "other.txt": "no label"}
            label = [{"cls": i % 3}, {"json": {"label": i % 3}}, {"txt": f"person {i % 3}"}][i % 3]
            sink.write(sample | label)
            expected[f"dir.d/{i:04d}.jpg"] = ("person 2" if i % 3 == 2 else str(i % 3), sample["jpg"])
    assert content(read(tmp_path)) == expected


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_reads_every_kind_of_tar(tmp_path: Path, format: int) -> None:
    names = ["a/1.jpg", "./b/2.PNG", f"{'c' * 80}/{'d' * 90}.jpg"]
    if format != tarfile.USTAR_FORMAT:
        names += [f"e/{'f' * 300}.jpg", "ö/ä.jpg", "g" * 200 + "/" + "h" * 200 + ".webp"]
    members = [(name, picture(i)) for i, name in enumerate(names)]
    faces = read(tar(tmp_path / "x.tar", members, format))
    expected = {name.removeprefix("./"): data for name, data in members}
    assert content(faces) == {name: (name.rpartition("/")[0], data) for name, data in expected.items()}


def test_reads_tars_older_than_ustar(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("a/1.jpg").tobuf(tarfile.USTAR_FORMAT))
    header[156:157], header[257:265] = b"\0", bytes(8)
    header[124:136] = b"%011o " % 5
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "x.tar").write_bytes(bytes(header) + b"hello".ljust(512, b"\0") + bytes(1024))
    assert content(read(tmp_path / "x.tar")) == {"a/1.jpg": ("a", b"hello")}


def test_reads_what_the_tar_command_makes(tmp_path: Path, make_faces: Callable[..., Path]) -> None:
    folder = make_faces({"ann": 3, "bob": 2})
    for i, options in enumerate((["--format=gnu"], ["--format=pax"], ["-b", "1"], ["--format=v7"])):
        out = tmp_path / f"{i}.tar"
        os.spawnlp(os.P_WAIT, "tar", "tar", *options, "-C", str(folder), "-cf", str(out), ".")
        assert content(read(out)) == content(read_folder(folder))


def test_precedence_of_labels_and_what_is_passed_over(tmp_path: Path) -> None:
    data = picture(0)
    members = [
        ("README.txt", b"many\nlines"),
        ("__meta__.json", b"[]"),
        ("f/1.jpg", data),
        ("f/1.CLS", b" 007\n"),
        ("f/1.json", b'{"identity": "no"}'),
        ("f/1.txt", b"a caption\nof two lines"),
        ("f/._2.jpg", b"resource fork"),
        ("f/2.jpg", data),
        ("f/2.json", b'{"class": 3, "label": "label", "file_name": "n/2.jpg"}'),
        ("f/2.txt", b"no"),
        ("f/2.npy", b"\x93"),
        ("f/3.jpg", data),
        ("f/3.json", b'{"caption": "nothing of use"}'),
        ("f/4.mask.png", b"mask"),
        ("f/4.jpg", data),
        ("f/5.v2.jpg", data),
        ("f/__8.jpg", data),
        ("f/6.json", b'{"identity": "without picture"}'),
        ("7.jpg", data),
        ("7.txt", "Zoë\n".encode()),
    ]
    found = {name: person for name, (person, _) in content(read(tar(tmp_path / "x.tar", members))).items()}
    assert found == {
        "f/1.jpg": "7",
        "n/2.jpg": "label",
        "f/3.jpg": "f",
        "f/4.jpg": "f",
        "f/5.v2.jpg": "f",
        "f/__8.jpg": "f",
        "7.jpg": "Zoë",
    }


def test_numbers_as_labels_are_in_their_order(tmp_path: Path) -> None:
    members = [m for i in (11, 2, 0) for m in ((f"{i}.jpg", picture(i)), (f"{i}.cls", b"%d" % i))]
    assert read(tar(tmp_path / "x.tar", members)).identities == ["0", "2", "11"]


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ([("1.jpg", b"x")], r"x\.tar: '1\.jpg' at byte 0 has no label; put a \.cls"),
        ([("f/1.jpg", b"x"), ("f/1.png", b"y")], r"byte 0 and 'f/1\.png' at byte 1024 are two pictures"),
        ([("f/1.a.jpg", b"x"), ("f/1.b.jpg", b"y")], "are two pictures of one sample"),
        ([("f/1.jpg", b"x"), ("f/2.jpg", b""), ("f/1.jpg", b"z")], r"'f/1.jpg' at byte 1536 .* --sort=name"),
        ([("1.jpg", b"x"), ("1.cls", b"five")], r"'1\.cls' at byte 1024 cannot be .*expected a number"),
        ([("1.jpg", b"x"), ("1.cls", b"-1")], "expected a number from 0"),
        ([("1.jpg", b"x"), ("1.cls", b"9" * 5000)], "expected a number from 0"),
        ([("1.jpg", b"x"), ("1.json", b"{")], "cannot be read as a label"),
        ([("1.jpg", b"x"), ("1.json", b"\xff")], "cannot be read as a label"),
        ([("1.jpg", b"x"), ("1.json", b"[" * 200_000)], "cannot be read as a label"),
        ([("1.jpg", b"x"), ("1.json", b'{"label": ' + b"9" * 5000 + b"}")], "cannot be read as a label"),
        ([("1.jpg", b"x"), ("1.json", b'{"label": 0.5}')], "expected a number or a name as 'label'"),
        ([("1.jpg", b"x"), ("1.json", b'{"identity": true}')], "expected a number or a name as 'identity'"),
        ([("1.jpg", b"x"), ("1.json", b'{"identity": "a\\u0000b"}')], "NUL character"),
        ([("1.jpg", b"x"), ("1.txt", b"a\nb")], "expected one line"),
        ([("1.jpg", b"x"), ("1.txt", b" " * (2 << 20))], "too many for a label"),
        ([("readme.md", b"x")], r"no pictures in .*x\.tar"),
        ([], r"no pictures in .*x\.tar"),
    ],
)
def test_samples_that_are_refused(tmp_path: Path, members: Members, match: str) -> None:
    refused(tar(tmp_path / "x.tar", members), match)


@pytest.mark.parametrize("name", ["../../x/1.jpg", "/etc/x/1.jpg", "a/../../1.jpg"])
def test_names_lead_nowhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    faces = read(tar(tmp_path / "in" / "x.tar", [(name, b"data")]))
    assert content(faces) == {name: (name.removesuffix("/1.jpg"), b"data")}
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")} == {
        *("in", "in/x.tar", "in/x.tar.index.npz")
    }


def special(name: str, kind: bytes) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "f/1.jpg"
    return member.tobuf(tarfile.GNU_FORMAT)


def test_links_and_devices(tmp_path: Path) -> None:
    first = packed([("f/1.jpg", b"data")])[:1024]
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.BLKTYPE]
    path = tmp_path / "x.tar"
    for kind in kinds:
        path.write_bytes(first + special("f/link", kind) + special("dir.jpg", tarfile.DIRTYPE) + bytes(1024))
        assert content(read(path)) == {"f/1.jpg": ("f", b"data")}
        path.write_bytes(first + special("f/2.jpg", kind) + bytes(1024))
        refused(path, r"'f/2\.jpg' at byte 1024 is a (link|other), which is not read; .*--dereference")


@pytest.mark.parametrize("format", ["gnu", "pax"])
def test_sparse_files(tmp_path: Path, format: str) -> None:
    (tmp_path / "in" / "f").mkdir(parents=True)
    for name in ("1.jpg", "2.bin"):
        with open(tmp_path / "in" / "f" / name, "wb") as file:
            for i in range(40):  # more holes than a header lists
                file.seek(i << 16)
                file.write(b"data" * 1024)
    plain = tmp_path / "in" / "f" / "3.jpg"
    plain.write_bytes(b"plain")
    path, command = tmp_path / "x.tar", ["tar", f"--format={format}", "-S", "-C", str(tmp_path / "in"), "-cf"]
    os.spawnvp(os.P_WAIT, "tar", [*command, str(path), "f/2.bin", "f/3.jpg"])
    assert path.stat().st_size < 500_000
    assert content(read(path)) == {"f/3.jpg": ("f", b"plain")}
    os.spawnvp(os.P_WAIT, "tar", [*command, str(path), "f/1.jpg"])
    refused(path, "is a sparse file, which is not read; .* without --sparse")


# Broken and hostile archives

GOOD = packed([("f/1.jpg", picture(1)), ("f/1.cls", b"1"), ("f/" + "g" * 200 + ".jpg", b"2")], 2)


@pytest.mark.parametrize(
    ("start", "cure"),
    [
        (b"\x1f\x8b\x08", "gunzip"),
        (b"BZh9", "bunzip2"),
        (b"\xfd7zXZ\0", "unxz"),
        (b"\x28\xb5\x2f\xfd", "unzstd"),
    ],
)
def test_compressed(tmp_path: Path, start: bytes, cure: str) -> None:
    for name in ("x.tar", "x.tar.gz", "x.tgz"):
        (tmp_path / name).write_bytes(start + bytes(600))
        refused(tmp_path / name, f"is compressed, .*unpack it with {cure}")
        assert takes_shards(tmp_path)


@pytest.mark.parametrize("length", [0, 1, 511, 512, 600, 1024, len(GOOD) - tarfile.RECORDSIZE + 512])
def test_cut_short(tmp_path: Path, length: int) -> None:
    (tmp_path / "x.tar").write_bytes(GOOD[: min(length, GOOD.rindex(b"2\0") + 512 - 1)])
    refused(tmp_path / "x.tar", r"x\.tar: is (cut short|empty).*copy it again")


def test_put_together(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(GOOD + GOOD)
    refused(tmp_path / "x.tar", "goes on behind its end .* give them one by one")


def header(kind: bytes, size: int, name: str = "f/1.jpg") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def extension(kind: bytes, data: bytes) -> bytes:
    return header(kind, len(data)) + data + bytes(-len(data) % 512)


FILE = header(b"0", 4) + b"data".ljust(512, b"\0")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (header(b"0", 1 << 62), "is cut short: 'f/1.jpg' at byte 0 has 4611686018427387904 bytes"),
        (header(b"0", -512), "has -512 bytes"),
        (header(b"x", -1024) + FILE, "has -1024 bytes"),
        (header(b"L", 1 << 50), "is cut short"),
        (extension(b"L", b"n" * (1 << 21)) + FILE, "has a header of 2097152 bytes at byte 0"),
        (extension(b"x", b"12 size=-512\n") + FILE, "is damaged at byte 0: PAX|has -1 bytes"),
        (extension(b"x", b"13 size=-512\n") + FILE, "has -1 bytes"),
        (extension(b"x", b"14 size=1e999\n") + FILE, "has -1 bytes"),
        (extension(b"x", b"0 path=x\n") + FILE, "PAX fields that cannot be read"),
        (extension(b"x", b"9" * 900_000) + FILE, "PAX fields that cannot be read"),
        (extension(b"x", b"99999999 path=x\n") + FILE, "PAX fields that cannot be read"),
        (extension(b"x", b"16 path=f/\0.jpg\n") + FILE, "NUL character"),
        (b"no archive".ljust(2000), r"is no tar archive \(.*\)"),
        (FILE + b"rubbish".ljust(512), "is damaged at byte 1024"),
        (bytes(2 << 20), "goes on behind its end"),
    ],
)
def test_hostile_headers(tmp_path: Path, data: bytes, match: str) -> None:
    (tmp_path / "x.tar").write_bytes(data + bytes(1024))
    refused(tmp_path / "x.tar", match)


def test_headers_without_end(tmp_path: Path) -> None:
    # Each would be a call within the last, or be copied for each member, in the standard library.
    many = b"".join(b"%d k%06d=\n" % (12, i) for i in range(30_000))
    data = extension(b"x", b"16 path=g/9.jpg\n") * 5000 + extension(b"g", many) + FILE
    data += b"".join(header(b"0", 0, f"f/{i}.png") for i in range(1000))
    (tmp_path / "x.tar").write_bytes(data + bytes(1024))
    found = content(read(tmp_path / "x.tar"))
    assert found["g/9.jpg"] == ("g", b"data")
    assert len(found) == 1001


@settings(max_examples=300)
@given(
    edits=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8),
    length=st.integers(0, len(GOOD)),
    mend=st.booleans(),
)
def test_any_bytes(tmp_path: Path, edits: list[tuple[int, int]], length: int, mend: bool) -> None:
    data = bytearray(GOOD)
    for at, value in edits:
        data[at] = value
    if mend:  # checksums that hold, so that the fields behind them are reached
        for at in range(0, len(data) - 511, 512):
            if data[at + 257 : at + 262] == b"ustar":
                data[at + 148 : at + 156] = b" " * 8
                data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    path = tmp_path / "x.tar"
    path.write_bytes(data[: length if length % 3 == 0 else None])
    index_file(path).unlink(missing_ok=True)
    try:
        faces = read(path)
    except UserError as error:
        assert str(error).startswith("data.root: ")
        return
    whole = path.read_bytes()
    for i in range(len(faces)):
        start, size = faces.pictures.starts[i], faces.pictures.sizes[i]  # type: ignore[attr-defined]
        assert faces.pictures.encoded(i) == whole[start : start + size]


# The index


def same(one: ShardIndex | None, two: ShardIndex) -> bool:
    return one is not None and all(np.array_equal(v, vars(two)[k]) for k, v in vars(one).items())


def test_the_index_tells_what_is_there(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", [("f/ä.jpg", b"ab"), ("g/2.jpg", b""), ("f/3.jpg", b"c")])
    assert known_index(path) is None
    faces = read(path)
    index = known_index(path)
    assert index is not None
    assert index.names == ["f/ä.jpg", "g/2.jpg", "f/3.jpg"]
    assert index.starts.tolist() == [512, 1536, 2048]
    assert index.sizes.tolist() == [2, 0, 1]
    assert [index.identities[label] for label in index.labels] == ["f", "g", "f"]
    assert content(read(path)) == content(faces)
    assert same(index, make_index(path))


def test_a_changed_shard_is_indexed_anew(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", [("1.jpg", b"x"), ("1.cls", b"1")])
    assert read(path).identities == ["1"]
    tar(path, [("1.jpg", b"x"), ("1.cls", b"2")])
    os.utime(path, ns=(1, 1))  # an older file of the same size
    assert read(path).identities == ["2"]


def test_the_index_is_used(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", [("1.jpg", b"x"), ("1.cls", b"1")])
    read(path)
    stat, index = path.stat(), known_index(path)
    assert index is not None
    index.identities[0] = "from the index"
    index.write(index_file(path))
    assert read(path).identities == ["from the index"]
    assert path.stat().st_mtime_ns == stat.st_mtime_ns


def test_a_copy_is_known_by_its_digest(tmp_path: Path) -> None:
    written(tmp_path / "out")
    shard = tmp_path / "out" / "shard-000000.tar"
    index = known_index(shard)
    assert index is not None
    assert index.sha256
    os.utime(shard, ns=(7, 7))
    again = known_index(shard)
    assert again is not None
    assert (again.mtime, again.sha256) == (7, index.sha256)
    assert same(read_index(index_file(shard)), again)
    changed = bytearray(shard.read_bytes())
    changed[600] ^= 1
    shard.write_bytes(changed)
    assert known_index(shard) is None


def test_where_the_folder_takes_no_index(tmp_path: Path, cache: Path) -> None:
    path = tar(tmp_path / "x.tar", [("f/1.jpg", b"x")])
    index_file(path).mkdir()  # as a folder that is not writable, which root would not notice
    read(path)
    assert [p.name.partition("-")[2] for p in cache.iterdir()] == ["x.tar.index.npz"]
    assert known_index(path) is not None
    shutil.rmtree(cache)
    cache.write_text("no folder")
    assert content(read(path)) == {"f/1.jpg": ("f", b"x")}


def npz(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


def test_hostile_indexes(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", [("f/1.jpg", b"x"), ("g/2.jpg", b"y")])
    file, good = index_file(path), make_index(path)
    good.write(file)
    with zipfile.ZipFile(file) as archive:
        fields = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}

    def array(values: object, kind: str = "<i8") -> bytes:
        stream = io.BytesIO()
        np.save(stream, np.array(values, kind), allow_pickle=True)
        return stream.getvalue()

    huge = array([0]).replace(b"(1,), }" + b" " * 17, b"(999999999999999999,), }")
    assert len(huge) == len(array([0]))
    total, mtime, top = good.total, good.mtime, 2**63 - 1
    assert same(read_index(file), good)
    for change in (
        *({"starts": array(v)} for v in ([0], [0, -1], [0, total], [0, top], [0, 0, 0])),
        *({"sizes": array(v)} for v in ([1, -1], [1, total], [1, top], [1, -top - 1])),
        *({"labels": array(v)} for v in ([0, 2], [0, -1], [0], [])),
        {"labels": array([0, 1], "<f8")},
        {"labels": array([0, 1], "<i4")},
        {"labels": array([{}, []], "O")},
        {"names": array(list(b"one\0"), "u1")},
        {"names": array(list(b"\xff\0\xff\0"), "u1")},
        {"identities": array([], "u1")},
        {"sha256": array([1, 2], "u1")},
        *({"shard": array(v)} for v in ([2, total, mtime], [1, 5, mtime], [1, -top, mtime], [1], [])),
        {"names": b""},
        {"names": b"\x93NUMPY\x01\0\xff\xff"},
        {"labels": huge[: huge.index(b"\n") + 1]},
    ):
        file.write_bytes(npz(fields | change))
        assert read_index(file) is None, change
    file.write_bytes(npz(fields, zipfile.ZIP_DEFLATED))  # it could unpack to anything
    assert read_index(file) is None
    file.write_bytes(npz({"names": fields["names"]}))
    assert read_index(file) is None
    assert len(read(path)) == 2  # and each time the shard itself is asked
    assert same(read_index(file), good)


@settings(max_examples=300)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    keep=st.floats(0, 1) | st.just(1.0),
)
def test_any_index(tmp_path: Path, edits: list[tuple[float, int]], keep: float) -> None:
    path = tar(tmp_path / "x.tar", [("f/1.jpg", b"x"), ("g/2.jpg", b"y")])
    good, file = make_index(path), index_file(path)
    good.write(file)
    data = bytearray(file.read_bytes())
    for at, value in edits:
        data[int(at * len(data))] = value
    file.write_bytes(data[: round(keep * len(data))])
    found = read_index(file)
    assert found is None or same(found, good)


# As pictures


def test_pickled_threaded_and_loaded_by_workers(tmp_path: Path, small: None) -> None:
    faces = read(written(tmp_path / "out"))
    first = faces.pictures.encoded(0)
    again: FaceSet = pickle.loads(pickle.dumps(faces))
    assert again.pictures.encoded(0) == first
    assert content(again) == content(faces)
    dataset = FaceDataset(faces.pick(faces.labels > 0), InputFormat(16, 16))
    plan = BatchPlan(dataset.faces.labels, 3)
    alone, together = (
        [batch.images.numpy() for batch in loader(dataset, plan, 1, 5, workers=workers)] for workers in (0, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_more_shards_than_files_are_open(tmp_path: Path) -> None:
    for i in range(70):
        tar(tmp_path / f"{i:03d}.tar", [(f"f/{i}.jpg", b"%d" % i)])
    faces = read(tmp_path)
    for _ in range(2):
        assert [faces.pictures.encoded(i) for i in range(70)] == [b"%d" % i for i in range(70)]
    assert 0 < opened(tmp_path) <= 32
    del faces
    assert opened(tmp_path) == 0


def opened(folder: Path) -> int:
    """How many files under the folder this process has open."""
    files = map(os.path.realpath, Path("/proc/self/fd").iterdir())  # one may be closed meanwhile
    return sum(file.startswith(f"{folder.resolve()}/") for file in files)


def test_a_shard_that_changes_under_way(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", [("f/1.jpg", b"x" * 700), ("f/2.jpg", b"y" * 700)])
    faces = read(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UnreadableImage, match=r"x\.tar, f/1\.jpg at byte 512: the shard has changed"):
        faces.pictures.encoded(0)
    path.unlink()
    with pytest.raises(UnreadableImage, match=r"x\.tar, f/2\.jpg at byte 2048: No such file"):
        faces.pictures.encoded(1)
    faces = read(tar(path, [("f/1.jpg", b"x" * 700), ("f/2.jpg", b"y" * 700)]))
    faces.pictures.encoded(0)
    os.truncate(path, 2000)
    with pytest.raises(UnreadableImage, match="cut short while it was read"):
        faces.pictures.encoded(1)


def test_a_broken_picture(tmp_path: Path) -> None:
    faces = read(tar(tmp_path / "x.tar", [("f/1.jpg", b""), ("f/2.jpg", b"hello")]))
    for i, why in enumerate(("empty file", "not a picture")):
        with pytest.raises(UnreadableImage, match=rf"x\.tar, f/{i + 1}\.jpg at byte \d+: {why}"):
            faces.pictures[i]


# Which shards


def test_what_is_taken(tmp_path: Path, make_faces: Callable[..., Path]) -> None:
    folder = make_faces({"ann": 1})
    assert not takes_shards(folder)
    assert not takes_shards(tmp_path / "list.txt")
    for name in ("x.tar", "x.TAR", "x.tgz", "x.tar.zst", "x.urls"):
        assert takes_shards(tmp_path / name)
    (folder / "x.tar").write_bytes(GOOD)
    refused(folder, "holds both tar shards and folders of pictures; move the one or the other")


def test_missing(tmp_path: Path) -> None:
    refused(tmp_path / "x.tar", r"x\.tar cannot be opened \(.*no such file\); check the path")
    refused(tmp_path / "x.urls", r"x\.urls: No such file")
    refused(Path("https://host/x.tar"), "is an address; write it into a file NAME.urls")
    os.mkfifo(tmp_path / "pipe.tar")
    refused(tmp_path / "pipe.tar", "no such file")


def test_a_list_of_shards(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for i in (8, 9, 10):
        tar(tmp_path / "sub" / f"s{i:03d}.tar", [(f"f/{i}.jpg", b"x")])
    tar(tmp_path / "one.tar", [("f/one.jpg", b"x")])
    listed = tmp_path / "all.urls"
    listed.write_text(f"# comment\n\n  sub/s{{008..010}}.tar\r\n{tmp_path}/one.tar\n")
    assert list(content(read(listed))) == ["f/8.jpg", "f/9.jpg", "f/10.jpg", "f/one.jpg"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a{0..2}.tar", ["a0.tar", "a1.tar", "a2.tar"]),
        ("a{08..10}.tar", ["a08.tar", "a09.tar", "a10.tar"]),
        ("{0..1}/{5..6}", ["0/5", "0/6", "1/5", "1/6"]),
    ],
)
def test_ranges_as_webdataset_writes_them_out(
    tmp_path: Path, line: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert webdataset.shardlists.expand_urls(line) == expected
    for name in expected:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        tar(path, [(f"f/{name}.jpg".replace("/", "-").replace("f-", "f/"), b"x")])
    (tmp_path / "x.urls").write_text(line)
    assert len(read_shards(tmp_path / "x.urls", field="data.root")) == len(expected)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "lists no shard; expected a path or a http"),
        ("s3://bucket/x.tar", "line 1: 's3://bucket/x.tar' is neither a http.s. address nor a path"),
        ("\npipe:curl x", "line 2: 'pipe:curl x' is neither"),
        ("file:///etc/passwd", "line 1: .* is neither"),
        ("{a,b}.tar", "has braces that are no range"),
        ("{3..1}.tar", "has braces that are no range"),
        ("{0..999999999999}.tar", "more than 1,000,000 shards"),
        ("{0..99999}{0..99999}{0..99999}{0..99999}.tar", "more than 1,000,000 shards"),
        ("a.tar\na.tar", r"lists .*a\.tar twice"),
        ("\udcff", "not UTF-8"),
        ("a.tar", r"a\.tar cannot be opened"),
    ],
)
def test_lists_that_are_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "x.urls").write_text(text, errors="surrogateescape")
    refused(tmp_path / "x.urls", match)


@pytest.fixture
def some_real(data_root: Path) -> Iterator[FaceSet]:
    faces = read_folder(data_root / "celeb" / "images")
    yield faces.pick(np.arange(len(faces)) % 40 == 0)


def test_real_pictures(tmp_path: Path, some_real: FaceSet) -> None:
    order = np.random.default_rng(0).permutation(len(some_real))
    shards = ShardWriter(tmp_path / "out", some_real.identities)
    for i in order.tolist():
        label = int(some_real.labels[i])
        shards.add(label, some_real.pictures.name(i), some_real.pictures.encoded(i))
    shards.close()
    faces = read(tmp_path / "out")
    assert content(faces) == content(some_real)
    assert faces.identities == some_real.identities


def test_a_person_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a person without a name"):
        ShardWriter(tmp_path / "shards", ["ann", ""])
    assert not (tmp_path / "shards").exists()
