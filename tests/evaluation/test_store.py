"""Stored embeddings: taken if nothing changed, gone on with after a kill, brought from elsewhere."""

import errno
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from evenface.errors import UserError
from evenface.evaluation.embed import FunctionEmbedder
from evenface.evaluation.evaluate import evaluate, evaluate_stored
from evenface.evaluation.images import ImageSet
from evenface.evaluation.protocols import lfw
from evenface.evaluation.store import embed_into, read_stored, slug, stored_sets

from .conftest import GRAY_16, make_lfw, raw_pixels


class Counting(FunctionEmbedder):
    """Counts pictures, and gives up after a while if told so."""

    def __init__(self, give_up: int = 10**9, name: str = "counting"):
        object.__setattr__(self, "seen", 0)

        def function(images: np.ndarray) -> np.ndarray:
            object.__setattr__(self, "seen", self.seen + len(images))
            if self.seen > give_up:
                raise KeyboardInterrupt
            return raw_pixels(images)

        super().__init__(function, GRAY_16, name)


def test_embeddings_are_computed_once(lfw_root, tmp_path):
    model, pairs = Counting(), lfw(lfw_root)
    (first,) = evaluate(model, pairs, store=tmp_path / "emb", fingerprint="a")
    assert model.seen == len(pairs.images)
    (again,) = evaluate(model, pairs, store=tmp_path / "emb", fingerprint="a")
    assert model.seen == len(pairs.images)
    assert again.to_json() == first.to_json()
    (plain,) = evaluate(model, pairs)
    assert plain.to_json() == first.to_json()
    assert stored_sets(tmp_path / "emb") == ["lfw"]


@pytest.mark.parametrize("change", ["fingerprint", "flip", "crop", "names", "picture", "folder"])
def test_what_changed_is_computed_again(lfw_root, tmp_path, change):
    model = Counting()
    evaluate(model, lfw(lfw_root), store=tmp_path / "emb", fingerprint="a")
    before = model.seen
    if change == "names":
        text = (lfw_root / "pairs.txt").read_text().replace("Person_A\t3", "Person_A\t2")
        (lfw_root / "pairs.txt").write_text(text)
    if change == "picture":
        a, b = (lfw_root / "images/Person_A" / f"Person_A_000{i}.jpg" for i in (1, 2))
        a.write_bytes(b.read_bytes())
    if change == "folder":  # another alignment of the same set, say
        lfw_root = make_lfw(tmp_path / "other", size=160)
        for path in (lfw_root / "images").glob("*/*.jpg"):
            cv2.imwrite(str(path), cv2.flip(cv2.imread(str(path)), 0))
    pairs = lfw(lfw_root)
    if change == "crop":
        pairs.conventions["crop"] = "another"
    flip, mark = "concat" if change == "flip" else "none", "b" if change == "fingerprint" else "a"
    (result,) = evaluate(model, pairs, flip, store=tmp_path / "emb", fingerprint=mark)
    assert model.seen > before
    (fresh,) = evaluate(model, pairs, flip)
    assert result.to_json() == fresh.to_json()


def test_a_computation_that_was_stopped_goes_on(lfw_root, tmp_path):
    pairs = lfw(lfw_root)
    with pytest.raises(KeyboardInterrupt):
        evaluate(Counting(give_up=5), pairs, store=tmp_path / "emb", fingerprint="a", batch_size=1)
    assert stored_sets(tmp_path / "emb") == []
    model = Counting()
    (result,) = evaluate(model, pairs, store=tmp_path / "emb", fingerprint="a", batch_size=1)
    assert model.seen == len(pairs.images) - 5
    (fresh,) = evaluate(model, pairs)
    assert result.to_json() == fresh.to_json()
    with pytest.raises(KeyboardInterrupt):
        evaluate(Counting(give_up=5), pairs, "sum", store=tmp_path / "emb", fingerprint="a", batch_size=1)
    other = Counting()  # another model does not go on with the first one's part
    evaluate(other, pairs, "sum", store=tmp_path / "emb", fingerprint="b", batch_size=4)
    assert other.seen == 2 * len(pairs.images)


