import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.data.writers.folder import BESIDE, LONGEST, RENAMED, FolderWriter, read_renamed
from evenface.errors import UserError


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def written(root: Path, people: dict[str, list[str]]) -> dict[str, bytes]:
    writer = FolderWriter(root, list(people))
    for label, names in enumerate(people.values()):
        for number, name in enumerate(names):
            writer.add(label, name, f"{label} {number}".encode())
    writer.close()
    return files(root)


def test_plain_names_stay(tmp_path: Path) -> None:
    people = {"Ann Lee": ["1.jpg", "a b~2.PNG"], "Zoë": ["é.jpg", "100%.png", "a%2Fb.jpg"], "100%": ["x"]}
    found = written(tmp_path, people)
    assert found == {
        f"{person}/{name}": f"{label} {number}".encode()
        for label, (person, names) in enumerate(people.items())
        for number, name in enumerate(names)
    }
    assert read_renamed(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("../../etc/.passwd.jpg", "%2Epasswd.jpg"),
        ("/", "%"),
        ("..", "%2E."),
        (".", "%2E"),
        ("", "%"),
        (".jpg", "%.jpg"),
        (".hidden.jpg", "%2Ehidden.jpg"),
        ("a/..", "%2E."),
        ("a\\..\\b.jpg", "a%5C..%5Cb.jpg"),
        ("a\0b.jpg", "a%00b.jpg"),
        ("a\nb%.jpg", "a%0Ab%25.jpg"),
        ("\udcff.jpg", "%ED%B3%BF.jpg"),
    ],
)
def test_unsafe_names_are_percent_encoded_and_told(tmp_path: Path, name: str, stored: str) -> None:
    root = tmp_path / "out"
    found = written(root, {"ann": [name]})
    told = found.pop(RENAMED)
    assert found == {f"ann/{stored}": b"0 0"}
    assert json.loads(told) == {"stored": f"ann/{stored}", "was": name.rpartition("/")[2]}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("identity", ["..", "/etc", "a/../..", "\\\\host", "C:\0", "", ".git", "x" * 300])
def test_unsafe_people_stay_inside(tmp_path: Path, identity: str) -> None:
    root = tmp_path / "out"
    (folder,) = {Path(path).parts[0] for path in written(root, {identity: ["1.jpg"]})} - {RENAMED}
    assert (root / folder / "1.jpg").read_bytes() == b"0 0"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert not folder.startswith(".")
    assert read_renamed(root) == {folder: identity}


