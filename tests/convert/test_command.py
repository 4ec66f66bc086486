"""`evenface convert`, as it is typed."""

import csv
import json
import pickle
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from evenface.convert.command import To, run
from evenface.data import read, read_folder
from evenface.data.writers import WRITERS
from evenface.errors import UserError
from evenface.evaluation.embed import FunctionEmbedder
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.protocols.insightface_bin import insightface_bin
from evenface.evaluation.protocols.listed import listed
from evenface.faces import InputFormat

from .conftest import encode

Captured = pytest.CaptureFixture[str]


def names(path: Path) -> list[str]:
    faces = read(path)
    return sorted(faces.pictures.name(i) for i in range(len(faces)))


def test_every_form_can_be_named() -> None:
    assert get_args(To) == tuple(WRITERS)


def test_there_and_back(faces: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run([str(faces), "-o", str(tmp_path / "shards"), "--to", "shards"]) == 0
    said = capsys.readouterr().out
    assert "29 images of 5 people (1 to 9 each)" in said
    assert f"{tmp_path / 'shards'}: 29 pictures, " in said
    checksum = said.splitlines()[-1]
    recorded = json.loads((tmp_path / "shards" / "checksum.json").read_bytes())
    assert checksum == f"checksum: {recorded['sha256']}"
    assert run([str(tmp_path / "shards"), "--output", str(tmp_path / "r" / "train.rec")]) == 0
    assert run([str(tmp_path / "r"), "-o", str(tmp_path / "again"), "--to", "folder"]) == 0
    assert capsys.readouterr().out.count(checksum) == 2
    for one in ("shards", "r/train.rec", "again"):
        assert run(["--verify", str(tmp_path / one)]) == 0
        assert capsys.readouterr().out == f"{tmp_path / one}: 29 pictures, as they were written\n{checksum}\n"
    assert names(tmp_path / "again") == names(faces)
    assert run([str(faces), "-o", str(tmp_path / "shards"), "--to", "shards"]) == 0
    assert "was finished before; nothing to do" in capsys.readouterr().out


def test_verify_finds_a_change(faces: Path, tmp_path: Path, capsys: Captured) -> None:
    run([str(faces), "-o", str(tmp_path / "new"), "--to", "folder"])
    (tmp_path / "new" / "ann" / "0.png").unlink()
    capsys.readouterr()
    assert run(["--verify", str(tmp_path / "new")]) == 1
    assert "not as it was written: 28 pictures of 29" in capsys.readouterr().out
    (tmp_path / "new" / "ann" / "0.png").write_bytes(encode(0, ".png"))
    assert run(["--verify", str(tmp_path / "new")]) == 1
    assert "not as it was written: 29 pictures of 29\nchecksum: " in capsys.readouterr().out


def test_whom_to_leave_out(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("ann\n")
    words = ["--exclude", str(tmp_path / "out.txt"), "--min-images", "6"]
    assert run([str(faces), "-o", str(tmp_path / "new"), "--to", "folder", *words]) == 0
    assert read_folder(tmp_path / "new").identities == ["Zoë", "p2"]


def test_a_list_and_its_root(faces: Path, tmp_path: Path, capsys: Captured) -> None:
    lines = [f"{name} {number % 3}\n" for number, name in enumerate(names(faces))]
    (tmp_path / "list.txt").write_text("".join(lines))
    words = ["--list", str(tmp_path / "list.txt"), "-o", str(tmp_path / "new"), "--to", "folder"]
    assert run([str(faces), *words]) == 0
    assert read_folder(tmp_path / "new").identities == ["0", "1", "2"]
    assert "names that no file may have, or that were taken" in capsys.readouterr().out
    assert run(["--verify", str(tmp_path / "new")]) == 0


def test_a_broken_picture(faces: Path, tmp_path: Path, capsys: Captured) -> None:
    for i in range(4):
        (faces / "ann" / f"bad{i}.png").write_text("x")
    with pytest.raises(UserError, match=r"bad0\.png: not a picture.* out with --corrupt skip"):
        run([str(faces), "-o", str(tmp_path / "new"), "--to", "folder"])
    assert run([str(faces), "-o", str(tmp_path / "new"), "--to", "folder", "--corrupt", "skip"]) == 0
    said = capsys.readouterr().out
    assert "4 pictures left out" in said
    assert f"  {faces / 'ann' / 'bad3.png'}: not a picture" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("FACES", "-o: name what to write"),
        ("-o OUT --to folder", "SRC: name the set"),
        ("FACES -o OUT", "--to: say which form"),
        ("FACES -o OUT --to rec", "-o: .*OUT is not for --to rec; name a file, NAME.rec"),
        ("FACES -o OUT.rec --to shards", "-o: .*OUT.rec is not for --to shards; leave --to out"),
        ("FACES -o OUT --to folder --shuffle 1", "--shuffle: is the order of shards"),
        ("FACES -o OUT --to shards --shuffle -1", "--shuffle: -1 is no seed"),
        ("FACES -o OUT --to folder --min-images 0", "--min-images: 0 is too small"),
        ("FACES -o OUT --to folder --min-images 10", "--exclude, --min-images: nobody is left"),
        ("FACES/ann -o OUT --to folder", "SRC: no images in a person's folder"),
        ("FACES --verify OUT", "--verify: goes alone"),
        ("--verify OUT", "--verify: there is no .*OUT/checksum.json"),
        ("FACES -o FACES --to folder", "-o: .*faces is not empty"),
        ("NONE.bin -o OUT", "NONE.bin: No such file"),
        ("NONE.bin -o OUT --to shards", "SRC: .*NONE.bin has pairs and no people"),
        ("NONE.bin -o OUT --check", "SRC: .*NONE.bin has pairs and no people"),
    ],
)
def test_wrong_calls_are_refused(faces: Path, tmp_path: Path, words: str, says: str) -> None:
    given = words.replace("FACES", str(faces)).replace("OUT", str(tmp_path / "OUT"))
    with pytest.raises(UserError, match=f"^{says}"):
        run(given.split())
    assert not (tmp_path / "OUT").exists()


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """25 pairs, in folds of 3 and 2, of JPEG and PNG; some are the wrong way round."""
    flags = [i % 3 == 0 for i in range(25)]
    rng = np.random.default_rng(0)
    pictures = []
    for flag in flags:
        one = rng.normal(128, 40, (112, 112, 3))
        two = one if flag == (rng.random() < 0.8) else rng.normal(128, 40, (112, 112, 3))
        for picture, suffix in ((one, ".jpg"), (two + rng.normal(0, 60, one.shape), ".png")):
            pictures.append(cv2.imencode(suffix, np.clip(picture, 0, 255).astype(np.uint8))[1].tobytes())
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps((pictures, flags)))
    return path


