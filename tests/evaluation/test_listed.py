"""Pairs of one's own: the two forms of a list, the folds, and what a list may get wrong."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.errors import UserError
from evenface.evaluation.embed import FunctionEmbedder
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.protocols.listed import listed

from .conftest import GRAY_16, picture, raw_pixels, write

PAIRS = [(f"p{i}/1.png", f"p{i}/2.png" if i % 3 else f"p{i + 50}/1.png", bool(i % 3)) for i in range(36)]
"""24 genuine and 12 impostor pairs, mixed."""


def plain(pairs=PAIRS):
    return "".join(f"{a} {b} {same:d}\n" for a, b, same in pairs)


@pytest.fixture
def listing(tmp_path):
    def make(text, name="mine.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def known(pairs):
    names = pairs.images.names
    return [
        (names[a], names[b], bool(same))
        for a, b, same in zip(pairs.first, pairs.second, pairs.same, strict=True)
    ]


def test_plain_lines_dealt_by_turns_within_each_kind(listing):
    pairs = listed(listing(plain()))
    assert (pairs.name, known(pairs), pairs.people) == ("mine", PAIRS, None)
    turn = {True: 0, False: 0}
    for (*_, same), fold in zip(PAIRS, pairs.fold, strict=True):
        assert fold == turn[same] % 10
        turn[same] += 1
    assert pairs.conventions == {
        "crop": "pictures already on the template",
        "dealing": "by turns to 10 folds within each kind",
    }


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_blank_lines_and_comments_are_passed_over(listing, mark, end):
    text = "# mine\n\n" + plain().replace(" ", "\t  ").replace("\n", "\n\n  # note\n")
    assert known(listed(listing((mark + text.replace("\n", end)).encode()))) == PAIRS


def test_csv_with_and_without_a_header_and_quotes(listing):
    bare = plain().replace(" ", ",")
    assert known(listed(listing(bare, "a.csv"))) == PAIRS
    assert known(listed(listing("a,b,same\n" + bare, "b.CSV"))) == PAIRS
    turned = "same, b ,a\n" + "".join(f'{same:d} , "{b}","{a}"\n' for a, b, same in PAIRS)
    assert known(listed(listing(turned, "c.csv"))) == PAIRS
    odd = [(f'x, "{a}"', f"#{b}", same) for a, b, same in PAIRS]
    file = io.StringIO()
    csv.writer(file).writerows([(a, b, int(same)) for a, b, same in odd])
    assert known(listed(listing(file.getvalue(), "d.csv"))) == odd


@pytest.mark.parametrize("header", ["a,b,same,fold\n", ""])
def test_given_folds_keep_their_pairs_together_whatever_their_numbers(listing, header):
    numbers = [(i // 3) % 4 * 7 + 2 for i in range(len(PAIRS))]
    rows = [f"{a},{b},{same:d},{fold}\n" for (a, b, same), fold in zip(PAIRS, numbers, strict=True)]
    pairs = listed(listing(header + "".join(rows), "mine.csv"))
    assert pairs.fold.tolist() == [(number - 2) // 7 for number in numbers]
    assert pairs.conventions["dealing"] == "by the list's column fold"


def test_one_fold_is_none(listing):
    pairs = listed(listing(plain().replace(" ", ",").replace("\n", ",3\n"), "mine.csv"))
    assert not pairs.fold.any()
    assert pairs.conventions["dealing"] == "no folds: one value in the column fold"


def test_people_are_known_only_where_columns_name_them(listing):
    def person(path):
        return path.split("/")[0]

    rows = [f"{person(b)},{a},{same:d},{person(a)},{b}\n" for a, b, same in PAIRS]
    pairs = listed(listing("person_b,a,same,person_a,b\n" + "".join(rows), "mine.csv"))
    names = np.array([person(name) for name in pairs.images.names])
    assert ((names[:, None] == names) == (pairs.people[:, None] == pairs.people)).all()


def test_a_short_list_has_no_folds_and_no_accuracy(listing, tmp_path):
    for index, person in enumerate(["a", "a", "b", "b"]):
        write(tmp_path / "pictures" / f"{person}{index}.png", picture(ord(person), index, 112))
    file = listing("a0.png a1.png 1\nb2.png b3.png 1\na0.png b2.png 0\n")
    pairs = listed(file, tmp_path / "pictures")
    assert pairs.fold.tolist() == [0, 0, 0]
    (result,) = evaluate(FunctionEmbedder(raw_pixels, GRAY_16, "raw"), pairs)
    assert "accuracy" not in result
    assert result["auc"].value == 1
    assert result.conventions["dealing"] == "no folds: fewer than 10 pairs of a kind"


def test_paths_start_from_the_lists_folder_or_the_given_one(listing, tmp_path):
    file = listing(plain())
    with pytest.raises(UserError, match=str(tmp_path / "p0" / "1.png")):
        listed(file).images.check()
    with pytest.raises(UserError, match=r"else/p0/1.png: missing and 71 more"):
        listed(file, tmp_path / "else").images.check()
    write(tmp_path / "p0" / "1.png", picture(0, 0, 100))
    with pytest.raises(UserError, match=r"p0/1.png: is 100x100 pixels"):
        listed(file).images[0]


PEOPLE = "a,b,same,person_a,person_b\n"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("x.txt", "a b\n", r"x.txt:1: expected 3 fields \(a, b, same\), found \['a', 'b'\]"),
        ("x.txt", "a b 1\nc d 1 3\n", r"x.txt:2: expected 3 fields"),
        ("x.txt", "# a\n\na b 2\n", r"x.txt:3: same: expected 1 or 0, found '2'"),
        ("x.txt", "a b -1\n", r"x.txt:1: same: expected 1 or 0"),
        ("x.txt", "a b True\n", r"x.txt:1: same: expected 1 or 0"),
        ("x.txt", "a a 1\n", r"x.txt:1: 'a' is paired with itself"),
        ("x.txt", "a b\0 1\n", r"x.txt:1: b: expected a picture's path, found 'b\\x00'"),
        ("x.txt", "a b 1\n# c\na c 0\nb a 0\n", r"x.txt:4: same is 0 of 'b' and 'a', but 1 on line 1"),
        ("x.txt", "# nothing\n", "x.txt: lists no pair"),
        ("x.txt", "a b 1\n", "has genuine pairs only"),
        ("x.txt", "a b 0\nc d 0\n", "has impostor pairs only"),
        ("x.csv", "a b 1\n", r"x.csv:1: expected 3 fields"),
        ("x.csv", "a,b,1,2,3\n", r"x.csv:1: expected 3 fields"),
        ("x.csv", "a,b,1\nc,d,0,4\n", r"x.csv:2: expected 3 fields"),
        ("x.csv", "a,b,1,4\nc,d,0\n", r"x.csv:2: expected 4 fields \(a, b, same, fold\)"),
        ("x.csv", 'a,"b,1\nc,d,0\n', r"x.csv:1: not a line of a CSV"),
        ("x.csv", 'a,"b"c,1\n', r"x.csv:1: not a line of a CSV"),
        ("x.csv", "a,,1\n", r"x.csv:1: b: expected a picture's path"),
        ("x.csv", "a,b,same\n", "x.csv: lists no pair"),
        ("x.csv", "a,b,same,folds\n", r"x.csv:1: column: 'folds' is not known; did you mean 'fold'"),
        ("x.csv", "a,same\n", r"x.csv:1: expected the columns a, b and same, each once"),
        ("x.csv", "a,b,same,a\n", r"x.csv:1: expected the columns a, b and same, each once"),
        ("x.csv", "a,b,same,person_a\n", r"x.csv:1: expected both person_a and person_b"),
        ("x.csv", "a,b,1,x\n", r"x.csv:1: fold: expected a number such as 1, found 'x'"),
        ("x.csv", "a,b,1,-1\n", r"x.csv:1: fold: expected a number"),
        ("x.csv", "a,b,1," + "9" * 5000 + "\n", r"x.csv:1: fold: expected a number"),
        ("x.csv", "a," + "b" * 200_000 + ",1\n", r"x.csv:1: not a line of a CSV"),
        ("x.csv", PEOPLE + "a,b,1,x,\n", r"x.csv:2: person_b: empty"),
        ("x.csv", PEOPLE + "a,b,1,x,y\n", r"x.csv:2: same is 1, but the people are 'x' and 'y'"),
        ("x.csv", PEOPLE + "a,b,0,x,x\n", r"x.csv:2: same is 0, but the people are 'x' and 'x'"),
        ("x.csv", PEOPLE + "a,b,1,x,x\na,c,1,y,y\n", r"x.csv:3: 'a' shows 'y' here and 'x' above"),
        ("x.csv", "a,b,1,1\nc,d,1,1\ne,f,0,2\ng,h,1,2\n", "without its fold 2 there are pairs of one kind"),
        ("x.txt", "", "x.txt: empty"),
        ("x.txt", b"\xff\xfea", "x.txt: not a text file"),
    ],
)
def test_a_broken_list_is_named(listing, name, text, says):
    with pytest.raises(UserError, match=says):
        listed(listing(text, name))


@settings(max_examples=400)
@given(data=st.data())
def test_damaged_lists_are_refused_or_read_as_a_reader_by_hand_reads_them(tmp_path_factory, data):
    is_csv = data.draw(st.booleans())
    content = bytearray(("a,b,same\n" + plain().replace(" ", ",") if is_csv else plain()).encode())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] = data.draw(st.one_of(st.sampled_from(b'\0\n\r 01,"#\t'), st.integers(0, 255)))
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    front = data.draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\n", b"#" + b"9" * 5000]))
    file = tmp_path_factory.getbasetemp() / ("damaged.csv" if is_csv else "damaged.txt")
    file.write_bytes(front + content[:end])
    try:
        pairs = listed(file)
    except UserError as error:
        assert file.name in str(error)
        return
    text = file.read_bytes().decode("utf-8-sig")
    rows = [line.strip() for line in text.splitlines()]
    rows = [line for line in rows if line and not line.startswith("#")]
    if not is_csv:
        assert known(pairs) == [(a, b, same == "1") for a, b, same in map(str.split, rows)]
    elif '"' not in text:
        cells = [[cell.strip() for cell in line.split(",")] for line in rows]
        if set(cells[0]) == {"a", "b", "same"}:
            order = [cells[0].index(name) for name in ("a", "b", "same")]
            cells = [[row[i] for i in order] for row in cells[1:]]
        assert known(pairs) == [(a, b, same == "1") for a, b, same, *_ in cells]


@settings(max_examples=300)
@given(st.one_of(st.text(), st.binary(), st.text("ab,01\n #\"'\t")), st.booleans())
def test_anything_at_all_is_refused_or_a_list(tmp_path_factory, content, is_csv):
    file = tmp_path_factory.getbasetemp() / ("any.csv" if is_csv else "any.txt")
    file.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    try:
        pairs = listed(file)
    except UserError as error:
        assert file.name in str(error)
    else:
        assert len(pairs) >= 2
