"""`evenface check` on made-up sets whose faults are known."""

import csv
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.evaluation.conftest import make_lfw

from evenface.check.command import run
from evenface.check.duplicates import duplicates
from evenface.check.findings import findings
from evenface.check.quiet import Quiet
from evenface.check.scan import scan
from evenface.check.sets import benchmark_sets, folder_set
from evenface.check.sheet import write_sheet
from evenface.data import DataConfig, load, read_names
from evenface.errors import UserError
from evenface.evaluation.images import ImageSet
from machine import PATIENCE

from .conftest import encoded, picture, write


def check(tmp_path: Path, *words: object) -> tuple[int, list[tuple[str, ...]]]:
    """The exit code, and (kind, file, detail, other) of each finding."""
    file = tmp_path / "found.csv"
    code = run([str(word) for word in (*words, "--csv", file)])
    with open(file, newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["kind", "file", "detail", "other"]
    return code, [tuple(row) for row in rows]


def of(kind: str, rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [row[1:] for row in rows if row[0] == kind]


def test_a_clean_set(tmp_path, clean, capsys):
    assert check(tmp_path, clean) == (0, [])
    assert "nothing is wrong" in capsys.readouterr().out


def test_what_cannot_be_read(tmp_path, clean, capfd):
    write(clean / "Bo_Li/cut.jpg", encoded(picture(50))[:-300])
    write(clean / "Bo_Li/empty.png", b"")
    write(clean / "Bo_Li/text.jpg", b"<html>not found</html>")
    code, rows = check(tmp_path, clean)
    assert code == 1
    found = {Path(file).name: detail for file, detail, _ in of("unreadable", rows)}
    assert found == {
        "cut.jpg": "JPEG, cut short: no end-of-image marker",
        "empty.png": "empty file",
        "text.jpg": "not a picture in JPEG, PNG, BMP, WebP, GIF, PNM or TIFF: "
        "begins with b'<html>not found<'",
    }
    assert len(rows) == 3
    captured = capfd.readouterr()
    assert "3 pictures cannot be read" in captured.out
    assert "WARN" not in captured.err and "ERROR" not in captured.err


def test_a_damaged_picture_is_told_from_its_neighbours(tmp_path, clean, capfd):
    content = bytearray(encoded(picture(51)))
    del content[len(content) // 2 : len(content) // 2 + 200]
    write(clean / "Cy_Young/hurt.jpg", bytes(content))
    write(clean / "Cy_Young/cut.jpg", encoded(picture(52))[:-300])
    code, rows = check(tmp_path, clean)
    ((file, detail, _),) = of("damaged", rows)
    assert (code, Path(file).name) == (1, "hurt.jpg")
    assert detail.startswith("Corrupt JPEG data")
    assert "Corrupt" not in capfd.readouterr().err


def test_pictures_that_are_there_twice(tmp_path, clean):
    original = picture(0)
    write(clean / "Ana_Ríos/same.jpg", (clean / "Ana_Ríos/0.jpg").read_bytes())
    write(clean / "Di_Moss/theirs.jpg", encoded(original, 60))
    small = cv2.resize(original, (64, 64), interpolation=cv2.INTER_AREA)
    write(clean / "Di_Moss/small.jpg", encoded(small, 60))
    write(clean / "Bo_Li/mirrored.jpg", encoded(np.ascontiguousarray(original[:, ::-1])))
    code, rows = check(tmp_path, clean)
    first = str(clean / "Ana_Ríos/0.jpg")
    assert code == 0
    # The worst first; the mirrored one is none of them.
    assert [row[0] for row in rows] == ["two people", "copy", "copy", "size"]
    ((file, how, other),) = of("two people", rows)
    assert (Path(file).parent.name, other) == ("Di_Moss", first)
    assert how.endswith("of 255 bits differ")
    assert (str(clean / "Ana_Ríos/same.jpg"), "same bytes", first) in of("copy", rows)
    assert {Path(file).name for file, _, _ in of("copy", rows)} == {"same.jpg", "theirs.jpg"}


def test_flat_pictures_are_blank_and_equal_only_by_their_bytes(tmp_path, clean):
    for name, level in (("black", 0), ("white", 255), ("black too", 0), ("dark", 3)):
        write(clean / f"Bo_Li/{name}.png", encoded(np.full((112, 112, 3), level, np.uint8), suffix=".png"))
    code, rows = check(tmp_path, clean)
    assert code == 0
    assert {Path(file).stem for file, _, _ in of("blank", rows)} == {"black", "white", "black too", "dark"}
    assert [Path(file).stem for file, _, _ in of("copy", rows)] == ["black"]
    assert len(rows) == 5


def test_small_things_of_a_folder_of_people(tmp_path, clean):
    for i in range(30):
        write(clean / "Many/x" / f"{i}.jpg", encoded(picture(100 + i)))
        (clean / "Many/x" / f"{i}.jpg").rename(clean / "Many" / f"{i}.jpg")
    (clean / "Many/x").rmdir()
    write(clean / "One_Only/1.jpg", encoded(picture(70, 150)))
    write(clean / "stray.jpg", encoded(picture(71)))
    code, rows = check(tmp_path, clean)
    assert code == 0
    assert of("one image", rows) == [(str(clean / "One_Only"), "a single picture", "")]
    assert of("size", rows) == [(str(clean / "One_Only/1.jpg"), "150x150, others 112x112", "")]
    assert of("misplaced", rows) == [(str(clean / "stray.jpg"), "not at DIR/<person>/<image>", "")]


def test_people_in_training_and_test_are_left_out_of_training(tmp_path, clean, capsys):
    test = tmp_path / "test"
    write(test / "ana rios/1.jpg", encoded(picture(60)))
    write(test / "Somebody Else/1.jpg", encoded(picture(61)))
    write(test / "Somebody Else/2.jpg", encoded(picture(30), 70))  # Di_Moss's first picture
    left_out = tmp_path / "overlap.csv"
    code, rows = check(tmp_path, "--train", clean, test, "--overlap", left_out)
    assert code == 1
    assert of("shared person", rows) == [(str(clean / "Ana_Ríos"), "same name", f"{test}: ana rios")]
    ((file, _, other),) = of("shared picture", rows)
    assert (file, other) == (str(clean / "Di_Moss/0.jpg"), str(test / "Somebody Else/2.jpg"))
    assert read_names(left_out) == {"Ana_Ríos", "Di_Moss"}

    faces, _, _ = load(DataConfig(root=clean, exclude=(left_out,)), 0)
    assert faces.identities == ["Bo_Li", "Cy_Young"]
    code, rows = check(tmp_path, "--train", clean, test, "--exclude", left_out)
    assert (code, {row[0] for row in rows}) == (0, {"one image"})
    assert "Di_Moss" not in capsys.readouterr().out.split("people to leave out")[-1]


def test_without_training_two_sets_are_only_compared(tmp_path, clean):
    other = tmp_path / "other"
    write(other / "Ana_Ríos/1.jpg", encoded(picture(0), 70))
    write(other / "Ana_Ríos/2.jpg", encoded(picture(62), 70))
    code, rows = check(tmp_path, clean, other)
    assert code == 0
    assert [(Path(row[1]).name, Path(row[3]).name) for row in rows] == [("1.jpg", "0.jpg")]
    assert rows[0][0] == "two sets"


def test_what_a_protocol_names_must_be_there_and_fit_its_crop(tmp_path):
    root = make_lfw(tmp_path / "lfw")
    (root / "images/Person_A/Person_A_0001.jpg").unlink()
    write(root / "images/Person_B/Person_B_0001.jpg", encoded(picture(9, 250)))
    code, rows = check(tmp_path, "--lfw", root)
    assert code == 1
    assert of("missing", rows) == [(str(root / "images/Person_A/Person_A_0001.jpg"), "named by a list", "")]
    ((file, detail, _),) = of("unreadable", rows)
    assert Path(file).name == "Person_B_0001.jpg" and "is 250x250 pixels" in detail


def test_pictures_that_lie_in_one_file(tmp_path, clean):
    """As a training picture decoded and packed: no file of its own, so its pixels are compared."""
    inside = tmp_path / "test.bin"
    inside.write_bytes(b"x")

    def read(index: int) -> np.ndarray:
        if index == 2:
            raise UserError("picture 2 does not decode")
        return picture((77, 10)[index])[:, :, ::-1]

    class Packed:
        name, sources, conventions = "Packed", (), {}
        images = ImageSet(tmp_path, ["0", "1", "2"], read, inside)

    with Quiet() as quiet:
        sets = [folder_set(clean, training=True), *benchmark_sets([Packed()])]
        seen = scan(sets, quiet, 2, lambda done, total: None)
    again = duplicates(seen)
    rows = findings(seen, again)
    assert [row.kind for row in rows] == ["unreadable", "shared picture"]
    assert rows[0].detail == "picture 2 does not decode"
    assert rows[1].file == str(clean / "Bo_Li/0.jpg") and rows[1].other == f"{inside}: 1"
    assert write_sheet(tmp_path / "sheet.png", seen, again) == 1


def test_the_sheet_shows_the_worst_first(tmp_path, clean):
    write(clean / "Ana_Ríos/same.jpg", (clean / "Ana_Ríos/0.jpg").read_bytes())
    write(clean / "Di_Moss/hers.jpg", (clean / "Ana_Ríos/1.jpg").read_bytes())
    sheet = tmp_path / "sheet.png"
    assert run([str(clean), "--sheet", str(sheet)]) == 0
    drawn = cv2.imread(str(sheet))
    hers = cv2.imread(str(clean / "Ana_Ríos/1.jpg"))
    assert np.array_equal(drawn[:112, :112], hers) and np.array_equal(drawn[:112, 116:228], hers)
    again = cv2.imread(str(clean / "Ana_Ríos/0.jpg"))
    assert np.array_equal(drawn[:112, 236:348], again)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "name a set"),
        (["{tmp}/none"], "not a folder"),
        (["{pool}", "--overlap", "{tmp}/o.csv"], "give --train DIR"),
        (["{pool}", "--exclude", "{tmp}/o.csv"], "give --train DIR"),
        (["--train", "{pool}", "--overlap", "{tmp}/o.txt"], "does not end in .csv"),
        (["{pool}", "--sheet", "{tmp}/o.pdf"], "neither .png nor .jpg"),
        (["{pool}", "--csv", "{tmp}/none/o.csv"], "there is no folder"),
        (["{pool}", "--csv", "{pool}"], "^--csv: .* is a folder; name a file"),
        (["--train", "{pool}", "--overlap", "{tmp}/dir.csv"], "^--overlap: .* is a folder; name a file"),
        (
            ["--train", "{pool}", "--overlap", "{tmp}/o.csv", "--csv", "{pool}/../o.csv"],
            "^--csv, --overlap: both",
        ),
        (["{pool}", "--workers", "0"], "--workers: 0 is too few"),
        (["--lfw", "{tmp}"], "pairs.txt"),
    ],
)
def test_a_wrong_call_is_refused(tmp_path, clean, words, says, monkeypatch):
    (tmp_path / "dir.csv").mkdir()
    monkeypatch.setattr("evenface.check.command.scan", lambda *_: pytest.fail("began to read"))
    with pytest.raises(UserError, match=says):
        run([word.format(tmp=tmp_path, pool=clean) for word in words])


