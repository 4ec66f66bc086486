"""InsightFace's .bin files: every pickle they come in, the folds, and pickles that mean harm."""

import builtins
import io
import os
import pickle
import struct
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from evenface.data.plain_pickle import ByteArray, load_plain
from evenface.errors import UserError
from evenface.evaluation.embed import FunctionEmbedder
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.protocols.insightface_bin import insightface_bin

from .conftest import GRAY_16, picture, raw_pixels

SAME = [True, False] * 10
PEOPLE = [person for i, same in enumerate(SAME) for person in (i, i if same else i + 50)]
CONTENT = [cv2.imencode(".jpg", picture(person, i % 2, 112))[1].tobytes() for i, person in enumerate(PEOPLE)]


def arrays(contents):
    return [np.frombuffer(content, np.uint8).copy() for content in contents]


FORMS = {
    "bytes": lambda: (CONTENT, SAME),
    "list of two": lambda: [CONTENT, SAME],
    "arrays": lambda: (
        arrays(CONTENT),
        SAME,
    ),  # cv2.imencode's own result, as InsightFace packs AgeDB and CFP
    "columns": lambda: ([row[:, None] for row in arrays(CONTENT)], SAME),
    "read-only arrays": lambda: ([np.frombuffer(content, np.uint8) for content in CONTENT], SAME),
    "NumPy bools": lambda: (CONTENT, [np.bool_(same) for same in SAME]),
    "array of bools": lambda: (CONTENT, np.array(SAME)),
    "0 and 1": lambda: (CONTENT, [int(same) for same in SAME]),
}


def parts(path):
    pairs = insightface_bin(path)
    return [pairs.images[i] for i in range(len(pairs.images))], pairs.same.tolist()


@pytest.fixture
def packed(tmp_path):
    def write(value, protocol=4, name="lfw.bin"):
        path = tmp_path / name
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
        return path

    return write


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("form", FORMS)
def test_every_form_in_every_pickle_protocol_holds_the_same(packed, form, protocol):
    pictures, same = parts(packed(FORMS[form](), protocol))
    assert same == SAME
    for found, content in zip(pictures, CONTENT, strict=True):
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert (found == bgr[:, :, ::-1]).all()


def test_old_and_new_numpy_name_their_functions_alike(packed):
    for protocol in (2, 4, 5):
        new = pickle.dumps((arrays(CONTENT), np.array(SAME)), protocol)
        if protocol == 2:  # names have no length before them, so they can be exchanged
            assert b"numpy._core." in new
            assert parts(packed(new.replace(b"numpy._core.", b"numpy.core.")))[1] == SAME
        assert parts(packed(new))[1] == SAME


def python_2_string(content):
    return b"U" + bytes([len(content)]) + content if len(content) < 256 else b"T" + length(content) + content


def length(content):
    return struct.pack("<i", len(content))