def test_names_that_some_file_system_takes_for_one_get_numbers(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    people = {
        "ann": ["1.jpg", "1.jpg", "1.JPG", "1~2.jpg", "x/1.jpg", composed, apart],
        "Ann": ["1.jpg"],
        **{name: ["1.jpg"] for name in BESIDE},
    }
    found = written(tmp_path, people)
    told = {k: v for k, v in read_renamed(tmp_path).items() if k.startswith("ann/")}
    assert told == {
        "ann/1~2.jpg": "1.jpg",
        "ann/1~3.JPG": "1.JPG",
        "ann/1~2~2.jpg": "1~2.jpg",
        "ann/1~4.jpg": "1.jpg",
        f"ann/{apart[:-4]}~2.jpg": apart,
    }
    del found[RENAMED]
    assert sorted(found.values()) == sorted(
        [b"0 %d" % i for i in range(7)] + [b"%d 0" % i for i in range(1, 5)]
    )
    assert found["Ann~2/1.jpg"] == b"1 0"
    assert found["checksum.json~2/1.jpg"] == b"2 0"
    assert len({path.casefold() for path in found}) == len(found)


def test_long_names_are_cut_and_stay_apart(tmp_path: Path) -> None:
    names = ["é" * 200 + end + ".jpg" for end in "ab"] + ["\0" * 100 + ".png", "w" * (LONGEST - 4) + ".jpg"]
    found = written(tmp_path, {"ann": names})
    del found[RENAMED]
    stored = {Path(path).name: content for path, content in found.items()}
    assert len(stored) == 4
    assert all(len(name.encode()) <= LONGEST for name in stored)
    assert stored[names[3]] == b"0 3"
    assert sorted(read_renamed(tmp_path).values()) == sorted(names[:3])


def test_people_come_one_after_the_other(tmp_path: Path) -> None:
    writer = FolderWriter(tmp_path, ["ann", "bob"])
    writer.add(1, "1.jpg", b"x")
    with pytest.raises(ValueError, match="person 0 comes after person 1"):
        writer.add(0, "1.jpg", b"x")


@pytest.mark.parametrize("stop", range(7))
def test_it_goes_on_from_a_state_as_if_never_stopped(tmp_path: Path, stop: int) -> None:
    pictures = [(0, "1.jpg"), (0, "x/1.jpg"), (0, "1.JPG"), (1, "\0"), (2, "1.jpg"), (2, "1.jpg")]
    identities = ["ann", "a/b", "bob"]

    def add(writer: FolderWriter, part: slice) -> None:
        for i in range(*part.indices(6)):
            writer.add(*pictures[i], b"%d" % i)

    whole = FolderWriter(tmp_path / "whole", identities)
    add(whole, slice(None))
    whole.close()
    first = FolderWriter(tmp_path / "parts", identities)
    add(first, slice(stop))
    state = json.loads(json.dumps(first.state()))
    add(first, slice(stop, stop + 2))  # lost, and torn
    first.close()
    for path in (tmp_path / "parts").rglob("*.jpg"):
        if path.read_bytes() in (b"%d" % stop, b"%d" % (stop + 1)):
            path.write_bytes(b"")
    again = FolderWriter(tmp_path / "parts", identities, state)
    add(again, slice(stop, None))
    again.close()
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_a_lost_or_damaged_list_of_names_is_said(tmp_path: Path) -> None:
    writer = FolderWriter(tmp_path, ["a/b"])
    state = writer.state()
    writer.close()
    (tmp_path / RENAMED).write_bytes(b"{")
    with pytest.raises(UserError, match=r"renamed\.jsonl: damaged; convert"):
        read_renamed(tmp_path)
    (tmp_path / RENAMED).write_bytes(b'{"stored": "a", "was": 1}')
    with pytest.raises(UserError, match=r"renamed\.jsonl: damaged; convert"):
        read_renamed(tmp_path)
    (tmp_path / RENAMED).unlink()
    with pytest.raises(UserError, match=r"renamed\.jsonl: shorter than it was; delete"):
        FolderWriter(tmp_path, ["a/b"], state)


ANY = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(
    ["..", "a/b", "A", "a", ".x", "~", "~2", "a~2", "%", "a%00", "x" * 300, "\udc80", "ﬁ", "FI", *BESIDE]
)


@settings(max_examples=150)
@given(people=st.dictionaries(ANY, st.lists(ANY, min_size=1, max_size=4), min_size=1, max_size=4))
def test_whatever_the_names_nothing_is_lost_or_outside(
    tmp_path_factory: pytest.TempPathFactory, people: dict[str, list[str]]
) -> None:
    above = tmp_path_factory.mktemp("any")
    root = above / "out"
    found = written(root, people)
    found.pop(RENAMED, None)
    names = read_renamed(root)
    assert [p.name for p in above.iterdir()] == ["out"]
    back: dict[str, list[tuple[bytes, str]]] = {}
    for path, content in found.items():
        folder, file = path.split("/")
        assert not file.startswith(".")
        back.setdefault(names.get(folder, folder), []).append((content, names.get(path, file)))
    assert {who: [name for _, name in sorted(got)] for who, got in back.items()} == {
        who: [name.rpartition("/")[2] for name in own] for who, own in people.items()
    }
    assert len({unicodedata.normalize("NFC", path).casefold() for path in found}) == len(found)