def test_a_killed_computation_goes_on_where_it_last_took_note(lfw_root, tmp_path, monkeypatch):
    monkeypatch.setattr("evenface.evaluation.store._SAVE_EVERY", 2)
    pairs, marks = lfw(lfw_root), []
    mark = tmp_path / "emb/lfw.unfinished.json"

    def look(*_):
        marks.append(json.loads(mark.read_text())["done"] if mark.exists() else 0)

    evaluate(Counting(), pairs, store=tmp_path / "emb", fingerprint="a", batch_size=3, progress=look)
    assert marks == [0, 6, 6, 12, 12, 18] and not mark.exists()


def test_what_the_model_is_called_does_not_matter(lfw_root, tmp_path):
    pairs, store = lfw(lfw_root), tmp_path / "emb"
    with pytest.raises(KeyboardInterrupt):
        evaluate(Counting(5, "runs/a"), pairs, store=store, fingerprint="a", batch_size=1)
    for name, seen in (("copy/of/a", len(pairs.images) - 5), ("/whole/path/a", 0)):
        model = Counting(name=name)
        (result,) = evaluate(model, pairs, store=store, fingerprint="a")
        assert (model.seen, result.model) == (seen, name)


def test_two_at_once_do_not_write_into_one_file(lfw_root, tmp_path):
    pairs, store = lfw(lfw_root), tmp_path / "emb"

    def embed(images: np.ndarray) -> np.ndarray:
        with pytest.raises(UserError, match=r"lfw\.unfinished\.npy: another evenface is writing here"):
            evaluate(Counting(), pairs, store=store, fingerprint="b")
        return raw_pixels(images)

    (result,) = evaluate(FunctionEmbedder(embed, GRAY_16), pairs, store=store, fingerprint="a")
    (fresh,) = evaluate(FunctionEmbedder(raw_pixels, GRAY_16), pairs)
    assert result.to_json() == fresh.to_json()
    assert sorted(path.name for path in store.iterdir()) == ["lfw.json", "lfw.npy", "lfw.txt"]


def test_a_file_that_the_other_one_has_finished_is_not_written_into(lfw_root, tmp_path, monkeypatch):
    """It was opened as the unfinished one, and got its lasting name before it could be held."""
    pairs, store = lfw(lfw_root), tmp_path / "emb"

    def late(*_):
        (store / "lfw.unfinished.npy").replace(store / "lfw.npy")

    monkeypatch.setattr("fcntl.flock", late)
    with pytest.raises(UserError, match="another evenface is writing here"):
        evaluate(Counting(), pairs, store=store, fingerprint="a")


@pytest.mark.parametrize("theirs", ["lfw.npy", "lfw.txt", "lfw.json"])
@pytest.mark.parametrize("content", ['{"model": "x"}', "{", "a.jpg"])
def test_another_programs_files_are_not_written_over(lfw_root, tmp_path, theirs, content):
    (tmp_path / theirs).write_text(content)
    with pytest.raises(UserError, match=rf"has {theirs} of another program, .*; name another folder, or del"):
        evaluate(Counting(), lfw(lfw_root), store=tmp_path, fingerprint="a")
    assert (tmp_path / theirs).read_text() == content