def test_a_bin_file_becomes_pictures_and_a_list_that_gives_the_same_numbers(
    packed: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert run([str(packed), "-o", str(tmp_path / "lfw")]) == 0
    assert "25 pairs, for evenface evaluate --pairs" in capsys.readouterr().out
    pictures, flags = pickle.loads(packed.read_bytes())
    with (tmp_path / "lfw" / "lfw.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["a"], row["b"]) for row in rows[:2]] == [("00.jpg", "01.png"), ("02.jpg", "03.png")]
    assert [row["same"] == "1" for row in rows] == flags
    stored = [(tmp_path / "lfw" / row[side]).read_bytes() for row in rows for side in "ab"]
    assert stored == pictures
    embedder = FunctionEmbedder(
        lambda batch: batch.reshape(len(batch), -1), InputFormat(112, 112, "gray"), "raw pixels"
    )
    (one,) = evaluate(embedder, insightface_bin(packed))
    (two,) = evaluate(embedder, listed(tmp_path / "lfw" / "lfw.csv"))
    assert one.rates == two.rates
    assert one["accuracy"].deviation
    with pytest.raises(UserError, match=r"-o: .*lfw is there already; name a new folder"):
        run([str(packed), "-o", str(tmp_path / "lfw")])


def test_a_bin_file_with_a_broken_picture_is_said(packed: Path, tmp_path: Path) -> None:
    pictures, flags = pickle.loads(packed.read_bytes())
    packed.write_bytes(pickle.dumps(([*pictures[:-1], b"none"], flags)))
    with pytest.raises(UserError, match=r"lfw\.bin: picture 49: not a picture"):
        run([str(packed), "-o", str(tmp_path / "lfw")])
    assert not (tmp_path / "lfw").exists()
