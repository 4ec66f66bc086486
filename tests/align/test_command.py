import csv
import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from evenface.align.command import run
from evenface.align.options import plan_of
from evenface.align.table import Table
from evenface.errors import UserError
from evenface.evaluation.protocols.lfw import load_crop
from evenface.faces import TEMPLATE_112, five_points_from_30, read_image, similarity, template

from .photographs import DOTS, Photographs, dots, draw

Make = Callable[..., Photographs]
NAMES = ("p/1.jpg", "p/2.png", "p/deep/er/3.bmp", "q,x/4.webp", "5.PNG", "q,x/é '\"6.png")


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "faces.csv").open(newline="", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_points_from_a_list(photographs: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    photos = photographs(*NAMES)
    (photos.root / "p/broken.jpg").write_bytes(b"no picture")
    (photos.root / "p/empty.png").touch()
    draw(photos.root / "q,x/unlisted.jpg", TEMPLATE_112)
    before = tree(photos.root)
    output = tmp_path / "new" / "faces"
    assert photos.align(output) == 0
    assert tree(photos.root) == before
    found = {row["file"]: row for row in rows(output)}
    assert list(found) == sorted(found, key=lambda name: (name.rpartition("/")[0], name))
    assert {name for name, row in found.items() if row["status"] == "aligned"} == set(NAMES)
    for name in NAMES:
        row = found[name]
        assert row["crop"] == name.rpartition(".")[0] + ".jpg"
        crop = read_image(output / row["crop"])
        assert crop.shape == (112, 112, 3)
        np.testing.assert_allclose(dots(crop), TEMPLATE_112, atol=0.7)
        listed = [float(row[f"{axis}{k}"]) for k in range(1, 6) for axis in "xy"]
        np.testing.assert_allclose(listed, photos.points[name].ravel(), atol=1e-3)
        assert float(row["misfit"]) < 0.01
        assert row["method"] == "points"
    assert found["p/broken.jpg"]["status"] == found["p/empty.png"]["status"] == "unreadable"
    assert found["p/empty.png"]["why"] == "empty file"
    assert found["q,x/unlisted.jpg"]["status"] == "no points"
    assert {name for name in tree(output) if name not in ("faces.csv", "align.json", "sheet.jpg")} == {
        row["crop"] for row in found.values() if row["crop"]
    }
    printed = capsys.readouterr().out
    for words in ("9 pictures", "6 aligned", "2 unreadable", "1 no points", "sheet.jpg", "faces.csv"):
        assert words in printed


@pytest.mark.parametrize("size", ["112x96", "128x128", "224x224"])
def test_sizes_and_png(photographs: Make, tmp_path: Path, size: str):
    photos = photographs("p/1.png", "2.jpg")
    assert photos.align(tmp_path / "faces", "--size", size, "--png") == 0
    height, width = map(int, size.split("x"))
    for row in rows(tmp_path / "faces"):
        assert row["crop"].endswith(".png")
        crop = read_image(tmp_path / "faces" / row["crop"])
        assert crop.shape == (height, width, 3)
        np.testing.assert_allclose(dots(crop), template(height, width), atol=0.7 * height / 112)


def test_quality(photographs: Make, tmp_path: Path):
    photos = photographs("1.png")
    sizes = []
    for quality in ("30", "100"):
        photos.align(tmp_path / quality, "--quality", quality)
        sizes.append((tmp_path / quality / "1.jpg").stat().st_size)
    assert sizes[0] < 0.7 * sizes[1]


def test_pictures_that_differ_in_the_suffix_only(photographs: Make, tmp_path: Path):
    photos = photographs("p/a.jpg", "p/a.png", "sheet.png")
    assert photos.align(tmp_path / "faces") == 0
    crops = {row["file"]: row["crop"] for row in rows(tmp_path / "faces")}
    assert crops == {"p/a.jpg": "p/a.jpg.jpg", "p/a.png": "p/a.png.jpg", "sheet.png": "sheet.png.jpg"}
    for crop in crops.values():
        np.testing.assert_allclose(dots(read_image(tmp_path / "faces" / crop)), TEMPLATE_112, atol=0.7)


def test_fixed_points_and_another_size(tmp_path: Path):
    points = TEMPLATE_112 * 1.2 + [10, 20]
    draw(tmp_path / "photos/a/1.png", points, 180, 170)
    draw(tmp_path / "photos/a/2.png", points, 170, 180)
    words = "180x170," + ",".join(map(str, points.ravel()))
    output = tmp_path / "faces"
    call = [str(tmp_path / "photos"), str(output), "--method", "fixed", "--fixed", words, "--workers", "2"]
    assert run(call) == 0
    first, second = rows(output)
    np.testing.assert_allclose(dots(read_image(output / first["crop"])), TEMPLATE_112, atol=0.7)
    assert (second["status"], second["why"]) == ("other size", "170x180; the points are for 180x170")


def test_a_file_of_points_for_each_picture(photographs: Make, tmp_path: Path):
    photos = photographs("p/1.png", "p/2.png", "p/3.png", "p/4.png")
    (tmp_path / "texts/p").mkdir(parents=True)
    for number in (1, 2):
        lines = (f"{x},{y}" for x, y in photos.points[f"p/{number}.png"])
        (tmp_path / f"texts/p/{number}.txt").write_text("\n".join(lines))
    (tmp_path / "texts/p/3.txt").write_text("1,2\n")
    words = ("--method", "points", "--points", str(tmp_path / "texts"))
    assert photos.align(tmp_path / "faces", *words) == 0
    one, two, three, four = rows(tmp_path / "faces")
    for row in (one, two):
        np.testing.assert_allclose(dots(read_image(tmp_path / "faces" / row["crop"])), TEMPLATE_112, atol=0.7)
    assert three["status"] == "bad points" and "found 1" in three["why"]
    assert four["status"] == "no points" and "4.txt" in four["why"]


def test_a_table_gives_the_points_of_other_crops(photographs: Make, tmp_path: Path):
    photos = photographs(*NAMES)
    photos.align(tmp_path / "faces")
    again = ("--method", "points", "--points", str(tmp_path / "faces/faces.csv"))
    assert photos.align(tmp_path / "again", *again) == 0
    assert [row["status"] for row in rows(tmp_path / "again")] == ["aligned"] * len(NAMES)
    for row in rows(tmp_path / "again"):
        np.testing.assert_allclose(dots(read_image(tmp_path / "again" / row["crop"])), TEMPLATE_112, atol=0.7)


def test_points_of_another_picture_are_told(photographs: Make, tmp_path: Path):
    photos = photographs("1.png", "2.png", "3.png")
    lines = photos.list.read_text().splitlines()
    lines[1] = "2.png," + ",".join(map(str, (TEMPLATE_112 + 5000).ravel()))
    photos.list.write_text("\n".join(lines))
    photos.align(tmp_path / "faces")
    assert [row["status"] for row in rows(tmp_path / "faces")] == ["aligned", "bad points", "aligned"]


@pytest.mark.usefixtures("any_name")
@pytest.mark.parametrize("cut", [0, 0.05, 0.3, 0.55, 0.8, 0.999])
def test_what_was_killed_goes_on(photographs: Make, tmp_path: Path, cut: float):
    photos = photographs(*NAMES, "p/line\nbreak.png", "p/re\rturn.png", "p/no \udcff UTF-8.png")
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    photos.align(whole)
    shutil.copytree(whole, torn)
    table = torn / "faces.csv"
    content = table.read_bytes()
    table.write_bytes(content[: int(cut * len(content))])
    (torn / ".part-123-4").write_bytes(b"half a crop")
    done = {row["crop"] for row in rows(torn)[:-1]}
    for crop in torn.rglob("*.jpg"):
        if str(crop.relative_to(torn)) not in done:
            crop.unlink()
    times = {crop: (torn / crop).stat().st_mtime_ns for crop in done if crop}
    assert photos.align(torn) == 0
    assert tree(torn) == tree(whole)
    assert all((torn / crop).stat().st_mtime_ns == time for crop, time in times.items())  # not done again


def test_every_cut_of_a_table(photographs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    photos = photographs("a.png", 'b"\n,.png', "c\r.png")
    output = tmp_path / "faces"
    photos.align(output)
    content = (output / "faces.csv").read_bytes()
    plans = []
    monkeypatch.setattr("evenface.align.command.Table", lambda plan: plans.append(plan) or Table(plan))
    photos.align(output)
    ends = [i + 2 for i in range(len(content)) if content[i : i + 2] == b"\r\n"][1:]
    assert len(ends) == 3
    for cut in range(len(content) + 1):
        (output / "faces.csv").write_bytes(content[:cut])
        with Table(plans[0]) as table:
            assert (
                table.before == sum(table.has(name) for name in photos.points) == sum(e <= cut for e in ends)
            )
        kept = (output / "faces.csv").read_bytes()
        assert content.startswith(kept) and kept.endswith(b"\r\n")
    assert table.before == 3


def test_ctrl_c_stops_cleanly_and_the_rest_is_done_later(
    photographs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    photos = photographs(*(f"p{i % 3}/{i:03}.bmp" for i in range(150)))
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    photos.align(whole)
    add = Table.add

    def add_and_stop(table: Table, some: list[object]) -> None:
        add(table, some)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Table, "add", add_and_stop)
        patch.setattr("evenface.align.run._AHEAD", 1)
        usual = signal.getsignal(signal.SIGINT)
        assert photos.align(tmp_path / "twice") == 130  # a second Ctrl-C while the first is heeded
        patch.setattr(
            Table,
            "add",
            lambda table, some: add_and_stop(table, some) if not rows(stopped) else add(table, some),
        )
        assert photos.align(stopped) == 130
        assert signal.getsignal(signal.SIGINT) is usual
    assert "The same call goes on" in capsys.readouterr().err
    assert 0 < len(rows(tmp_path / "twice")) <= len(rows(stopped)) < 150
    assert photos.align(stopped) == 0
    assert tree(stopped) == tree(whole)


def test_new_pictures_are_taken_up(photographs: Make, tmp_path: Path):
    photos = photographs("p/1.png", "p/2.png")
    late = photos.root / "p/1.png"
    content = late.read_bytes()
    late.unlink()
    photos.align(tmp_path / "faces")
    late.write_bytes(content)
    photos.align(tmp_path / "faces")
    assert [row["file"] for row in rows(tmp_path / "faces")] == ["p/2.png", "p/1.png"]


@pytest.mark.parametrize(
    "words, what",
    [(["--size", "112x96"], "size"), (["--png"], "format"), (["--quality", "90"], "format")],
)
def test_other_settings_are_refused(photographs: Make, tmp_path: Path, words: list[str], what: str):
    photos = photographs("1.png")
    photos.align(tmp_path / "faces")
    before = tree(tmp_path / "faces")
    with pytest.raises(UserError, match=f"another {what} .*call as then to go on"):
        photos.align(tmp_path / "faces", *words)
    photos.list.write_text(photos.list.read_text() + "\n")
    with pytest.raises(UserError, match="another points "):
        photos.align(tmp_path / "faces")
    with pytest.raises(UserError, match="another method"):
        photos.align(tmp_path / "faces", "--method", "fixed", "--fixed", "lfw-a")
    assert tree(tmp_path / "faces") == before
    assert json.loads(before["align.json"])["size"] == "112x112"


def test_a_folder_with_something_else_is_left_alone(photographs: Make, tmp_path: Path):
    photos = photographs("1.png")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes").touch()
    with pytest.raises(UserError, match="holds something else"):
        photos.align(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    assert photos.align(tmp_path / "empty") == 0
    (tmp_path / "empty/align.json").write_text("{")
    with pytest.raises(UserError, match=r"align\.json: damaged"):
        photos.align(tmp_path / "empty")


def test_a_damaged_table_is_told(photographs: Make, tmp_path: Path):
    photos = photographs("1.png", "2.png")
    photos.align(tmp_path / "faces")
    table = tmp_path / "faces/faces.csv"
    whole = table.read_bytes()
    for content, number in ((b"x" + whole, 1), (whole.replace(b"aligned,", b"", 1), 2)):
        table.write_bytes(content)
        with pytest.raises(UserError, match=f"line {number}: damaged; delete"):
            photos.align(tmp_path / "faces")


def test_one_at_a_time(photographs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    photos = photographs("1.png")
    add = Table.add

    def meanwhile(table: Table, some: list[object]) -> None:
        with pytest.raises(UserError, match="another `evenface align` is writing"):
            photos.align(tmp_path / "faces")
        add(table, some)

    monkeypatch.setattr(Table, "add", meanwhile)
    assert photos.align(tmp_path / "faces") == 0


def test_threads_in_place_of_processes_do_the_same(
    photographs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    photos = photographs(*(f"p{i % 3}/{i:03}.png" for i in range(40)))
    photos.align(tmp_path / "processes")
    # Any device but the CPU is served by threads; no GPU is needed for points that are given.
    monkeypatch.setattr("evenface.align.command.plan_of", lambda one: replace(plan_of(one), device="cuda"))
    photos.align(tmp_path / "threads", "--workers", "3")
    assert tree(tmp_path / "threads") == tree(tmp_path / "processes")


def test_nothing_is_written_through_a_link(photographs: Make, tmp_path: Path):
    photos = photographs("1.png", "p/2.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "faces").mkdir()
    photos.align(tmp_path / "faces")
    shutil.rmtree(tmp_path / "faces/p")
    (tmp_path / "faces/p").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "faces/faces.csv").unlink()
    with pytest.raises(UserError, match="a link out of the output folder"):
        photos.align(tmp_path / "faces")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "words, match",
    [
        (["{photos}/none", "{out}"], "SRC: .* is not a folder"),
        (["{photos}", "{photos}/out"], "DST: .* one in the other"),
        (["{photos}/p", "{photos}"], "DST: .* one in the other"),
        (["{photos}", "{out}", "--method", "yunet"], "--weights: --method yunet needs it"),
        (["{photos}", "{out}", "--method", "yunet", "--weights", "{photos}/w.onnx"], "no such file; fetch"),
        (["{photos}", "{out}", "--weights", "w.onnx"], "--weights: goes with --method yunet"),
        (["{photos}", "{out}", "--method", "points"], "--points: --method points needs it"),
        (["{photos}", "{out}", "--method", "points", "--points", "{photos}/x"], "--points: there is no"),
        (["{photos}", "{out}", "--method", "fixed", "--fixed", "lfw"], "--fixed: 'lfw' is neither lfw-a nor"),
        (["{photos}", "{out}", "--method", "fixed", "--fixed", "9x9,1,2"], "--fixed: "),
        (["{photos}", "{out}", "--method", "fixed", "--fixed", "9x9" + ",1" * 10], "--fixed: "),
        (["{photos}", "{out}", "--size", "8x8"], "--size: height: 8"),
        (["{photos}", "{out}", "--size", "112"], "--size: '112' is not HEIGHTxWIDTH"),
        (["{photos}", "{out}", "--quality", "0"], "--quality: 0 is outside"),
        (["{photos}", "{out}", "--workers", "0"], "--workers: 0 is outside"),
        (["{photos}", "{out}", "--score", "2"], "--score: 2"),
        (["{photos}", "{out}", "--longest", "3"], "--longest: 3"),
        (["{photos}", "{out}", "--order", "jd"], "--order: is about the points"),
        (["{photos}", "{out}", "--device", "tpu!"], "--device: 'tpu!' is none"),
        (["{nothing}", "{out}"], "SRC: no pictures below .*; 1 symbolic links are not followed"),
    ],
)
def test_wrong_calls(photographs: Make, tmp_path: Path, words: list[str], match: str):
    photos = photographs("p/1.png")
    (tmp_path / "nothing/deep").mkdir(parents=True)
    (tmp_path / "nothing/note.txt").touch()
    (tmp_path / "nothing/1.png").symlink_to(photos.root / "p/1.png")
    folders = {"photos": photos.root, "out": tmp_path / "out", "nothing": tmp_path / "nothing"}
    with pytest.raises(UserError, match=match):
        run([word.format(**folders) for word in words])
    assert not (tmp_path / "out").exists()


def test_the_sheet_shows_crops_points_and_why(photographs: Make, tmp_path: Path):
    photos = photographs("p/1.png", "p/2.png")
    photos.align(tmp_path / "faces")
    short = cv2.imread(str(tmp_path / "faces/sheet.jpg"))
    (photos.root / "p/3.png").write_bytes(b"no picture")
    photos.align(tmp_path / "faces")
    sheet = cv2.imread(str(tmp_path / "faces/sheet.jpg"))
    assert sheet.shape[1] == short.shape[1] and sheet.shape[0] > short.shape[0]
    np.testing.assert_array_less(np.abs(sheet[:200].astype(int) - short[:200]).mean(), 1)  # the same choice
    for x, y in (TEMPLATE_112 + 0.5) * 140 / 112 - 0.5:  # a ring of green around the first crop's dots
        around = sheet[30 + round(y) - 5 : 30 + round(y) + 6, round(x) - 5 : round(x) + 6].astype(int)
        assert ((around[:, :, 1] - around.max(axis=2)) >= 0).any()


def test_lfw_a_is_the_protocols_crop(data_root: Path, tmp_path: Path):
    source = data_root / "lfw" / "images"
    person = sorted(path for path in source.iterdir() if path.name.startswith("Z"))[0]
    shutil.copytree(person, tmp_path / "photos" / "a")
    words = ["--method", "fixed", "--fixed", "lfw-a", "--png", "--workers", "1"]
    assert run([str(tmp_path / "photos"), str(tmp_path / "faces"), *words]) == 0
    for row in rows(tmp_path / "faces"):
        assert row["status"] == "aligned"
        ours = read_image(tmp_path / "faces" / row["crop"]).astype(int)
        theirs = load_crop(tmp_path / "photos" / row["file"]).astype(int)
        assert np.abs(ours - theirs).mean() < 4  # ours averages where theirs, a shrinking warp, skips


def test_real_fiducials_and_detector_agree(data_root: Path, tmp_path: Path):
    for needed in ("mtcnn", "joblib", "lz4"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    data = data_root / "cfp" / "Data"
    for who in ("001", "100"):
        shutil.copytree(data / "Images" / who / "frontal", tmp_path / "photos" / who / "frontal")
    call = [str(tmp_path / "photos"), "--workers", "1"]
    assert (
        run([*call, str(tmp_path / "given"), "--method", "points", "--points", str(data / "Fiducials")]) == 0
    )
    assert run([*call, str(tmp_path / "found")]) == 0
    away = []
    for given, found in zip(rows(tmp_path / "given"), rows(tmp_path / "found"), strict=True):
        assert given["status"] == found["status"] == "aligned"
        text = data / "Fiducials" / given["file"].replace(".jpg", ".txt")
        points = five_points_from_30(np.loadtxt(text, delimiter=","))
        matrix = similarity(points, TEMPLATE_112)
        listed, detected = (
            np.array([float(row[f"{axis}{k}"]) for k in range(1, 6) for axis in "xy"]).reshape(5, 2)
            for row in (given, found)
        )
        np.testing.assert_allclose(listed, points, atol=1e-3)
        away.append(np.hypot(*((detected - points) @ matrix[:, :2].T).T).mean())
        assert float(found["left"]) < detected[:, 0].min() and detected[:, 0].max() < float(found["right"])
        assert float(found["score"]) >= 0.7 and int(found["faces"]) >= 1
    assert np.median(away) < 4
    assert len(DOTS) == 5
