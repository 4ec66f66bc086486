"""CALFW and CPLFW: two lines a pair, all genuine pairs first, the folds dealt from both ends."""

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from evenface.errors import UserError
from evenface.evaluation.embed import FunctionEmbedder
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.metrics.folds import accuracy_by_fold
from evenface.evaluation.protocols.calfw_cplfw import calfw, cplfw
from evenface.faces import TEMPLATE_112

from .conftest import GRAY_16, picture, raw_pixels

EACH = 20
POINTS = TEMPLATE_112 * 1.5 + 20  # in the 250x250 pictures


def lines(flag=lambda i: 1, digits=1):
    """20 genuine pairs, then 20 impostor pairs, of 40 people with two pictures each."""
    for i in range(EACH):
        yield f"Ann_Le-{i}_{1:0{digits}d}.jpg {flag(i)}"
        yield f"Ann_Le-{i}_{2:0{digits}d}.jpg {flag(i)}"
    for i in range(EACH):
        yield f"Ann_Le-{i}_{1:0{digits}d}.jpg 0"
        yield f"Bo_{i}_{2:0{digits}d}.jpg 0"


@cache
def encoded(person, number, size):
    return cv2.imencode(".jpg", picture(person, number, size))[1].tobytes()


def make(root, *, size=112):
    (root / "images").mkdir(parents=True)
    for i in range(EACH):
        for person, name in ((i, f"Ann_Le-{i}"), (100 + i, f"Bo_{i}")):
            for number in (1, 2):
                (root / "images" / f"{name}_{number}.jpg").write_bytes(encoded(person, number, size))
    (root / "pairs_CPLFW.txt").write_text("\n".join(lines()) + "\n")
    return root


@pytest.fixture
def root(tmp_path):
    return make(tmp_path / "cplfw")


def known(pairs):
    return [
        (pairs.images.names[a], pairs.images.names[b], bool(same), int(fold))
        for a, b, same, fold in zip(pairs.first, pairs.second, pairs.same, pairs.fold, strict=True)
    ]


