import hashlib
import multiprocessing
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.data.test_shards import content, picture, tar

from evenface.data import BatchPlan, FaceDataset, loader, read
from evenface.data import fetch as module
from evenface.data.fetch import NotThere, cache_folder, cached, fetch
from evenface.data.shard_index import index_file, read_index
from evenface.data.writers import shards as writer
from evenface.data.writers.shards import ShardWriter
from evenface.errors import UserError
from evenface.faces import InputFormat, UnreadableImage


@dataclass
class Site:
    """What a server has, how it misbehaves, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    mark: str = "ETag"
    """The header that tells of the file's state; empty for none."""
    cuts: list[int] = field(default_factory=list)
    """Of the answers to come: how many bytes are sent before the connection ends; -1 for all."""
    announced: int = 0
    """Added to the true length."""
    length: bool = True
    """Whether the length is told at all."""
    statuses: list[int] = field(default_factory=list)
    """Of the answers to come, before all is well."""
    to: str = ""
    """Where to go instead."""
    stall: float = 0
    """Seconds until the connection ends, after all is sent."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range of each request."""
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    def __init__(self, site: Site, *args: object):
        self.site = site
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        site, part = self.site, self.headers.get("Range", "")
        site.asked.append((self.path, part))
        data = site.files.get(self.path)
        status = (
            site.statuses.pop(0)
            if site.statuses
            else 302
            if site.to and self.path != "/there"
            else 404
            if data is None
            else 200
        )
        if status != 200 or data is None:
            self.send_response(status)
            self.send_header("Location", site.to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        mark, begin = f'"{hashlib.md5(data).hexdigest()}"', 0
        if site.ranges and part and self.headers["If-Range"] == mark:
            begin = int(part.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if site.mark:
            self.send_header(site.mark, mark)
        if site.length:
            self.send_header("Content-Length", str(len(data) - begin + site.announced))
        self.end_headers()
        end = site.cuts.pop(0) if site.cuts else -1
        self.wfile.write(data[begin:] if end < 0 else data[begin : begin + end])
        self.wfile.flush()
        threading.Event().wait(site.stall)
        self.close_connection = True


class Server(ThreadingHTTPServer):
    def handle_error(self, *args: object) -> None:
        pass  # the other side has gone, as it may


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    server = Server(("127.0.0.1", 0), partial(Handler, found))
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=partial(server.serve_forever, 0.01))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setenv("EVENFACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


DATA = bytes(range(256)) * 20_000  # 5 MB, more than the connection's buffers hold


def get(site: Site, target: Path, **options: str) -> bytes:
    site.files.setdefault("/x.tar", DATA)
    fetch(f"{site.url}/x.tar", target, field="data.root", **options)
    beside = {path.name for path in target.parent.iterdir() if path.name.startswith(target.name)}
    assert beside <= {target.name, f"{target.name}.lock"}
    return target.read_bytes()


def ranges(site: Site) -> list[str]:
    return [part for _, part in site.asked]


def test_where_things_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == cache
    assert re.fullmatch(r"[0-9a-f]{16}-a\.tar", cached("http://h/x/a.tar?token=1").name)
    assert re.fullmatch(r"[0-9a-f]{16}-a__b_\.tar", cached("http://h/x/a%2F..%2Fa%20_b%00.tar").name)
    assert cached("http://h/a.tar") != cached("http://g/a.tar")
    assert len(cached(f"http://h/{'a' * 9999}").name) < 130
    assert cached("http://h/..").parent == cache
    monkeypatch.delenv("EVENFACE_CACHE")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/evenface/shards")


def test_fetches_once(site: Site, tmp_path: Path) -> None:
    assert get(site, tmp_path / "a" / "x") == DATA
    site.files["/x.tar"] = b"another"
    assert get(site, tmp_path / "a" / "x") == DATA
    assert site.asked == [("/x.tar", "")]


@pytest.mark.parametrize("mark", ["ETag", "Last-Modified"])
def test_goes_on_where_it_was_cut(site: Site, tmp_path: Path, mark: str) -> None:
    site.mark, site.cuts = mark, [1_000_000, 500_000, 0]
    assert get(site, tmp_path / "x") == DATA
    assert ranges(site) == ["", "bytes=1000000-", "bytes=1500000-", "bytes=1500000-"]


def test_starts_again_where_it_cannot_go_on(site: Site, tmp_path: Path) -> None:
    site.ranges, site.cuts = False, [1_000_000, 2_000_000]
    assert get(site, tmp_path / "x") == DATA
    assert len(site.asked) == 3
    site.ranges, site.cuts, site.mark, site.asked = True, [1_000_000], "", []
    assert get(site, tmp_path / "y") == DATA
    assert ranges(site) == ["", ""]  # nothing says that the rest would be of the same file


def test_a_file_that_changes_between_is_fetched_anew(site: Site, tmp_path: Path) -> None:
    site.cuts, site.files["/x.tar"] = [1_000_000], DATA
    waiting = module.time.sleep

    def change(seconds: float) -> None:
        if site.asked:
            site.files["/x.tar"] = DATA[::-1]
        waiting(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "sleep", change)
        assert get(site, tmp_path / "x") == DATA[::-1]
    assert ranges(site) == ["", "bytes=1000000-"]


def test_another_part_than_asked_for(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.cuts = [1000]
    send = Handler.send_header
    monkeypatch.setattr(
        Handler,
        "send_header",
        lambda self, key, value: send(self, key, value.replace("bytes 1000-", "bytes 0-")),
    )
    with pytest.raises(UserError, match=r"^data\.root: .*sends another part than it was asked for"):
        get(site, tmp_path / "x")


def test_gives_up(site: Site, tmp_path: Path) -> None:
    site.cuts = [10] * 9
    with pytest.raises(
        UserError,
        match=r"^data\.root: http://\S+/x\.tar cannot be fetched: "
        r"the connection ended after 40 of 5,120,000 bytes, 4 times; try again later$",
    ):
        get(site, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy(site: Site, tmp_path: Path, status: int) -> None:
    site.statuses = [status] * 3
    assert get(site, tmp_path / "x") == DATA
    site.statuses = [status] * 4
    with pytest.raises(UserError, match=rf"cannot be fetched: the server answers {status} [A-Z]"):
        get(site, tmp_path / "y")


@pytest.mark.parametrize("status", [403, 404, 410])
def test_not_there(site: Site, tmp_path: Path, status: int) -> None:
    site.statuses = [status]
    with pytest.raises(
        NotThere, match=rf"^data\.root: .*x\.tar: the server answers {status} .*check the address"
    ):
        get(site, tmp_path / "x")
    assert len(site.asked) == 1


def test_lengths_that_are_wrong(site: Site, tmp_path: Path) -> None:
    site.announced = 5
    with pytest.raises(UserError, match="ended after 5,120,000 of 5,120,005 bytes, 4 times"):
        get(site, tmp_path / "x")
    site.announced = -5
    with pytest.raises(UserError, match=r"not the file that its index tells of \(sha256\)"):
        get(site, tmp_path / "x", sha256=hashlib.sha256(DATA).hexdigest())
    site.announced = 1 << 60
    with pytest.raises(UserError, match=r"cannot be stored in .*no room for it.*; set EVENFACE_CACHE"):
        get(site, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_no_length(site: Site, tmp_path: Path) -> None:
    site.length = False
    assert get(site, tmp_path / "x") == DATA


def test_a_server_that_says_nothing(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    monkeypatch.setattr(module, "PAUSES", (0.0,))
    site.cuts, site.stall = [100, 100], 60  # longer than a slow machine takes to see that nothing comes
    with pytest.raises(UserError, match=r"cannot be fetched: nothing came for 0\.05 s, 2 times"):
        get(site, tmp_path / "x")


def test_no_server(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x.tar"
        with pytest.raises(UserError, match=r"cannot be fetched: Connection refused, 4 times"):
            fetch(url, tmp_path / "x", field="data.root")


def test_no_http(site: Site, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(4):
                with server.accept()[0] as one:
                    one.recv(9999)
                    one.sendall(b"SSH-2.0-OpenSSH\r\n" * 5)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.tar"
        with pytest.raises(UserError, match=r"cannot be fetched: SSH-2\.0"):
            fetch(url, tmp_path / "x", field="data.root")
        thread.join()


@pytest.mark.parametrize(
    "url", ["http://h:port/x", "http://h/a b", "http://[::1/x", "http://h/ä", "http:///x"]
)
def test_no_address(tmp_path: Path, url: str) -> None:
    with pytest.raises(
        UserError, match=r"^data\.root: .*(no address that can be asked for|cannot be fetched)"
    ):
        fetch(url, tmp_path / "x", field="data.root")


def test_redirects(site: Site, tmp_path: Path) -> None:
    site.files["/there"] = b"there"
    site.to = f"{site.url}/there"
    assert get(site, tmp_path / "x") == b"there"
    (tmp_path / "secret").write_bytes(b"secret")
    for scheme in ("file", "ftp"):
        site.to = f"{scheme}://{tmp_path}/secret"
        with pytest.raises(UserError, match=rf"server answers 302|cannot be fetched: .*{scheme}"):
            get(site, tmp_path / "y")


def test_no_place_to_store(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"^data\.root: .* cannot be stored in .*; set EVENFACE_CACHE to a folder"
    ):
        get(site, tmp_path / "file" / "x")


def test_many_at_once(site: Site, tmp_path: Path) -> None:
    site.stall = 0.1
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: get_quietly(site, tmp_path / "x"), range(8))) == {DATA}
    work = multiprocessing.get_context("fork")
    processes = [work.Process(target=get_quietly, args=(site, tmp_path / "y")) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "y").read_bytes() == DATA
    assert len(site.asked) == 2


def get_quietly(site: Site, target: Path) -> bytes:
    site.files.setdefault("/x.tar", DATA)
    fetch(f"{site.url}/x.tar", target, field="data.root")
    return target.read_bytes()


def test_what_a_killed_process_left(site: Site, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(b"rubbish")
    (tmp_path / "x.lock").write_bytes(b"")
    assert get(site, tmp_path / "x") == DATA


# Shards from the web


def serve(site: Site, folder: Path, indexes: bool = True) -> Path:
    """Shards of pictures 0 to 9 on the site, and the list of them."""
    shards = ShardWriter(folder / "local", ["a", "b"])
    for i in range(10):
        shards.add(i % 2, f"{i}.png", picture(i))
    shards.close()
    for path in (folder / "local").iterdir():
        if indexes or path.suffix == ".tar":
            site.files[f"/set/{path.name}"] = path.read_bytes()
    listed = folder / "set.urls"
    listed.write_text(f"{site.url}/set/shard-{{000000..000002}}.tar\n")
    return listed


EXPECTED = {f"{i}.png": ("ab"[i % 2], picture(i)) for i in range(10)}


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PICTURES", 4)


def test_training_begins_before_the_shards_are_there(site: Site, tmp_path: Path, four: None) -> None:
    listed = serve(site, tmp_path)
    faces = read(listed)
    assert {path for path, _ in site.asked} == {f"/set/shard-00000{i}.tar.index.npz" for i in range(3)}
    assert faces.identities == ["a", "b"]
    site.asked.clear()
    assert faces.pictures.encoded(9) == picture(9)
    assert site.asked == [("/set/shard-000002.tar", "")]
    assert content(faces) == EXPECTED
    assert len(site.asked) == 3
    assert content(read(listed)) == EXPECTED  # now without the server
    assert len(site.asked) == 3


def test_workers_fetch_each_shard_once(site: Site, tmp_path: Path, four: None) -> None:
    dataset = FaceDataset(read(serve(site, tmp_path)), InputFormat(16, 16))
    site.asked.clear()
    batches = list(loader(dataset, BatchPlan(dataset.faces.labels, 2), 0, 5, workers=2))
    assert sorted(int(i) for batch in batches for i in batch.indices) == list(range(10))
    assert len(site.asked) == 3


def test_without_indexes_all_is_fetched_at_opening(site: Site, tmp_path: Path, four: None) -> None:
    listed = serve(site, tmp_path, indexes=False)
    faces = read(listed)
    assert len(site.asked) == 6
    site.files.clear()
    assert content(faces) == EXPECTED
    assert content(read(listed)) == EXPECTED
    assert len(site.asked) == 6


def test_addresses_with_a_query(site: Site, tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", [("f/1.jpg", b"x")])
    site.files["/x.tar?sign=1"] = path.read_bytes()
    (tmp_path / "set.urls").write_text(f"{site.url}/x.tar?sign=1")
    assert content(read(tmp_path / "set.urls")) == {"f/1.jpg": ("f", b"x")}
    assert [path for path, _ in site.asked] == ["/x.tar.index.npz?sign=1", "/x.tar?sign=1"]


@pytest.mark.parametrize("broken", ["bytes", "no digest"])
def test_an_index_that_is_not_trusted(site: Site, tmp_path: Path, four: None, broken: str) -> None:
    listed = serve(site, tmp_path)
    name = "/set/shard-000001.tar.index.npz"
    if broken == "bytes":
        site.files[name] = site.files[name][:-30]
    else:
        index = read_index(tmp_path / "local" / "shard-000001.tar.index.npz")
        assert index is not None
        type(index)(**{**vars(index), "sha256": ""}).write(tmp_path / "i")
        site.files[name] = (tmp_path / "i").read_bytes()
    faces = read(listed)
    assert "/set/shard-000001.tar" in [path for path, _ in site.asked]
    assert content(faces) == EXPECTED


def test_an_index_of_another_shard(site: Site, tmp_path: Path, four: None) -> None:
    faces = read(serve(site, tmp_path))
    site.files["/set/shard-000000.tar"] = site.files["/set/shard-000001.tar"]
    with pytest.raises(UnreadableImage, match=r"0\.png at byte 512: .*not the file that its index tells of"):
        faces.pictures.encoded(0)
    del site.files["/set/shard-000001.tar"]
    with pytest.raises(UnreadableImage, match=r"shard-000001\.tar, 4\.png .*the server answers 404"):
        faces.pictures.encoded(4)


def test_a_shard_that_is_not_there_or_broken(site: Site, tmp_path: Path) -> None:
    listed = tmp_path / "set.urls"
    listed.write_text(f"{site.url}/x.tar\n")
    with pytest.raises(UserError, match=r"^data\.root: http://\S+/x\.tar: the server answers 404"):
        read(listed)
    site.files["/x.tar"] = b"<html>Please log in</html>" * 100
    with pytest.raises(UserError, match=r"^data\.root: http://\S+/x\.tar: is no tar archive"):
        read(listed)
    site.files["/x.tar"] = tar(tmp_path / "mended.tar", [("f/1.jpg", b"x")]).read_bytes()
    assert content(read(listed)) == {"f/1.jpg": ("f", b"x")}


def test_a_cache_that_is_emptied_under_way(site: Site, tmp_path: Path, four: None, cache: Path) -> None:
    faces = read(serve(site, tmp_path))
    faces.pictures.encoded(0)
    for path in cache.iterdir():
        path.unlink()
    assert content(faces) == EXPECTED
    assert not index_file(cached(f"{site.url}/set/shard-000000.tar")).exists()
    assert content(read(tmp_path / "set.urls")) == EXPECTED
