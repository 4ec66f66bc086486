import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenface.data import FaceSet, read_list, read_names
from evenface.errors import UserError

EOL = st.sampled_from(["\n", "\r\n"])
# Any character but those that end a line, part fields, or cannot be written as UTF-8.
CHARACTERS = st.characters(exclude_characters="\n\r \t\0\ufeff", exclude_categories=["Cs"])
WORD = st.text(CHARACTERS, min_size=1, max_size=6)
PHRASE = st.lists(WORD, min_size=1, max_size=3).map(" ".join).filter(lambda text: not text.startswith("#"))
NOISE = st.sampled_from(["", "  ", "# comment", "\t# a b"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("list")


def write(folder: Path, text: str, name: str = "list.txt") -> Path:
    file = folder / name
    file.write_bytes(text.encode())
    return file


def pairs(faces: FaceSet) -> list[tuple[Path, str]]:
    return [(path, faces.identities[label]) for path, label in zip(faces.paths, faces.labels, strict=True)]


@given(st.lists(st.tuples(PHRASE, WORD, NOISE), min_size=1), EOL, st.sampled_from([" ", "\t", "  \t"]))
def test_any_paths_and_labels_come_back(
    folder: Path, rows: list[tuple[str, str, str]], eol: str, gap: str
) -> None:
    (folder / "first.jpg").touch()
    rows = [("first.jpg", "someone", ""), *rows]
    file = write(folder, eol.join(f"{noise}{eol} {path}{gap}{label} " for path, label, noise in rows))
    assert pairs(read_list(file)) == [(folder / path, label) for path, label, _ in rows]


def test_paths_start_from_the_list_or_from_root(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a b.jpg").touch()
    expected = [(tmp_path / "images" / "a b.jpg", "7")]
    assert pairs(read_list(write(tmp_path, "images/a b.jpg 7"))) == expected
    assert pairs(read_list(write(tmp_path, "a b.jpg 7"), tmp_path / "images")) == expected
    assert pairs(read_list(write(tmp_path, f"{tmp_path}/images/a b.jpg 7"), Path("elsewhere"))) == expected


def test_a_byte_order_mark_is_no_part_of_the_first_path(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert pairs(read_list(write(tmp_path, "\ufeffa.jpg 7"))) == [(tmp_path / "a.jpg", "7")]


def test_a_line_without_a_label_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    file = write(tmp_path, "# two people\r\na.jpg 1\r\nb.jpg\r\n")
    with pytest.raises(UserError, match=rf"^{file}, line 3: expected .* found 'b.jpg'$"):
        read_list(file)


def test_a_missing_first_image_tells_of_root(tmp_path: Path) -> None:
    file = write(tmp_path, "\na.jpg 1")
    with pytest.raises(
        UserError, match=rf"line 2: there is no image {tmp_path}/a.jpg; .* Use --data.root DIR"
    ):
        read_list(file)


@pytest.mark.parametrize("read", [read_list, read_names])
def test_files_that_cannot_be_read(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(UserError, match=r"^data\.(list|exclude): .*/none.txt: No such file"):
        read(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes("a 1\nJosé 2".encode("latin-1"))
    with pytest.raises(UserError, match=r"^data\.(list|exclude): .*/latin.txt, line 2: not UTF-8"):
        read(tmp_path / "latin.txt")


def test_a_list_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.list: .* lists no image"):
        read_list(write(tmp_path, "# nothing\n\n"))


@given(st.lists(st.tuples(PHRASE, NOISE)), EOL)
def test_any_names_come_back(folder: Path, rows: list[tuple[str, str]], eol: str) -> None:
    file = write(folder, eol.join(f"{noise}{eol}{name} " for name, noise in rows), "names.txt")
    assert read_names(file) == {name for name, _ in rows}


@given(st.lists(PHRASE), EOL, st.booleans())
def test_any_names_come_back_from_csv(folder: Path, names: list[str], eol: str, header: bool) -> None:
    file = folder / "names.CSV"
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator=eol)
        if header:
            writer.writerow(["number", "identity"])
        writer.writerows([str(i), name] if header else [name, str(i)] for i, name in enumerate(names))
    if header or "identity" not in names[:1]:
        assert read_names(file) == set(names)


def test_csv_without_the_column_takes_the_first(tmp_path: Path) -> None:
    assert read_names(write(tmp_path, 'ann,1\n"b, c",2\n\n,3\n', "names.csv")) == {"ann", "b, c"}


def test_csv_by_name_only(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.exclude: .*/names.csv: not a .csv: field larger"):
        read_names(write(tmp_path, '"' + "x" * 200_000, "names.csv"))