def test_a_link_to_nothing_is_told_though_no_list_names_it(tmp_path, clean):
    (clean / "Bo_Li/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    says = "a link to a file that is not there; training passes over it"
    assert check(tmp_path, clean) == (1, [("unreadable", str(clean / "Bo_Li/gone.jpg"), says, "")])


def test_a_folder_with_brackets_is_no_markup(tmp_path, clean, capsys):
    (tmp_path / "[").mkdir()
    clean.rename(tmp_path / "[/b]")
    assert check(tmp_path, "--train", tmp_path / "[/b]") == (0, [])
    assert "[/b]" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.usefixtures("any_name")
def test_names_that_are_no_text_are_printed_and_written(tmp_path, clean, capsys):
    person = os.fsencode(clean) + b"/\xff[bold]"
    Path(os.fsdecode(person)).mkdir()
    with open(person + b"/1.jpg", "wb") as stream:
        stream.write(b"")
    assert run([str(clean), "--csv", str(tmp_path / "found.csv")]) == 1
    assert "\\udcff[bold]/1.jpg" in capsys.readouterr().out
    assert person + b"/1.jpg" in (tmp_path / "found.csv").read_bytes()


def test_an_interrupt_stops_it_and_gives_the_screen_back(clean):
    code = f"""
import sys
from pathlib import Path
from evenface.check.quiet import Quiet
from evenface.check.scan import scan
from evenface.check.sets import folder_set
def stop(done, total):
    raise KeyboardInterrupt
try:
    with Quiet() as quiet:
        scan([folder_set(Path({str(clean)!r}))], quiet, 2, stop)
except KeyboardInterrupt:
    print("back on the screen", file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stderr == "back on the screen\n"


def test_pictures_that_the_real_pool_has_under_two_people(tmp_path, data_root):
    """Files of the same bytes in two people's folders, found by hashing alone; then all of these people."""
    folders: dict[bytes, set[str]] = {}
    for path in sorted((data_root / "celeb/images").glob("*/*")):
        folders.setdefault(sha256(path.read_bytes()).digest(), set()).add(path.parent.name)
    twice = [names for names in folders.values() if len(names) > 1]
    assert twice
    pool = tmp_path / "pool"
    pool.mkdir()
    for name in set().union(*twice):
        (pool / name).symlink_to(data_root / "celeb/images" / name, target_is_directory=True)
    code, rows = check(tmp_path, pool)
    links = [{Path(file).parent.name, Path(other).parent.name} for file, _, other in of("two people", rows)]
    assert code == 0
    for names in twice:
        assert any(link <= names for link in links), names