def python_2_array(content, kind=b"u1"):
    """As Python 2.7 with NumPy 1.16 writes it in protocol 2."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05K\x00\x85q\x06U\x01bq\x07\x87q\x08Rq\t"
        + b"(K\x01J" + length(content) + b"\x85q\x0acnumpy\ndtype\nq\x0b" + python_2_string(kind)
        + b"q\x0cK\x00K\x01\x87q\x0dRq\x0e(K\x03U\x01|q\x0fNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
        + b"q\x10b\x89" + python_2_string(content) + b"q\x11tq\x12b"
    )  # fmt: skip


def python_2(items):
    flags = b"".join(b"\x88" if same else b"\x89" for same in SAME)
    return b"\x80\x02]q\x01(" + b"".join(items) + b"e]q\x02(" + flags + b"e\x86q\x03."


@pytest.mark.parametrize("item", [python_2_string, python_2_array])
def test_python_2_pickles_are_read(packed, item):
    assert parts(packed(python_2(map(item, CONTENT))))[1] == SAME
    # The stream above is what Python itself reads so, not only this reader:
    known = pickle.loads(python_2(map(item, CONTENT)), encoding="bytes")
    assert [bytes(one) for one in known[0]] == CONTENT


def test_text_pickles_of_python_2_are_refused_with_the_cure(packed):
    stream = b"((lp1\nS'\\xff\\xd8'\np2\na(lp3\nI01\natp4\n."
    assert pickle.loads(stream, encoding="bytes") == ([b"\xff\xd8"], [True])
    with pytest.raises(UserError, match=r"lfw.bin: .*Python 2 \(pickle protocol 0\); save it .* protocol 2"):
        insightface_bin(packed(stream))


def test_colour_comes_as_rgb_and_names_are_numbers(packed):
    image = np.zeros((112, 112, 3), np.uint8)
    image[:, :, 2] = 200  # red, in OpenCV's order
    content = cv2.imencode(".png", image)[1].tobytes()
    path = packed(([content, *CONTENT[1:]], SAME), name="agedb_30.bin")
    pairs = insightface_bin(path)
    assert pairs.images[0][5, 5].tolist() == [200, 0, 0]
    assert pairs.name == "AgeDB-30 (bin)"
    assert pairs.images.names[:2] == ["0", "1"]
    assert pairs.images.path(7) == path
    assert (pairs.people, pairs.item) == (None, None)
    pairs.images.check()


@pytest.mark.parametrize("count", [20, 23, 29, 60])
def test_folds_are_the_blocks_of_k_fold_without_shuffling(packed, count):
    same = [i % 2 == 0 for i in range(count)]
    pairs = insightface_bin(packed((CONTENT[:1] * 2 * count, same)))
    assert (pairs.first.tolist(), pairs.second.tolist()) == (
        [*range(0, 2 * count, 2)],
        [*range(1, 2 * count, 2)],
    )
    for number, (_, held_out) in enumerate(KFold(10).split(np.arange(count))):
        assert np.flatnonzero(pairs.fold == number).tolist() == held_out.tolist()
    assert pairs.conventions["dealing"] == "10 blocks in the file's order"


def test_blocks_of_one_kind_are_said(packed):
    genuine_first = sorted(SAME, reverse=True)
    pairs = insightface_bin(packed((CONTENT, genuine_first)))
    assert pairs.conventions["dealing"].endswith(", 10 of them with pairs of one kind only")
    with pytest.raises(UserError, match="without its fold 10 there are pairs of one kind only"):
        insightface_bin(packed((CONTENT, [True] * 18 + [False] * 2)))
    with pytest.raises(UserError, match="has genuine pairs only"):
        insightface_bin(packed((CONTENT, [True] * 20)))


def test_an_evaluation_of_the_whole_file(packed):
    raw = FunctionEmbedder(raw_pixels, GRAY_16, "raw pixels")
    (result,) = evaluate(raw, insightface_bin(packed((CONTENT, SAME))))
    assert result["accuracy"].value == 1
    assert result.counts == {"genuine pairs": 10, "impostor pairs": 10, "pictures": 40}
    assert len(result.sha256) == len(result.pictures) == 64


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ((CONTENT[:-1], SAME), "39 pictures and 20 flags; expected two a flag"),
        ((CONTENT[:18], SAME[:9]), "18 pictures and 9 flags"),
        ((CONTENT, SAME, []), "not a pair of a list of pictures and a list of flags"),
        (CONTENT, "not a pair"),
        ((CONTENT[0], SAME), "not a pair"),
        (None, "not a pair"),
        (([*CONTENT[:-1], b""], SAME), "picture 39 is not an encoded picture"),
        (([*CONTENT[:-1], "text"], SAME), "picture 39 is not an encoded picture"),
        ((CONTENT, [*SAME[:-1], 2]), "flag 19 is neither True nor False"),
        ((CONTENT, [*SAME[:-1], None]), "flag 19 is neither True nor False"),
        ((CONTENT, [*SAME[:-1], 1.0]), "the pickle has an object of another kind .opcode BINFLOAT"),
        ((CONTENT, {}), "opcode EMPTY_DICT"),
        ((CONTENT, np.array(SAME, dtype=np.int64)), "NumPy array of type i8; expected uint8 or bool"),
        ((np.array(CONTENT, dtype=object), SAME), "NumPy array of type O8"),
        (b"", "lfw.bin"),
        (b"\xff\xd8\xff", "lfw.bin"),
        (b"\x80\x04N", "lfw.bin"),
    ],
)  # fmt: skip
def test_other_content_is_refused(packed, value, says):
    with pytest.raises(UserError, match=says):
        insightface_bin(packed(value))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.bin: No such file"):
        insightface_bin(tmp_path / "nowhere.bin")


def test_a_broken_picture_is_named_when_it_is_read(packed):
    small = cv2.imencode(".jpg", picture(1, 1, 100))[1].tobytes()
    pairs = insightface_bin(packed(([b"no picture", small, *CONTENT[2:]], SAME)))
    with pytest.raises(UserError, match=r"lfw.bin: picture 0: not a picture"):
        pairs.images[0]
    with pytest.raises(UserError, match=r"lfw.bin: picture 1: is 100x100 pixels"):
        pairs.images[1]


class Calls:
    """What pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def executable(mark):
    """Pickles that create the file `mark` when Python loads them."""
    shell, python = f"touch {mark}", f"open({str(mark)!r}, 'w').close()"
    text = python.encode()
    return {
        "os.system": pickle.dumps(Calls(os.system, shell)),
        "os.system, protocol 0": pickle.dumps(Calls(os.system, shell), 0),
        "eval": pickle.dumps(Calls(builtins.eval, python)),
        "exec": pickle.dumps(Calls(builtins.exec, python), 2),
        "a picture": pickle.dumps(([Calls(builtins.eval, python), *CONTENT[1:]], SAME)),
        "a flag": pickle.dumps((CONTENT, [Calls(builtins.eval, python), *SAME[1:]])),
        "in a NumPy call": pickle.dumps(Calls(np.zeros, Calls(builtins.eval, f"[{python}, 1][1]"))),
        "as bytes": pickle.dumps(Calls(bytes, Calls(builtins.eval, f"[{python}, 1][1]"))),
        "INST": b"(S'" + shell.encode() + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + shell.encode() + b"'\no.",
        "NEWOBJ of a partial": b"\x80\x02cfunctools\npartial\n(cbuiltins\neval\nX" + length(text) + text
        + b"t\x81)R.",
        "a name with a dot": b"\x80\x04\x8c\x06shutil\x8c\x09os.system\x93X" + length(shell)
        + shell.encode() + b"\x85R.",
    }  # fmt: skip