def test_each_fold_has_its_tenth_of_both_kinds(root):
    pairs = cplfw(root, "template")
    expected = [(f"Ann_Le-{i}_1.jpg", f"Ann_Le-{i}_2.jpg", True, i // 2) for i in range(EACH)]
    expected += [(f"Ann_Le-{i}_1.jpg", f"Bo_{i}_2.jpg", False, i // 2) for i in range(EACH)]
    assert known(pairs) == expected
    people = pairs.people
    assert (people[pairs.first] == people[pairs.second]).tolist() == pairs.same.tolist()
    assert len(set(people.tolist())) == 2 * EACH


def test_the_known_mistake_of_reading_folds_as_blocks_of_lines(root):
    """Blocks of lines have one kind of pair each, so accuracy by block means nothing."""
    pairs = cplfw(root, "template")
    blocks = np.arange(len(pairs)) * 10 // len(pairs)
    kinds = [set(pairs.same[blocks == fold].tolist()) for fold in range(10)]
    assert kinds == [{True}] * 5 + [{False}] * 5
    for fold in range(10):
        assert sorted(pairs.same[pairs.fold == fold].tolist()) == [False] * 2 + [True] * 2
    # A model that tells nothing apart is right half the time; read as blocks it would be right never.
    nothing = np.linspace(0, 1, len(pairs))[np.random.default_rng(0).permutation(len(pairs))] * 1e-3
    assert accuracy_by_fold(nothing, pairs.same, blocks).mean < 0.4
    assert 0.3 < accuracy_by_fold(nothing, pairs.same, pairs.fold).mean < 0.7


def test_an_evaluation_of_the_whole_set(root):
    raw = FunctionEmbedder(raw_pixels, GRAY_16, "raw pixels")
    (result,) = evaluate(raw, cplfw(root, "template"))
    assert (result.protocol, result["accuracy"].value) == ("CPLFW", 1)
    assert result.conventions["crop"] == "pictures already on the template"
    assert result.conventions["dealing"].startswith("a tenth of the genuine and of the impostor pairs")


@pytest.mark.parametrize("header", ["", "name same_person"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("between", [" ", "\t", "   "])
def test_the_same_list_in_other_clothes(root, header, end, mark, between):
    before = known(cplfw(root, "template"))
    text = [header] * bool(header) + [line.replace(" ", between) for line in lines()]
    (root / "pairs_CPLFW.txt").write_bytes((mark + end.join(text) + end).encode())
    assert known(cplfw(root, "template")) == before


@pytest.mark.parametrize("flag", [lambda i: 1, lambda i: i // 2 + 1, lambda i: i + 1])
def test_in_calfw_any_flag_but_0_is_a_genuine_pair(tmp_path, flag):
    (tmp_path / "pairs_CALFW.txt").write_text("\n".join(lines(flag, digits=4)))
    pairs = calfw(tmp_path, "template")
    assert pairs.name == "CALFW"
    assert pairs.same.tolist() == [True] * EACH + [False] * EACH
    assert known(pairs)[3] == ("Ann_Le-3_0001.jpg", "Ann_Le-3_0002.jpg", True, 1)
    assert [fold for *_, fold in known(pairs)] == [i // 2 for i in range(EACH)] * 2


def test_the_list_is_read_without_pictures_and_the_first_missing_one_is_named(root):
    (root / "images" / "Ann_Le-1_1.jpg").unlink()
    pairs = cplfw(root, "template")
    with pytest.raises(UserError, match=r"Ann_Le-1_1.jpg: missing"):
        pairs.images.check()


def with_landmarks(root, name):
    for path in (root / "images").iterdir():
        file = root / f"{name}_landmarks" / f"{path.stem}_5loc_attri.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(f"{x:.3f} {y:.3f}\n" for x, y in POINTS))
    return root


def dots(points, size):
    image = np.zeros((size, size), np.uint8)
    for x, y in points:
        cv2.circle(image, (round(x * 16), round(y * 16)), 4 * 16, 255, -1, shift=4)
    return image


def test_landmarks_carry_the_five_points_to_the_template(tmp_path):
    root = with_landmarks(make(tmp_path / "cplfw", size=250), "CP")
    pairs = cplfw(root)
    assert pairs.conventions["crop"] == "the set's own five points"
    for place in range(5):
        cv2.imwrite(str(pairs.images.path(0)), dots(POINTS[place : place + 1], 250))
        crop = pairs.images[0][:, :, 0].astype(float)
        assert crop.shape == (112, 112)
        rows, columns = np.indices(crop.shape)
        found = [(columns * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum()]
        assert_allclose(found, TEMPLATE_112[place], atol=0.3)
    before = pairs.sha256
    file = root / "CP_landmarks" / "Ann_Le-0_1_5loc_attri.txt"
    file.write_text(file.read_text().replace("\n", " \r\n"))
    assert pairs.images[0].shape == (112, 112, 3)
    assert cplfw(root).sha256 != before


def test_moved_landmarks_are_embedded_again(tmp_path):
    root = with_landmarks(make(tmp_path / "cplfw", size=250), "CP")
    model = FunctionEmbedder(raw_pixels, GRAY_16, "raw pixels")
    (before,) = evaluate(model, cplfw(root), store=tmp_path / "emb", fingerprint="a")
    for file in (root / "CP_landmarks").iterdir():
        shift = 9 * (file.stem < "Ann_Le-3")
        file.write_text("".join(f"{x + shift:.3f} {y:.3f}\n" for x, y in POINTS))
    (after,) = evaluate(model, cplfw(root), store=tmp_path / "emb", fingerprint="a")
    (fresh,) = evaluate(model, cplfw(root))
    assert after.to_json() == fresh.to_json() and (after.pairs.scores != before.pairs.scores).any()


def test_calfw_as_its_archive_unpacks(tmp_path):
    inner = tmp_path / "images&landmarks" / "images&landmarks"
    with_landmarks(make(inner, size=250), "CA")
    (inner / "pairs_CPLFW.txt").rename(tmp_path / "pairs_CALFW.txt")
    pairs = calfw(tmp_path)
    pairs.images.check()
    assert pairs.images[0].shape == (112, 112, 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 2\n" * 4, r"shape \(4, 2\)"),
        ("1 2 3\n" * 5, r"shape \(5, 3\)"),
        ("1 2\n" * 4 + "1\n", "not five lines"),
        ("1 2\n" * 4 + "x y\n", "not five lines"),
        ("1 2\n" * 5, "lie in one place"),
        ("1 nan\n" * 5, "not finite"),
        ("", "empty"),
    ],
)
def test_broken_landmarks_are_named(tmp_path, text, says):
    root = with_landmarks(make(tmp_path / "cplfw", size=250), "CP")
    pairs = cplfw(root)
    (root / "CP_landmarks" / "Ann_Le-0_1_5loc_attri.txt").write_text(text)
    with pytest.raises(UserError, match=rf"Ann_Le-0_1_5loc_attri.txt: .*{says}"):
        pairs.images[0]


def test_missing_landmarks_are_named_with_the_other_crop(root):
    with pytest.raises(UserError, match=r"CP_landmarks/Ann_Le-0_1_5loc_attri.txt: missing.* crop 'template'"):
        cplfw(root)
    with pytest.raises(UserError, match=r"cplfw.crop: 'x' is none of landmarks, template"):
        cplfw(root, "x")


def test_template_crop_refuses_the_original_pictures(tmp_path):
    pairs = cplfw(make(tmp_path / "cplfw", size=250), "template")
    with pytest.raises(UserError, match=r"Ann_Le-0_1.jpg: is 250x250 pixels, not a 112x112 crop"):
        pairs.images[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop(), r"txt:79: the last picture has no second one"),
        (lambda t: t.pop(0), r"txt:79: the last picture"),
        (lambda t: t[:78], "20 genuine and 19 impostor pairs; expected as many of each"),
        (lambda t: t[2:], "19 genuine and 20 impostor"),
        (lambda t: t[2:42], "19 genuine and 1 impostor"),
        (lambda t: t[2:78], "19 genuine and 19 impostor pairs; .*multiple of ten"),
        (lambda t: ["name same_person"], "0 genuine and 0 impostor"),
        (lambda t: [*t[:39], *t[40:], t[0]], r"txt:40: flag 0, but the pair's first line has flag 1"),
        (lambda t: t.__setitem__(1, "Ann_Le-0_1.jpg 1"), r"txt:2: Ann_Le-0_1.jpg and Ann_Le-0_1.jpg cannot"),
        (lambda t: t.__setitem__(1, "Ann_Le-1_2.jpg 1"), r"txt:2: .* cannot be a genuine pair"),
        (lambda t: t.__setitem__(79, "Ann_Le-19_2.jpg 0"), r"txt:80: .* cannot be an impostor pair"),
        (lambda t: t.__setitem__(1, "Ann_Le-0_2.jpg"), r"txt:2: expected a picture and a flag"),
        (lambda t: t.__setitem__(1, "Ann_Le-0_2.jpg -1"), r"txt:2: expected a picture and a flag"),
        (lambda t: t.__setitem__(1, "../Ann_Le-0_2.jpg 1"), r"txt:2: expected a picture and a flag"),
        (lambda t: t.__setitem__(1, "Ann_Le-0.jpg 1"), r"txt:2: expected a picture and a flag"),
        (lambda t: t.__setitem__(1, ""), r"txt:2: expected a picture and a flag"),
        (lambda t: t.__setitem__(0, "name"), r"txt:1: expected a picture and a flag"),
        (lambda t: t.__setitem__(1, "Ann_Le-0_2.jpg " + "1" * 5000), r"txt:2: expected a picture and a flag"),
    ],
)  # fmt: skip
def test_a_broken_list_is_named(root, change, says):
    text = list(lines())
    after = change(text)
    (root / "pairs_CPLFW.txt").write_text("\n".join(after if isinstance(after, list) else text))
    with pytest.raises(UserError, match=says):
        cplfw(root, "template")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00"])
def test_a_list_that_is_no_text_is_refused(root, content):
    (root / "pairs_CPLFW.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"pairs_CPLFW.txt: (empty|not a text)"):
        cplfw(root, "template")


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_lists_are_refused_or_read_rightly(tmp_path_factory, data):
    """A changed letter may make another list; whatever is read is balanced and agrees with the names."""
    content = bytearray("\n".join(lines()).encode())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] = data.draw(st.one_of(st.sampled_from(b"\0\n\r 019_."), st.integers(0, 255)))
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    insert = data.draw(st.sampled_from([b"", b"\0", b"\xef\xbb\xbf", b"\n", b"9" * 5000]))
    root = tmp_path_factory.getbasetemp()
    (root / "pairs_CPLFW.txt").write_bytes(insert + content[:end])
    try:
        pairs = cplfw(root, "template")
    except UserError as error:
        assert "pairs_CPLFW.txt:" in str(error)
    else:
        assert len(pairs) == 2 * EACH
        for first, second, same, _ in known(pairs):
            assert (first.rsplit("_", 1)[0] == second.rsplit("_", 1)[0]) == same
        for fold in range(10):
            assert pairs.same[pairs.fold == fold].sum() == 2


def test_the_real_cplfw_list(data_root):
    list_file = data_root / "protocols" / "cplfw" / "pairs_CPLFW.txt"
    pairs = cplfw(list_file.parent, "template")
    assert (len(pairs), len(pairs.images), len(set(pairs.people.tolist()))) == (6000, 5984, 2296)
    person = np.array([name.rsplit("_", 1)[0] for name in pairs.images.names])
    assert ((person[pairs.first] == person[pairs.second]) == pairs.same).all()
    folds = []
    for fold in range(10):
        here = pairs.fold == fold
        assert (pairs.same[here].sum(), (~pairs.same[here]).sum()) == (300, 300)
        folds.append({*person[pairs.first[here]], *person[pairs.second[here]]})
    # Nobody is in two folds, as LFW's rules want it, which another dealing would not give.
    assert sum(map(len, folds)) == 2296
    # By hand, of the file's lines: the first pair of the last fold's two kinds.
    text = list_file.read_text().splitlines()
    assert [line.split()[0] for line in text[5401:5403]] == list(known(pairs)[2700][:2])
    assert [line.split()[0] for line in text[11401:11403]] == list(known(pairs)[5700][:2])
    assert known(pairs)[2700][3] == known(pairs)[5700][3] == 9
