"""`evenface export`, `embed` and `search`: what comes out is the model's own, by other means than theirs."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.testing import assert_allclose

import evenface
from evenface.backbones.saved import load_card, load_model, save_model
from evenface.cli import main
from evenface.errors import UserError
from evenface.evaluation.models import open_model
from evenface.evaluation.onnx_embedder import FORMAT, OnnxEmbedder
from evenface.evaluation.torch_embedder import TorchEmbedder
from evenface.faces import InputFormat, read_image
from evenface.gallery.export import export
from evenface.gallery.pictures import pictures_below
from evenface.gallery.search import nearest_people


def own(run: Path, paths: list[Path]) -> np.ndarray:
    """Raw embeddings with the mirror image's added, one picture at a time."""
    net, card = load_model(run)
    rows = []
    for path in paths:
        fitted = card.format.fit(read_image(path))
        both = card.format.normalise(np.stack([fitted, fitted[:, ::-1]]))
        rows.append(TorchEmbedder(net, card.format)(both).sum(0))
    return np.stack(rows)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run and its ONNX file; the exporter takes seconds."""
    from .conftest import save_tiny

    folder = tmp_path_factory.mktemp("exported")
    run = save_tiny(folder)
    assert main(["export", str(run), str(folder / "model.onnx")]) == 0
    return run, folder / "model.onnx"


def test_the_file_gives_the_models_embeddings_and_says_what_it_expects(exported, people, capsys):
    run, file = exported
    model, paths = open_model(str(file)), sorted(people.glob("p0/*.png"))
    assert model.embedder.format == InputFormat(32, 32, "gray")
    for count in (1, 3, 8):
        images = InputFormat(32, 32, "gray").normalise(
            np.stack([InputFormat(32, 32, "gray").fit(read_image(path)) for path in paths[:count]])
        )
        expected = TorchEmbedder(load_model(run)[0], InputFormat(32, 32, "gray"))(images)
        assert_allclose(model.embedder(images), expected, rtol=1e-4, atol=1e-5)
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == ["model.onnx"]
    assert main(["export", str(run), str(file)]) == 0  # replaces it
    said = capsys.readouterr().out
    assert "tiny, " in said and "float32 (N, 1, 32, 32) to embeddings float32 (N, 8)" in said
    assert "32x32 gray, (x-127.5)/127.5" in said


def test_the_files_own_word_is_not_overridden(exported, tmp_path):
    with pytest.raises(UserError, match=r"says itself that it expects 32x32 gray.* leave --size"):
        OnnxEmbedder(exported[1], InputFormat(32, 32, "gray", "128"))
    assert OnnxEmbedder(exported[1], InputFormat(32, 32, "gray")).format == InputFormat(32, 32, "gray")
    model = onnx.load(exported[1])
    for words, says in (("{", "is broken"), ('{"high": 3}', "is broken"), ('{"height": 3}', "is broken")):
        model.metadata_props[[one.key for one in model.metadata_props].index(FORMAT)].value = words
        onnx.save(model, tmp_path / "broken.onnx")
        with pytest.raises(UserError, match=says):
            OnnxEmbedder(tmp_path / "broken.onnx")


def test_a_file_that_differs_from_the_model_gets_no_name(run, tmp_path, monkeypatch, capsys):
    call = OnnxEmbedder.__call__
    monkeypatch.setattr(OnnxEmbedder, "__call__", lambda self, images: 1.001 * call(self, images))
    assert main(["export", str(run), str(tmp_path / "model.onnx")]) == 2
    assert "differ from the model's by 1.0e-03 of their length" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_stop_leaves_the_file_that_was_there(run, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    (tmp_path / "model.onnx").write_text("older")
    monkeypatch.setattr(OnnxEmbedder, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        export(run, tmp_path / "model.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "run"]
    assert (tmp_path / "model.onnx").read_text() == "older"


def test_a_file_does_not_tell_where_it_was_made(exported):
    content = exported[1].read_bytes()
    for place in (evenface.__file__, torch.__file__):
        assert str(Path(place).parent).encode() not in content


def test_weights_in_a_file_of_their_own_go_with_the_model(run, tmp_path, monkeypatch):
    save = torch.onnx.ONNXProgram.save
    monkeypatch.setattr(torch.onnx.ONNXProgram, "save", lambda *words: save(*words, external_data=True))
    export(run, tmp_path / "model.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data", "run"]
    images = np.random.default_rng(0).normal(size=(2, 1, 32, 32)).astype(np.float32)
    net, card = load_model(run)
    there = open_model(str(tmp_path / "model.onnx")).embedder(images)
    assert_allclose(there, TorchEmbedder(net, card.format)(images), rtol=1e-4, atol=1e-5)


def test_wrong_words_of_export_are_told(run, tmp_path, capsys):
    assert main(["export", str(run), str(tmp_path / "model.pt")]) == 2
    assert "does not end in .onnx" in capsys.readouterr().err
    assert main(["export", str(tmp_path), str(tmp_path / "model.onnx")]) == 2
    assert "no trained model here" in capsys.readouterr().err
    assert main(["export", str(run), str(tmp_path / "no/model.onnx")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_embeddings_of_a_folder_are_kept_and_made_once(run, people, tmp_path, capsys, monkeypatch):
    deep = tmp_path / "My Faces/a/b"
    shutil.copytree(people / "p0", deep)
    shutil.copy(people / "p1/0.png", tmp_path / "My Faces/Z.PNG")
    (tmp_path / "My Faces/.hidden.png").write_bytes(b"x")
    (tmp_path / "My Faces/notes.txt").write_text("x")
    words = ["embed", str(run), str(tmp_path / "My Faces"), "-o", str(tmp_path / "emb")]
    assert main(words) == 0
    assert f"{tmp_path / 'emb/my-faces.npy'}: 9 embeddings of 8 values" in capsys.readouterr().out
    names = (tmp_path / "emb/my-faces.txt").read_text().splitlines()
    assert names == ["Z.PNG", *(f"a/b/{number}.png" for number in range(8))]
    rows = np.load(tmp_path / "emb/my-faces.npy")
    assert_allclose(rows, own(run, [tmp_path / "My Faces" / name for name in names]), rtol=1e-4, atol=1e-5)
    about = json.loads((tmp_path / "emb/my-faces.json").read_text())
    assert about["model"] == str(run) and about["conventions"]["flip"] == "sum flip"
    with monkeypatch.context() as patch:
        patch.setattr(TorchEmbedder, "__call__", lambda *_: pytest.fail("made again"))
        assert main(words) == 0
    (tmp_path / "My Faces/Z.PNG").unlink()  # what has changed is embedded again
    assert main(words) == 0
    assert_allclose(np.load(tmp_path / "emb/my-faces.npy"), rows[1:], rtol=1e-4, atol=1e-5)


def test_embeddings_of_another_model_or_flip_are_not_written_over(run, people, tmp_path, capsys):
    words = ["embed", str(run), str(people / "p0"), "-o", str(tmp_path / "emb")]
    assert main(words) == 0
    rows = np.load(tmp_path / "emb/p0.npy")
    assert main([*words, "--flip", "none"]) == 2
    torch.manual_seed(1)
    card = load_card(run)
    save_model(run, card.create(), card)  # other weights at the same place
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count(f"has p0.npy, p0.txt, p0.json by another model or flip ({run}, 32x32 gray") == 2
    assert said.count("sum flip); name another folder, or delete them") == 2
    assert (np.load(tmp_path / "emb/p0.npy") == rows).all()


def test_wrong_words_of_embed_are_told(run, people, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for folder, says in (("no", "is not a folder"), ("empty", "no pictures below")):
        assert main(["embed", str(run), str(tmp_path / folder), "-o", str(tmp_path / "emb")]) == 2
        said = capsys.readouterr().err
        assert said.startswith("evenface: FOLDER: ") and says in said
    (tmp_path / "file").write_text("x")
    assert main(["embed", str(run), str(people), "-o", str(tmp_path / "file")]) == 2
    assert "-o: " in capsys.readouterr().err


def test_links_to_folders_are_followed_and_each_folder_is_looked_at_once(people, tmp_path):
    root = tmp_path / "faces"
    shutil.copytree(people / "p0", tmp_path / "elsewhere")
    (root / "b").mkdir(parents=True)
    (root / "b/elsewhere").symlink_to(tmp_path / "elsewhere")
    (root / "c").symlink_to(root / "b")
    (tmp_path / "elsewhere/circle").symlink_to(root)
    images = pictures_below(root, "FOLDER")
    assert images.names == [f"b/elsewhere/{number}.png" for number in range(8)]
    assert (images[3] == read_image(people / "p0/3.png")).all()


def test_a_folder_that_cannot_be_opened_is_told(people, monkeypatch):
    own = os.scandir

    def scandir(path: str) -> object:
        if Path(path) == people / "p1":
            raise PermissionError(13, "Permission denied", path)
        return own(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=r"^FOLDER: .*/p1 cannot be opened \(Permission denied\); change"):
        pictures_below(people, "FOLDER")


def test_a_conversion_that_was_not_finished_is_refused(people, tmp_path):
    shutil.copytree(people, tmp_path / "set")
    (tmp_path / "set/journal.jsonl").touch()
    with pytest.raises(UserError, match=r"^FOLDER: .*/set is a conversion that was not finished"):
        pictures_below(tmp_path / "set", "FOLDER")


def test_the_nearest_people_by_loops():
    rng = np.random.default_rng(0)
    gallery, labels, probes = rng.normal(size=(20, 5)), np.arange(20) % 6, rng.normal(size=(7, 5))
    people, cosines = nearest_people(probes, gallery, labels, 3)
    for probe, who, values in zip(probes, people, cosines, strict=True):
        found = []
        for person in range(6):
            template = sum(row / np.linalg.norm(row) for row in gallery[labels == person])
            found.append(template @ probe / np.linalg.norm(template) / np.linalg.norm(probe))
        order = sorted(range(6), key=lambda person: -found[person])[:3]
        assert who.tolist() == order
        assert_allclose(values, [found[person] for person in order], rtol=1e-5)
    alike = nearest_people(probes[:1], np.repeat(probes[:1], 4, axis=0), np.arange(4), 9)
    assert alike[0].tolist() == [[0, 1, 2, 3]] and (alike[1] <= 1).all()


@pytest.fixture
def calibrated(run, people) -> Path:
    assert main(["calibrate", str(run), "--people", str(people), "--fmr", "1e-1", "1e-2"]) == 0
    return run


def test_probes_are_searched_by_the_calibrated_threshold(calibrated, people, tmp_path, capsys):
    gallery, probes = tmp_path / "gallery", sorted(people.glob("*/7.png"))
    shutil.copytree(people, gallery, ignore=shutil.ignore_patterns("7.png"))
    threshold = json.loads((calibrated / "card.json").read_text())["notes"]["calibration"]["thresholds"][0]
    words = ["search", str(calibrated), str(gallery), *map(str, probes), "--fmr", "1e-1"]
    capsys.readouterr()
    code = main([*words, "--csv", str(tmp_path / "found.csv"), "--top", "2"])
    said = capsys.readouterr().out
    rows = [own(calibrated, sorted((gallery / f"p{k}").iterdir())) for k in range(6)]
    expected = nearest_people(
        own(calibrated, probes), np.concatenate(rows), np.repeat(range(6), 7), 2
    )  # which the test above holds
    with open(tmp_path / "found.csv") as file:
        table = list(csv.DictReader(file))
    assert [row["person"] for row in table] == [f"p{k}" for k in expected[0].ravel()]
    assert_allclose([float(row["cosine"]) for row in table], expected[1].ravel(), atol=1e-5)
    assert [row["rank"] for row in table] == ["1", "2"] * 6
    at = threshold["cosine"] if "cosine" in threshold else threshold["threshold"]
    passes = expected[1] >= at
    assert [row["found"] for row in table] == [str(int(value)) for value in passes.ravel()]
    assert code == (0 if passes[:, 0].all() else 1)
    assert f"threshold: cosine >= {at:.4f}" in said and "6 people give a stranger 6 chances" in said
    for path, who, found in zip(probes, expected[0], passes[:, 0], strict=True):
        assert f"{path}: {'' if found else 'nobody of the gallery; nearest '}p{who[0]}, cosine" in said


@pytest.mark.parametrize("flip", ["none", "concat"])
def test_gallery_and_probes_are_embedded_as_the_calibration_was(run, people, tmp_path, capsys, flip):
    assert main(["calibrate", str(run), "--people", str(people), "--flip", flip, "--fmr", "1e-1"]) == 0
    gallery, probe = tmp_path / "gallery", people / "p2/7.png"
    shutil.copytree(people, gallery, ignore=shutil.ignore_patterns("7.png"))
    found = {}
    for more in (["--fmr", "1e-1"], ["--threshold", "0", "--flip", flip], ["--threshold", "0"]):
        main(["search", str(run), str(gallery), str(probe), *more, "--csv", str(tmp_path / "found.csv")])
        with open(tmp_path / "found.csv") as file:
            found[len(more)] = [(row["person"], row["cosine"]) for row in csv.DictReader(file)]
        capsys.readouterr()
        if len(more) == 2 and more[0] == "--fmr":
            calibrated = found[2]
    assert calibrated == found[4] != found[2]


def test_a_cosine_that_is_too_close_is_called_so_on_both_sides(calibrated, people, capsys):
    notes = json.loads((calibrated / "card.json").read_text())
    words = ["search", str(calibrated), str(people), str(people / "p3/1.png"), "--fmr", "1e-1"]
    capsys.readouterr()
    main(words)
    cosine = float(capsys.readouterr().out.split("cosine ")[1][:6])
    for threshold, begins in ((cosine + 0.001, "nobody of the gallery; nearest p3"), (cosine - 0.001, "p3")):
        at = notes["notes"]["calibration"]["thresholds"][0]
        at["threshold"] = threshold
        at["by_person"]["threshold"] = [cosine - 0.01, cosine + 0.01]
        (calibrated / "card.json").write_text(json.dumps(notes))
        main(words)
        said = capsys.readouterr().out.splitlines()[0]
        assert f"p3/1.png: {begins}, cosine" in said and said.endswith("too close to rely on")


def test_the_gallery_is_embedded_once_and_a_folder_is_probed_whole(
    run, people, tmp_path, capsys, monkeypatch
):
    words = ["search", str(run), str(people), str(people / "p3"), "--threshold", "1"]
    assert main([*words, "--store", str(tmp_path / "emb")]) == 1
    first = capsys.readouterr()
    assert first.out.count("nobody of the gallery") == 8
    assert f"{people}/p3/0.png is 40x40 pixels, not 112x112" in first.err and "(so are 7 more)" in first.err
    assert f"{people}/p0/0.png is 40x40 pixels, not 112x112" in first.err and "(so are 47 more)" in first.err
    seen = []
    call = TorchEmbedder.__call__
    monkeypatch.setattr(
        TorchEmbedder, "__call__", lambda self, images: seen.append(len(images)) or call(self, images)
    )
    assert main([*words, "--store", str(tmp_path / "emb")]) == 1
    assert capsys.readouterr().out == first.out and sum(seen) == 16  # the probes and their mirror images
    assert main([*words[:-1], "-1"]) == 0


def test_pictures_of_nobody_are_left_out_of_the_gallery_and_told(calibrated, people, tmp_path, capsys):
    gallery, probe = tmp_path / "staff", str(people / "p3/0.png")
    shutil.copytree(people, gallery)
    assert main(["search", str(calibrated), str(gallery), probe, "--fmr", "0.1"]) == 0
    before = capsys.readouterr()
    assert "left out" not in before.err
    (gallery / "p0/passport").mkdir()
    for place in ("loose.png", "p0/passport/deeper.png"):
        shutil.copy(probe, gallery / place)
    assert main(["search", str(calibrated), str(gallery), probe, "--fmr", "0.1"]) == 0
    after = capsys.readouterr()
    assert f"{gallery}/loose.png is left out (so are 1 more): it does not lie in the folder" in after.err
    assert after.out == before.out


def test_wrong_words_of_search_are_told(run, people, tmp_path, capsys):
    words = ["search", str(run), str(people), str(people / "p0/0.png")]
    for more, says in (
        ([], "calibrate"),
        (["--threshold", "2"], "--threshold: 2 is no cosine"),
        (["--threshold", "0.5", "--fmr", "1e-3"], "give one of them"),
        (["--threshold", "0.5", "--top", "0"], "--top: 0 is outside"),
        (["--threshold", "0.5", "--csv", str(tmp_path / "no/a.csv")], "there is no folder"),
    ):
        assert main([*words, *more]) == 2
        assert says in capsys.readouterr().err
    assert main([*words, str(tmp_path / "no.jpg"), "--threshold", "0.5"]) == 2
    assert f"PROBE: {tmp_path / 'no.jpg'} is not there; name a picture" in capsys.readouterr().err
    assert main([*words[:3], "--threshold", "0.5"]) == 2
    assert "PROBE: name a picture" in capsys.readouterr().err
    assert main([*words[:2], str(tmp_path / "no"), words[3], "--threshold", "0.5"]) == 2
    assert "GALLERY: " in capsys.readouterr().err