@pytest.mark.parametrize("name", executable("x"))
def test_a_pickle_that_calls_anything_is_refused_and_nothing_runs(packed, tmp_path, name):
    mark = tmp_path / "ran"
    content = executable(mark)[name]
    with pytest.raises(UserError, match=r"which may be harmful|another kind|Python 2"):
        insightface_bin(packed(content))
    assert not mark.exists()
    try:
        pickle.loads(content)
    except Exception as error:
        assert mark.exists(), error
    assert mark.exists()  # so the pickle was a loaded one


ARRAY = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02\x82\x01.",  # EXT1
        b"Pname\n.",  # PERSID
        b"\x80\x02NQ.",  # BINPERSID
        b"\x80\x05\x97.",  # NEXT_BUFFER
        b"\x80\x02]}b.",  # BUILD on a list
        b"\x80\x02c_codecs\nencode\n}b.",
        b"\x80\x02c_codecs\nlookup\nX\x01\x00\x00\x00a\x85R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-8\x86R.",
        b"\x80\x02c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xacX\x06\x00\x00\x00latin1\x86R.",
        b"\x80\x02c_codecs\nencode\nNN\x86R.",
        b"\x80\x02c_codecs\nencode\n)R.",
        b"\x80\x02NN\x86R.",  # a call of nothing
        b"\x80\x02K\x01K\x02R.",
        ARRAY + b"(K\x01K\x05\x85NNNtb.",  # an array without a type
        ARRAY + b"Nb.",
        b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.",
        b"\x80\x02cnumpy\nload\nX\x01\x00\x00\x00x\x85R.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\nNN\x86R.",
        b"\x80\x02h\x05.",  # GET of what was never put
        b"\x80\x02a.",  # an empty stack
        b"\x80\x02(tt.",
        b"\x80\x02(K\x01(0.",
        b"\x80\x02NN.",  # two results
        b"\x80\x02]\x94h\x00a.",  # a list in itself
        b"\x80\x04\x93.",
        b"\x80\x04K\x01K\x02\x93.",
        b"I" + b"9" * 10_000 + b"\n.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",  # LONG4 of 2 GB
    ],
)  # fmt: skip
def test_odd_pickles_are_refused(packed, content):
    with pytest.raises(UserError, match=r"lfw.bin: "):
        insightface_bin(packed(content))


