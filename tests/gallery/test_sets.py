"""The labelled sets, on miniatures."""

import shutil

import numpy as np
import pytest
from tests.evaluation.conftest import make_cfp, make_lfw

from evenface.data import FaceSet
from evenface.errors import UserError
from evenface.evaluation.protocols import cfp, lfw
from evenface.evaluation.protocols.people_folder import people_folder
from evenface.gallery.sets import cfp_set, lfw_set, people_set


def test_a_folder_of_people(people):
    found = people_set(people)
    assert (len(found.images), found.people, found.pairs) == (48, 6, None)
    assert found.labels.tolist() == np.repeat(range(6), 8).tolist()
    assert found.images.read(0).shape == (40, 40, 3)
    found.images.check()


def test_the_list_of_pictures_is_made_once_not_for_each_picture(people, tmp_path, monkeypatch):
    made, paths = [], FaceSet.paths.fget
    monkeypatch.setattr(FaceSet, "paths", property(lambda faces: made.append(1) or paths(faces)))
    (people / "list.txt").write_text("p0/0.png a\np0/1.png a\np3/4.png b\n")
    for images in (
        people_set(people).images,
        people_set(people, people / "list.txt").images,
        lfw_set(make_lfw(tmp_path / "lfw")).images,
        people_folder(people, unknown=0).images,
    ):
        made.clear()
        for index in range(len(images)):
            images.read(index)
        assert not made
    (people / "list.txt").unlink()


def test_a_list_and_where_its_paths_start(people, tmp_path):
    lines = ["p0/0.png a", "p0/1.png a", "p3/4.png b"]
    (people / "list.txt").write_text("\n".join(lines))
    shutil.move(people / "list.txt", tmp_path / "list.txt")
    found = people_set(people, tmp_path / "list.txt")
    assert found.labels.tolist() == [0, 0, 1] and found.sources == [tmp_path / "list.txt"]
    assert (found.images.read(2) == people_set(people).images.read(28)).all()

    (tmp_path / "list.txt").write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(UserError, match=r"p0/1.png is listed more than once"):
        people_set(people, tmp_path / "list.txt")


def test_mistakes_are_told_in_this_commands_words(tmp_path, people):
    with pytest.raises(UserError, match="name a folder of people"):
        people_set(None)
    with pytest.raises(UserError, match=r"^--people: .*nowhere is not a folder"):
        people_set(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"^--people: no images .* Give the folder above$"):
        people_set(people / "p0")
    (tmp_path / "list.txt").write_text("p0/0.png a\n")
    with pytest.raises(UserError, match="Use --people DIR to start them"):
        people_set(None, tmp_path / "list.txt")
    with pytest.raises(UserError, match=r"^--list: .*none.txt"):
        people_set(None, tmp_path / "none.txt")


def test_lfw_all_and_official(tmp_path):
    root = make_lfw(tmp_path / "lfw")
    everything, official, listed = lfw_set(root), lfw_set(root, pairs="official"), lfw(root)
    assert (len(everything.images), everything.people, everything.pairs) == (18, 6, None)
    assert everything.crop == official.crop == "LFW-a fixed crop"
    assert official.sources == [root / "pairs.txt"] and list(official.images.names) == list(
        listed.images.names
    )
    first, second = official.pairs.T
    assert (first == listed.first).all() and (second == listed.second).all()
    assert ((official.labels[first] == official.labels[second]) == listed.same).all()
    name = official.images.names[3]
    again = everything.images.read(list(everything.images.names).index(name))
    assert (official.images.read(3) == again).all() and again.shape == (112, 112, 3)
    for found in (everything, official):
        who = [name.split("/")[0] for name in found.images.names]
        assert (np.unique(who, return_inverse=True)[1] == found.labels).all()


def test_cfp_all_and_official(tmp_path):
    root = make_cfp(tmp_path / "cfp")
    everything, official = cfp_set(root), cfp_set(root, pairs="official")
    assert (len(everything.images), everything.people) == (24, 6)
    assert (np.bincount(everything.labels) == 4).all()
    listed = [cfp(root, "ff"), cfp(root, "fp")]
    assert len(official.pairs) == sum(map(len, listed))
    names = [[official.images.names[i] for i in pair] for pair in official.pairs]
    expected = [
        [one.images.names[a], one.images.names[b]]
        for one in listed
        for a, b in zip(one.first, one.second, strict=True)
    ]
    assert names == expected and len(set(official.images.names)) == len(official.images)
    same = np.concatenate([one.same for one in listed])
    assert ((official.labels[official.pairs[:, 0]] == official.labels[official.pairs[:, 1]]) == same).all()
    place = list(everything.images.names).index(official.images.names[-1])
    assert (everything.images.read(place) == official.images.read(len(official.images) - 1)).all()