@pytest.mark.parametrize("sign", ["\n", "\r"])
def test_a_line_break_in_a_name_is_refused(tmp_path, sign):
    name = f"a{sign}b.png"
    cv2.imwrite(str(tmp_path / name), np.zeros((16, 16, 3), np.uint8))
    images = ImageSet(tmp_path, [name], lambda _: np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(UserError, match=r"^'a\\[nr]b.png': .*line break.* lfw\.txt; rename the picture"):
        embed_into(tmp_path / "emb", "LFW", Counting(), images, "", "none", "a")


def test_a_part_is_not_gone_on_with_after_another_model_wrote_over_it(lfw_root, tmp_path):
    pairs, store = lfw(lfw_root), tmp_path / "emb"
    with pytest.raises(KeyboardInterrupt):
        evaluate(Counting(give_up=5), pairs, store=store, fingerprint="a", batch_size=1)
    with pytest.raises(KeyboardInterrupt):
        evaluate(Counting(give_up=1), pairs, store=store, fingerprint="b", batch_size=1)
    model = Counting()
    (result,) = evaluate(model, pairs, store=store, fingerprint="a", batch_size=1)
    assert model.seen == len(pairs.images)
    (fresh,) = evaluate(model, pairs)
    assert result.to_json() == fresh.to_json()


def test_embeddings_of_another_crop_are_refused_and_an_unknown_crop_is_said(lfw_root, raw, tmp_path):
    evaluate(raw, lfw(lfw_root), store=tmp_path / "emb", fingerprint="a")
    with pytest.raises(
        UserError, match=r"LFW are of another crop \(LFW-a.*\) than asked for \(pictures already"
    ):
        evaluate_stored(tmp_path / "emb", lfw(lfw_root, crop="template"))
    (tmp_path / "emb/lfw.json").unlink()
    (result,) = evaluate_stored(tmp_path / "emb", lfw(lfw_root, crop="template"))
    assert result.conventions["crop"] == "not known, given embeddings"


def test_a_part_is_not_gone_on_with_after_a_picture_changed(lfw_root, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        evaluate(Counting(give_up=5), lfw(lfw_root), store=tmp_path / "emb", fingerprint="a", batch_size=1)
    a, b = (lfw_root / "images/Person_A" / f"Person_A_000{i}.jpg" for i in (1, 2))
    a.write_bytes(b.read_bytes())
    model = Counting()
    evaluate(model, lfw(lfw_root), store=tmp_path / "emb", fingerprint="a", batch_size=1)
    assert model.seen == len(lfw(lfw_root).images)


def test_how_templates_are_pooled_asks_for_no_new_embeddings(lfw_root, tmp_path):
    model, pairs = Counting(), lfw(lfw_root)
    evaluate(model, pairs, store=tmp_path / "emb", fingerprint="a")
    pairs.conventions["noise"] = "another"
    evaluate(model, pairs, store=tmp_path / "emb", fingerprint="a")
    assert model.seen == len(pairs.images)


def test_a_stop_at_the_end_leaves_nothing_that_is_trusted(lfw_root, tmp_path, monkeypatch):
    """New names beside old rows would be other people's embeddings."""
    pairs, store = lfw(lfw_root), tmp_path / "emb"
    evaluate(Counting(), pairs, store=store, fingerprint="a")
    real = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, to: stop() if path.suffix == ".npy" else real(path, to))

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(Counting(), pairs, store=store, fingerprint="b")
    assert stored_sets(store) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"done": "x"}', b'{"done": 4, "about": {}}', b"\xff"]
)
def test_a_broken_mark_begins_anew(lfw_root, tmp_path, content):
    pairs, store = lfw(lfw_root), tmp_path / "emb"
    store.mkdir()
    (store / "lfw.unfinished.json").write_bytes(content)
    (store / "lfw.unfinished.npy").write_bytes(b"x")
    (result,) = evaluate(Counting(), pairs, store=store, fingerprint="a")
    (fresh,) = evaluate(Counting(), pairs)
    assert result.to_json() == fresh.to_json()


def test_a_disk_without_room_is_told_before_it_is_full(lfw_root, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"lfw\.unfinished\.npy: [\d,]+ bytes cannot be had \(No space left"):
        evaluate(Counting(), lfw(lfw_root), store=tmp_path / "emb", fingerprint="a")
    assert not list((tmp_path / "emb").iterdir())


def test_names_with_rare_signs_come_back(tmp_path):
    names = ["a\u2028b.jpg", "c\x85d.jpg", "é.jpg", "x\udcffy.jpg"]
    np.save(tmp_path / "s.npy", np.eye(4, dtype=np.float32))
    text = "".join(f"{name}\n" for name in names)
    (tmp_path / "s.txt").write_text(text, encoding="utf-8", errors="surrogateescape")
    rows, _ = read_stored(tmp_path, "s", names[::-1])
    assert (rows == np.eye(4)[::-1]).all()
    (tmp_path / "s.txt").write_bytes(b"\xef\xbb\xbf" + text.encode("utf-8", "surrogateescape"))
    assert (read_stored(tmp_path, "s", names)[0] == np.eye(4)).all()


def bring(folder, pairs, rows, names=None):
    folder.mkdir(exist_ok=True)
    np.save(folder / "lfw.npy", rows)
    (folder / "lfw.txt").write_text("\n".join(names or pairs.images.names) + "\n")
    return folder


