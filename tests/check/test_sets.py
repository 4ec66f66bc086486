import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.conftest import make_cfp, make_lfw

from evenface.check.sets import NOBODY, benchmark_sets, folder_set
from evenface.errors import UserError
from evenface.evaluation.images import ImageSet
from evenface.evaluation.protocols import cfp, lfw

from .conftest import encoded, picture, write


class Listed:
    """A benchmark of which only the pictures matter here."""

    name, sources, conventions = "Listed", (), {}

    def __init__(self, root: Path, names: list[str], inside: Path | None = None):
        self.images = ImageSet(root, names, lambda i: picture(i), inside)


def owners(pictures) -> dict[str, str]:
    return {
        name: "" if person == NOBODY else pictures.people[person]
        for name, person in zip(pictures.names, pictures.person, strict=True)
    }


def test_a_folder_of_people(clean):
    write(clean / "stray.png", encoded(picture(90), suffix=".png"))
    write(clean / "Bo_Li/deep/er.JPEG", encoded(picture(91)))
    write(clean / "Bo_Li/notes.txt", b"x")
    write(clean / "Bo_Li/.hidden.jpg", b"x")
    write(clean / ".cache/x.jpg", b"x")
    pictures = folder_set(clean)
    assert owners(pictures)["Bo_Li/1.jpg"] == "Bo_Li"
    assert [name for name, owner in owners(pictures).items() if not owner] == [
        "stray.png",
        "Bo_Li/deep/er.JPEG",
    ]
    assert (len(pictures), pictures.passed_over) == (14, Counter({".txt": 1}))
    assert dict(zip(pictures.people, pictures.counts().tolist(), strict=True)) == dict.fromkeys(
        pictures.people, 3
    )


def test_people_are_left_out(clean):
    pictures = folder_set(clean, training=True, without={"Bo_Li", "nobody"})
    assert pictures.people == ["Ana_Ríos", "Cy_Young", "Di_Moss"]
    assert len(pictures) == 9


def test_a_link_that_leads_back_up_ends(clean):
    (clean / "Bo_Li/up").symlink_to(clean, target_is_directory=True)
    assert len(folder_set(clean)) == 12


def test_wrong_folders_are_refused(tmp_path, clean):
    with pytest.raises(UserError, match="not a folder"):
        folder_set(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no pictures in it"):
        folder_set(tmp_path / "empty")
    with pytest.raises(UserError, match=r"^--train: .* one folder deeper"):
        folder_set(tmp_path, training=True)
    assert len(folder_set(tmp_path)) == 12


def test_a_folder_that_cannot_be_opened_is_not_passed_over(clean, monkeypatch):
    own = os.scandir

    def scandir(path):
        if Path(path) == clean / "Bo_Li":
            raise PermissionError(13, "Permission denied", str(path))
        return own(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=f"^{clean / 'Bo_Li'}: cannot be opened .Permission denied.; change"):
        folder_set(clean)


def test_protocols_on_the_same_pictures_are_one_set(tmp_path):
    root = make_cfp(tmp_path)
    (root / "Data/list_name.txt").write_text("\n".join(f"Some {letter} One" for letter in "ABCDEF") + "\n")
    (together,) = benchmark_sets([cfp(root, "ff"), cfp(root, "fp")])
    assert (together.label, len(together), len(together.people)) == ("CFP-FF, CFP-FP", 21, 6)
    assert owners(together)["Data/Images/002/profile/01.jpg"] == "Some B One"


def test_protocols_name_their_pictures_whether_they_are_there_or_not(tmp_path):
    root = make_lfw(tmp_path)
    (root / "images/Person_A/Person_A_0001.jpg").unlink()
    write(root / "images/Person_Z/Person_Z_0001.jpg", encoded(picture(5, 160)))
    (pictures,) = benchmark_sets([lfw(root)])
    assert list(pictures.names) == list(lfw(root).images.names)
    assert owners(pictures)["Person_A/Person_A_0001.jpg"] == "Person_A"
    assert "Person_Z" not in pictures.people


def test_who_is_on_a_benchmarks_picture(tmp_path):
    names = [
        "Ana_Rios/0/0.12.jpg",
        "Bo_Li_0003.jpg",
        "loose/17.jpg",
        "0012.jpg",
        "set/Cy_Young/Cy_Young_7.png",
    ]
    (pictures,) = benchmark_sets([Listed(tmp_path / "absent", names)])
    assert owners(pictures) == {
        "Ana_Rios/0/0.12.jpg": "Ana_Rios",
        "Bo_Li_0003.jpg": "Bo_Li",
        "loose/17.jpg": "loose",
        "0012.jpg": "",
        "set/Cy_Young/Cy_Young_7.png": "Cy_Young",
    }


def test_pictures_in_one_file(tmp_path):
    inside = tmp_path / "set.bin"
    inside.write_bytes(b"x")
    (pictures,) = benchmark_sets([Listed(tmp_path, ["lfw/0", "lfw/1"], inside=inside)])
    assert pictures.path(1) == f"{inside}: lfw/1"
    assert not pictures.is_alone(1)
    assert (pictures.person == NOBODY).all() and pictures.people == []
    images, number = pictures.crops[1]
    assert np.array_equal(images.read(number), picture(1))


def test_the_sheet_of_an_aligned_set_is_none_of_its_pictures(tmp_path):
    for name in ("ann/1.png", "sheet.jpg"):
        write(tmp_path / name, encoded(picture(0)))
    assert sorted(folder_set(tmp_path).names) == ["ann/1.png", "sheet.jpg"]
    (tmp_path / "align.json").write_text("{}")
    assert list(folder_set(tmp_path).names) == ["ann/1.png"]