def bombs():
    million = b"a" * 100_000
    text = (
        b"\x80\x02c_codecs\nencode\nq\x00X" + length(million) + million + b"X\x06\x00\x00\x00latin1\x86q\x01R"
    )
    return {
        "BYTEARRAY8": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
        "BINBYTES8": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".",
        "BINBYTES": b"\x80\x03B\xff\xff\xff\xff.",
        "BINUNICODE8": b"\x80\x04\x8d" + struct.pack("<Q", (1 << 64) - 1) + b".",
        "FRAME": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N.",
        "LONG_BINPUT": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "PUT": b"Np" + b"9" * 4000 + b"\n.",
        "one text encoded ten thousand times": text + b"h\x00h\x01R" * 10_000 + b".",
        "marks": b"\x80\x02" + b"(" * 1_000_000 + b".",
        "empty lists": b"\x80\x02(" + b"]" * 1_000_000 + b"l.",
        "nested lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        "nested tuples": b"\x80\x02N" + b"\x85" * 1_000_000 + b".",
        "pairs of pairs": b"\x80\x02]" + b"q\x00h\x00\x86" * 2_000 + b".",
    }


@pytest.mark.parametrize("name", bombs())
def test_a_small_file_never_takes_much_memory(packed, name):
    path = packed(bombs()[name])
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"lfw.bin: "):
            insightface_bin(path)
        assert tracemalloc.get_traced_memory()[1] < 12 * path.stat().st_size + 5_000_000
    finally:
        tracemalloc.stop()


SMALL = ([b"\xff\xd8" + bytes([i]) * 40 for i in range(40)], SAME)
STREAMS = [
    *(pickle.dumps(SMALL, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
    *(pickle.dumps((arrays(SMALL[0]), np.array(SAME)), protocol) for protocol in (2, 4, 5)),
    python_2(map(python_2_array, SMALL[0])),
]


@settings(max_examples=400)
@given(data=st.data())
def test_damaged_files_are_refused_or_hold_pictures_and_flags(tmp_path_factory, data):
    content = bytearray(data.draw(st.sampled_from(STREAMS)))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    path.write_bytes(content[:end])
    try:
        pairs = insightface_bin(path)
    except UserError as error:
        assert "damaged.bin: " in str(error)
    else:
        assert len(pairs.images) == 2 * len(pairs) >= 20


OPCODES = [bytes([code]) for code in range(256)]
PIECES = [
    *(b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"c_codecs\nencode\n", b"cos\nsystem\n"),
    *(b"cnumpy.core.multiarray\n" + name + b"\n" for name in (b"_reconstruct", b"scalar", b"_frombuffer")),
    b"cnumpy.core.numeric\n_frombuffer\n",
    *(b"X\x02\x00\x00\x00u1", b"U\x02b1", b"X\x06\x00\x00\x00latin1", b"C\x01\x01", b"K\x01", b"K\x00"),
    *(bytes([code]) for code in b"\x85\x86\x87(tleaRb])N\x94"),
    *(b"h\x00", b"h\x01"),
]  # fmt: skip


def plain(value, depth=0):
    """Nothing but harmless types, as deep as it is looked at."""
    if isinstance(value, list | tuple) and depth < 5:
        return all(plain(item, depth + 1) for item in value)
    return isinstance(value, list | tuple | bytes | str | bool | int | ByteArray) or value is None or (
        type(value).__name__ == "_Named"
    )  # fmt: skip


@settings(max_examples=1500)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.sampled_from(OPCODES)), max_size=30))
def test_any_row_of_opcodes_gives_plain_values_or_is_refused(pieces):
    try:
        value = load_plain(b"\x80\x02" + b"".join(pieces) + b".")
    except ValueError as error:
        assert not isinstance(error, UserError)
    else:
        assert plain(value)


@settings(max_examples=200)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.binary(), st.text()),
        lambda inner: st.one_of(st.lists(inner), st.lists(inner).map(tuple)),
        max_leaves=20,
    ),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_plain_values_come_as_python_loads_them(value, protocol):
    content = pickle.dumps(value, protocol)
    if b"bytes" in content or b"POP" in content:  # b"" in old protocols is a call of bytes()
        return
    assert load_plain(content) == pickle.loads(content)


def test_the_reader_imports_nothing_of_the_pickle(monkeypatch):
    """Not even the modules that it knows by name."""
    content = pickle.dumps((arrays(CONTENT), SAME), 2)
    asked = []
    known = builtins.__import__
    monkeypatch.setattr(
        builtins, "__import__", lambda name, *a, **named: asked.append(name) or known(name, *a, **named)
    )
    load_plain(content)
    assert not [name for name in asked if name.split(".")[0] in ("numpy", "_codecs")]
    pickle.Unpickler(io.BytesIO(content)).load()
