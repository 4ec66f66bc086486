"""`evenface check --model` on made-up pictures, with a model that looks at pixels."""

import csv
import html
import json
import os
import re
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from evenface.check.cleaning.photograph import overlaid
from evenface.check.cleaning.photographs import SAME
from evenface.check.command import run
from evenface.check.sets import NOBODY, open_set
from evenface.data import DataConfig, FaceSet, load, read_names
from evenface.data import readers as data_readers
from evenface.errors import UserError
from evenface.faces import read_image
from machine import PATIENCE

from .conftest import encoded, picture, write

HOSTILE = '<img src=x onerror=alert(1)>,"&'
MODEL = """
import numpy as np
calls = []
def embed(images):
    calls.append(len(images))
    small = images.mean(axis=1).reshape(len(images), 12, 4, 12, 4).mean(axis=(2, 4)).reshape(len(images), -1)
    return (small - small.mean(axis=1, keepdims=True)).astype(np.float32)
"""


def photo(person: int, number: int) -> np.ndarray:
    """A photograph: what the person looks like, and what the moment adds."""
    moment = picture(1000 * person + number).astype(float) - 128
    return np.clip(0.8 * picture(500_000 + person) + 0.5 * moment + 20, 0, 255).astype(np.uint8)


def cut_anew(image: np.ndarray, *, turn: float = 3, scale: float = 1.07) -> np.ndarray:
    height, width = image.shape[:2]
    move = cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale)
    move[:, 2] += 2, -2
    return cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_REFLECT)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch) -> Path:
    """30 people with 5 pictures each, a stray one, one cut anew; a test set with other names."""
    pool = tmp_path / "pool"
    for person in range(30):
        for i in range(5):
            write(pool / f"p{person:02}" / f"{i}.png", encoded(photo(person, i), suffix=".png"))
    (pool / "p05").rename(pool / HOSTILE)
    write(pool / HOSTILE / "stray.png", encoded(photo(8, 77), suffix=".png"))
    write(pool / "p03/again.png", encoded(cut_anew(photo(3, 0)), suffix=".png"))
    for number, person in enumerate((11, *range(100, 140))):
        for i in range(3):
            write(
                tmp_path / "test" / f"Name {chr(65 + number)}" / f"{i}.png",
                encoded(photo(person, 50 + i), suffix=".png"),
            )
    (tmp_path / "pixel_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return pool


def check(*words: object) -> int:
    more = ["--model", "pixel_model:embed", "--size", "48x48", "--workers", "1"]
    return run([*map(str, words), *more])


def table(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_what_was_planted_is_found_shown_and_left_out(tmp_path, planted, capsys):
    words = ["--train", planted, "test", "--candidates", "c.csv", "--page", "page.html", "--store", "emb"]
    check(*words)
    assert "candidates by pixel_model:embed" in capsys.readouterr().out
    first = {row["kind"]: row for row in reversed(table(tmp_path / "c.csv"))}
    stray, twin, shared = first["stray picture"], first["same photograph"], first["in a test set"]
    assert (stray["identity"], stray["file"], stray["rank"]) == (HOSTILE, f"{HOSTILE}/stray.png", "1")
    assert stray["other identity"] == "p08"
    assert {twin["file"], twin["other file"]} == {"p03/0.png", "p03/again.png"}
    assert float(twin["score"]) >= SAME
    assert (shared["identity"], shared["other identity"]) == ("p11", "Name A")
    rest = [row for row in table(tmp_path / "c.csv") if row not in (stray, twin, shared)]
    assert all(row["kind"] == "stray picture" and float(row["score"]) < 0.6 for row in rest)
    assert len(rest) < 6 and float(stray["score"]) > 1

    page = (tmp_path / "page.html").read_text()
    assert "<img src=x" not in page and html.escape(HOSTILE).replace("&#x27;", "'") in page.replace(
        "&#34;", "&quot;"
    )
    assert not re.search(r"""(src|href)="?(http|//)""", page)
    boxes = re.findall(r'data-rows="([^"]*)"( checked)?', page)
    rows = [(json.loads(html.unescape(row)), bool(checked)) for row, checked in boxes]
    assert [row for row, checked in rows if checked] == [
        [["p11", "", "same person by a model", "test: Name A"]]
    ]
    ticked = [row for some, _ in rows for row in some if row[0] in ("p11", HOSTILE)]
    with open(tmp_path / "exclude.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([["identity", "file", "how", "other"], *ticked])
    assert read_names(tmp_path / "exclude.csv") >= {"p11", f"{HOSTILE}/stray.png"}
    faces, _, _ = load(DataConfig(root=planted, exclude=(tmp_path / "exclude.csv",)), 0)
    names = [faces.pictures.name(i) for i in range(len(faces))]
    assert not any(name.startswith("p11/") or name.endswith("stray.png") for name in names)
    check("--train", planted, "test", "--exclude", "exclude.csv", "--candidates", "c.csv")
    left = table(tmp_path / "c.csv")
    assert "same photograph" in {row["kind"] for row in left} <= {"same photograph", "stray picture"}
    assert HOSTILE not in {row["identity"] for row in left}


def test_embeddings_are_kept_and_taken_from_the_store(tmp_path, planted):
    words = ["--train", planted, "test", "--candidates", "c.csv", "--store", "emb"]
    check(*words)
    once = table(tmp_path / "c.csv")
    (folder,) = (tmp_path / "emb").iterdir()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
    assert len(before) == 2
    check(*words)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")} == before
    run(
        [
            "--train",
            str(planted),
            "test",
            "--candidates",
            "stored.csv",
            "--model",
            str(folder),
            "--workers",
            "1",
        ]
    )
    assert table(tmp_path / "stored.csv") == once == table(tmp_path / "c.csv")


def test_one_photograph_and_two():
    for seed in range(6):
        image = np.ascontiguousarray(picture(seed)[:, :, ::-1])
        again = cut_anew(image, turn=4, scale=0.95)
        dull = np.clip(0.6 * cv2.resize(again, (90, 90)) + 40, 0, 255).astype(np.uint8)
        assert overlaid(image, again) > SAME and overlaid(image, dull) > SAME
        assert overlaid(image, np.ascontiguousarray(again[:, ::-1])) > SAME
        assert overlaid(image, picture(seed + 100)) < 0.8
        assert overlaid(image, np.full_like(image, 90)) == -1
    assert overlaid(np.full((9, 9, 3), 7, np.uint8), np.full((9, 9, 3), 7, np.uint8)) == -1


def test_one_photograph_and_two_of_real_people(data_root):
    """Cut anew against the same person's other pictures: far apart."""
    folders = sorted((data_root / "celeb/images").iterdir())[::10]
    pairs = [[read_image(path) for path in sorted(folder.iterdir())[:2]] for folder in folders]
    again = [overlaid(one, cut_anew(one)) for one, _ in pairs]
    others = [overlaid(one, other) for one, other in pairs]
    assert np.mean(np.array(again) >= SAME) > 0.95
    assert np.mean(np.array(others) >= SAME) < 0.1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--page", "p.html"], "^--page: is about what a model finds; give --model RUN"),
        (["--size", "48x48"], "^--size, --colour, --pixels: is about"),
        (["--model", "m"], "^--model: name --page FILE.html or --candidates FILE.csv"),
        (["--model", "m", "--page", "p.html", "--batch-size", "0"], "^--batch-size: 0 is too small"),
        (["--model", "m", "--page", "p.html"], "^m: not a model"),
        (["--model", "m", "--page", "none/p.html"], "^--page: there is no folder"),
        (["--model", "m", "--page", "p", "--candidates", "p"], "^--page, --candidates: both"),
        (["--model", "m", "--page", "p.html", "--store", "file"], "^--store: file is a file"),
        (["--train", "{pool}", "--exclude", "none.csv"], "^--exclude: none.csv: No such file"),
    ],
)
def test_a_wrong_call_is_refused(tmp_path, clean, words, says, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("evenface.check.command.scan", lambda *_: pytest.fail("began to read"))
    with pytest.raises(UserError, match=says):
        run([str(clean), *(word.format(pool=clean) for word in words)])


def test_a_pipe_under_a_pictures_name_is_not_waited_for(tmp_path, clean):
    os.mkfifo(clean / "Bo_Li/pipe.jpg")
    done = threading.Thread(target=run, args=([str(clean), "--csv", str(tmp_path / "f.csv")],), daemon=True)
    done.start()
    done.join(PATIENCE)
    assert not done.is_alive()
    (row,) = table(tmp_path / "f.csv")
    assert (row["kind"], Path(row["file"]).name, row["detail"]) == (
        "unreadable",
        "pipe.jpg",
        "not a regular file",
    )


def test_a_set_in_another_form(tmp_path, clean, monkeypatch):
    """As training reads it: any reader of the table, here a list in a file of our own."""

    def read(path: Path, /, *, field: str) -> FaceSet:
        paths = sorted(clean.glob("*/*.jpg"))
        whole = FaceSet.of(paths, [one.parent.name for one in paths])
        whole.pictures.names = [f"{one.parent.name}/{one.name}" for one in paths]
        whole.pictures.root = clean
        return whole

    form = data_readers.Reader("ours", lambda path: path.suffix == ".ours", read)
    monkeypatch.setattr("evenface.check.sets.READERS", {"ours": form, **data_readers.READERS})
    (tmp_path / "set.ours").write_text("x")
    write(clean / "Bo_Li/0.jpg", b"")
    pictures = open_set(tmp_path / "set.ours", training=True, without={"Di_Moss", "Ana_Ríos/1.jpg"})
    assert pictures.people == ["Ana_Ríos", "Bo_Li", "Cy_Young"]
    assert len(pictures) == 8 and "Ana_Ríos/1.jpg" not in pictures.names
    assert not (pictures.person == NOBODY).any()
    assert np.array_equal(pictures.read(0), read_image(clean / "Ana_Ríos/0.jpg"))
    assert run(["--train", str(tmp_path / "set.ours"), "--csv", str(tmp_path / "f.csv")]) == 1
    assert [(row["kind"], row["detail"]) for row in table(tmp_path / "f.csv")] == [
        ("unreadable", "empty file")
    ]