def test_embeddings_of_another_program_need_no_pictures(lfw_root, raw, tmp_path):
    pairs = lfw(lfw_root)
    (expected,) = evaluate(raw, pairs)
    rows = np.stack([raw_pixels(GRAY_16.normalise(GRAY_16.fit(x)[None]))[0] for x in pairs.images])
    order = np.random.default_rng(0).permutation(len(rows))
    names = [pairs.images.names[i] for i in order]
    folder = bring(tmp_path / "theirs", pairs, rows[order], names)
    (lfw_root / "images").rename(tmp_path / "gone")
    (result,) = evaluate_stored(folder, lfw(lfw_root, pairs=lfw_root / "pairs.txt"))
    np.testing.assert_allclose(result.pairs.scores, expected.pairs.scores, atol=1e-6)
    assert result.model == "theirs" and result.pictures == ""
    assert "given embeddings" in result.headline and "pictures" not in result.headline.split("set sha256")[1]


def test_what_does_not_fit_is_named(lfw_root, tmp_path):
    pairs = lfw(lfw_root)
    n = len(pairs.images)
    rows = np.ones((n, 4), np.float32)
    rows[:, 0] = np.arange(n)
    folder = tmp_path / "theirs"

    def says(words, rows=rows, names=None):
        bring(folder, pairs, rows, names)
        with pytest.raises(UserError, match=words):
            evaluate_stored(folder, pairs)

    with pytest.raises(UserError, match=r"lfw\.npy.*not the stored embeddings"):
        evaluate_stored(tmp_path / "nowhere", pairs)
    says(r"expected float32", rows.astype(np.float64))
    says(r"expected float32", rows[:, 0])
    says(rf"lfw\.txt {n - 1} names", names=pairs.images.names[:-1])
    says(rf"1 of {n} pictures have no embedding, first Person_", names=["x", *pairs.images.names[1:]])
    says(r"1 names stand there twice", names=[*pairs.images.names[:-1], pairs.images.names[0]])
    zero = rows.copy()
    zero[5] = 0
    says(rf"{pairs.images.names[5]} is all zero", zero)
    zero[5] = np.nan
    says(rf"{pairs.images.names[5]} is all zero or not finite", zero)
    np.save(folder / "lfw.npy", np.array([{}] * n))  # needs unpickling, which is never done
    with pytest.raises(UserError, match="not the stored embeddings"):
        evaluate_stored(folder, pairs)
    bring(folder, pairs, rows)
    for content in (b"", b"\x93NUMPY\x01\x00\xff\xff", (folder / "lfw.npy").read_bytes()[:-8]):
        (folder / "lfw.npy").write_bytes(content)
        with pytest.raises(UserError, match=r"lfw\.npy"):
            evaluate_stored(folder, pairs)
    bring(folder, pairs, rows)
    for broken in ("{", "[]", "null", '{"conventions": 5}', '{"conventions": {"flip": 1}}', '{"model": 1}'):
        (folder / "lfw.json").write_text(broken)
        with pytest.raises(UserError, match=r"lfw\.json: not what a store writes"):
            evaluate_stored(folder, pairs)


def test_stored_rows_in_order_are_not_copied(lfw_root, tmp_path):
    pairs = lfw(lfw_root)
    folder = bring(tmp_path / "theirs", pairs, np.ones((len(pairs.images), 4), np.float32))
    rows, about = read_stored(folder, "lfw", pairs.images.names)
    assert isinstance(rows, np.memmap) and about == {}


def test_names_become_file_names():
    assert (slug("CFP-FP"), slug("runs/mine"), slug("IJB-B 1:1")) == ("cfp-fp", "runs-mine", "ijb-b-1-1")
    assert (slug("../../etc/x"), slug("..")) == ("etc-x", "")


def test_the_note_says_how_they_came_about(lfw_root, tmp_path):
    evaluate(Counting(), lfw(lfw_root), "sum", store=tmp_path / "emb", fingerprint="abc")
    about = json.loads((tmp_path / "emb/lfw.json").read_text())
    assert about["fingerprint"] == "abc" and about["conventions"]["flip"] == "sum flip"
    assert about["crop"] == "LFW-a fixed crop" and about["pictures_sha256"] == lfw(lfw_root).images.sha256
    assert about["pictures_identified_by"] == "names and bytes"
