"""1:N searches against a slow, obvious implementation; LFW and folders of people as 1:N sets."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenface.errors import UserError
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.images import ImageSet
from evenface.evaluation.protocols import identification
from evenface.evaluation.protocols.identification import DISTRACTOR, IdentificationSet, Search
from evenface.evaluation.protocols.lfw_identification import lfw_identification
from evenface.evaluation.protocols.people_folder import people_folder

from .conftest import make_lfw, picture, write


def unseen(index: int) -> np.ndarray:
    raise AssertionError(f"picture {index} was read")


def a_set(people: list[int], gallery: list[int], probes: list[int], **options: object) -> IdentificationSet:
    names = [f"{i}.png" for i in range(len(people))]
    search = Search("S", np.array(gallery), np.array(probes), {}, **options)
    return IdentificationSet("S", ImageSet(Path("s"), names, unseen), np.array(people), [search], {}, [])


def lists(people: list[int], gallery: list[int], probes: list[int], embeddings: np.ndarray, pooled: bool):
    """Of each probe the candidates (score, is the mate), best first and mates last among equals."""
    unit = [row / np.linalg.norm(row) for row in embeddings.astype(np.float64)]
    templates: dict[object, list[np.ndarray]] = {}
    for i in gallery:
        key = people[i] if pooled and people[i] != DISTRACTOR else ("alone", i)
        templates.setdefault(key, []).append(unit[i])
    owner = {key: people[key[1]] if isinstance(key, tuple) else key for key in templates}
    found = []
    for i in probes:
        candidates = []
        for key, rows in templates.items():
            mean = sum(rows) / len(rows)
            mate = owner[key] == people[i] and people[i] != DISTRACTOR
            candidates.append((float(unit[i] @ mean / np.linalg.norm(mean)), mate))
        found.append(sorted(candidates, key=lambda c: (-c[0], c[1])))
    return found


def slow_precision(flags: list[bool]) -> float:
    """Walk down the list: recall steps up at each mate, by the mean of the precision before and after."""
    area, precision, hits = 0.0, 1.0, 0
    for place, mate in enumerate(flags, start=1):
        hits += mate
        now = hits / place
        if mate:
            area += (precision + now) / 2 / sum(flags)
        precision = now
    return area


def slow_tpir(found, fpir: float) -> float:
    mated = [c for c in found if any(mate for _, mate in c)]
    alone = [c[0][0] for c in found if not any(mate for _, mate in c)]
    best = 0.0
    for threshold in [score for c in found for score, _ in c]:
        if sum(score >= threshold for score in alone) / len(alone) <= fpir:
            best = max(best, sum(c[0][1] and c[0][0] >= threshold for c in mated) / len(mated))
    return best


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_searches_agree_with_sorted_lists(monkeypatch, seed, pooled):
    monkeypatch.setattr(identification, "_PROBES", 7)
    monkeypatch.setattr(identification, "_GALLERY", 11)
    rng = np.random.default_rng(seed)
    strangers = [*rng.integers(20, 25, 25).tolist(), *[DISTRACTOR] * 5]
    people = [*rng.integers(0, 15, 90).tolist(), *[DISTRACTOR] * 20, *strangers]
    # Pictures 0 to 49 and 90 to 109 are the gallery; the last 30 have no mate there.
    order = rng.permutation([*range(50), *range(90, 110)]).tolist()
    probes = rng.permutation([*range(50, 90), *range(110, 140)]).tolist()
    centres = rng.normal(size=(26, 5))
    embeddings = (centres[people] + rng.normal(size=(140, 5))).astype(np.float32)
    chosen = a_set(people, order, probes, pooled=pooled, ranks=(1, 2, 5, 20), average_precision=True)
    (result,) = chosen.score(embeddings)

    found = lists(people, order, probes, embeddings, pooled)
    mated = [[mate for _, mate in c] for c in found if any(mate for _, mate in c)]
    assert 0 < len(mated) < len(found)
    for rank in (1, 2, 5, 20):
        assert result[f"rank{rank}"].value == pytest.approx(np.mean([any(m[:rank]) for m in mated]))
    assert result["map"].value == pytest.approx(np.mean([slow_precision(m) for m in mated]), abs=1e-12)
    low, high = result["map"].interval
    assert 0 <= low < result["map"].value < high <= 1
    for fpir in (0.1, 0.3, 0.9):
        read = identification.tpir_rate(result.open_set, fpir)
        assert read.value == pytest.approx(slow_tpir(found, fpir))
    assert result["tpir@fpir=1e-1"].value == pytest.approx(slow_tpir(found, 0.1))
    assert np.isnan(result["tpir@fpir=1e-2"].value)  # 30 non-mated probes are too few
    assert result.counts == {
        "mated probes": len(mated),
        "non-mated probes": len(found) - len(mated),
        "gallery people": len({people[i] for i in order} - {DISTRACTOR}),
        "gallery pictures": 50,
        "distractors": 20,
    }


def test_a_tie_is_a_miss_wherever_the_equal_rows_stand(monkeypatch):
    monkeypatch.setattr(identification, "_PROBES", 2)
    monkeypatch.setattr(identification, "_GALLERY", 3)
    row = np.random.default_rng(0).normal(size=(1, 77)).astype(np.float32)
    people = [0, 1, 2, 3, 4, 5, 6, 0, 6, 9]
    chosen = a_set(people, list(range(7)), [7, 8, 9])
    (result,) = chosen.score(np.repeat(row, 10, axis=0))
    assert result.cmc.hits.tolist()[:8] == [0, 0, 0, 0, 0, 0, 2, 2]
    assert result.open_set.true_positives.max() == 0
    assert "tie" in result.conventions["ties"]
    mixed = np.repeat(row, 10, axis=0)
    mixed[[2, 5]] *= -1  # two are far, so four are as near as the mate
    (result,) = chosen.score(mixed)
    assert result.cmc.hits.tolist()[:8] == [0, 0, 0, 0, 2, 2, 2, 2]


def test_mates_do_not_stand_in_each_others_way():
    # Probe 5 has the mates 0 and 1 as nearest candidates, then a stranger, then its third mate.
    angle = np.radians([5, 10, 20, 30, 90, 0])
    embeddings = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    chosen = a_set([7, 7, 8, 7, 9, 7], [0, 1, 2, 3, 4], [5], pooled=False, average_precision=True)
    (result,) = chosen.score(embeddings)
    assert result["rank1"].value == 1.0
    assert result["map"].value == pytest.approx((1 + 1 + (3 / 4 + 2 / 3) / 2) / 3)
    assert np.isnan(result["map"].interval[0])  # of one probe


def test_ranks_that_the_gallery_cannot_miss_are_marked():
    chosen = a_set([0, 1, 2, 0], [0, 1, 2], [3])
    (result,) = chosen.score(np.eye(4, dtype=np.float32))
    assert result["rank1"].note == ""
    assert (result["rank5"].value, result["rank5"].note) == (1.0, "the gallery has 3 candidates")
    assert result.open_set is None
    assert "tpir@fpir=1e-1" not in result


def test_a_gallery_of_mates_alone_is_searched():
    (result,) = a_set([4, 4], [0], [1]).score(np.array([[1, 0], [-1, 0.1]], dtype=np.float32))
    assert result["rank1"].value == 1.0


def test_the_digest_is_of_names_and_roles():
    people = [0, 1, 0, 1, 2]

    def digest(chosen: IdentificationSet) -> str:
        return chosen.score(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))[0].sha256

    base = digest(a_set(people, [0, 1], [2, 3]))
    assert base == digest(a_set(people, [0, 1], [2, 3]))
    others = [
        a_set(people, [0, 3], [2, 1]),
        a_set(people, [0, 1], [2, 3, 4]),
        a_set(people, [0, 1, 4], [2, 3]),
    ]
    assert len({base, *map(digest, others), digest(a_set([0, 2, 0, 2, 1], [0, 1], [2, 3]))}) == 5


def test_what_cannot_be_scored_is_said():
    chosen = a_set([0, 1, 0], [0, 1], [2])
    with pytest.raises(UserError, match="2 embeddings for 3 pictures"):
        chosen.score(np.ones((2, 4), dtype=np.float32))
    with pytest.raises(UserError, match=r"1\.png is all zero"):
        chosen.score(np.array([[1.0], [0.0], [1.0]], dtype=np.float32))
    with pytest.raises(UserError, match="no probe shows a person of the gallery"):
        a_set([0, 1, DISTRACTOR, DISTRACTOR], [0, 2], [1, 3])


# LFW


@pytest.fixture
def lfw_singles(tmp_path: Path) -> Path:
    """Six people with three pictures and two with one."""
    root = make_lfw(tmp_path / "lfw")
    for number, name in enumerate(["Aaron_Single", "Zoe_Single"]):
        write(root / "images" / name / f"{name}_0001.jpg", picture(50 + number, 1, 160))
    return root


def roles(chosen: IdentificationSet, search: Search) -> tuple[list[str], list[str], list[str]]:
    """Names of the gallery, of the mated and of the non-mated probes, told by the names alone."""
    gallery = [chosen.images.names[i] for i in search.gallery]
    known = {name.split("/")[0] for name in gallery}
    probes = [chosen.images.names[i] for i in search.probes]
    mated = [name for name in probes if name.split("/")[0] in known]
    return sorted(gallery), sorted(mated), sorted(set(probes) - set(mated))


def test_lfw_is_split_by_its_names(lfw_singles, raw):
    chosen = lfw_identification(lfw_singles)
    several = [f"Person_{letter}" for letter in "ABCDEF"]
    singles = ["Aaron_Single", "Zoe_Single"]
    closed, opened = (roles(chosen, search) for search in chosen.searches)
    assert closed == (
        sorted(f"{name}/{name}_0001.jpg" for name in several + singles),
        sorted(f"{name}/{name}_000{i}.jpg" for name in several for i in (2, 3)),
        [],
    )
    assert opened == (
        [f"{name}/{name}_0001.jpg" for name in several],
        [f"{name}/{name}_0002.jpg" for name in several],
        [f"{name}/{name}_0001.jpg" for name in singles],
    )
    results = evaluate(raw, chosen, batch_size=5)
    assert [result.protocol for result in results] == ["LFW 1:N closed set", "LFW 1:N open set"]
    assert [result["rank1"].value for result in results] == [1.0, 1.0]
    assert "LFW-a fixed crop" in results[0].headline
    json.dumps([result.to_json() for result in results], allow_nan=False)


def test_lfw_by_its_list_of_people_needs_no_pictures(lfw_singles, tmp_path):
    by_folder = lfw_identification(lfw_singles)
    counts = {"Zoe_Single": 1, "Aaron_Single": 1, **{f"Person_{letter}": 3 for letter in "FEDCBA"}}
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "lfw-names.txt").write_text("".join(f"{name}\t{n}\n" for name, n in counts.items()))
    by_list = lfw_identification(bare)
    assert by_list.sources == [bare / "lfw-names.txt"]
    assert list(by_list.images.names) == list(by_folder.images.names)
    rows = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    for a, b in zip(by_list.score(rows), by_folder.score(rows), strict=True):
        assert (a.sha256, a.to_json()["rates"]) == (b.sha256, b.to_json()["rates"])
    with pytest.raises(UserError, match=r"Aaron_Single_0001\.jpg: missing and 19 more"):
        by_list.images.check()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("A 2\nB", r"lfw-names\.txt:2: expected a name and a number"),
        ("A 2\nB 0", r":2: expected a name and a number"),
        ("A 2\nB 1000000000000", r":2: expected a name and a number"),
        ("A 2\nB 1\nA 3", r":3: A stands there twice"),
        ("A 1\nB 1", "two or more pictures and people with one"),
        ("A 2\nB 2", "two or more pictures and people with one"),
    ],
)
def test_broken_lists_of_people(tmp_path, lines, says):
    (tmp_path / "lfw-names.txt").write_text(lines)
    with pytest.raises(UserError, match=says):
        lfw_identification(tmp_path)


@given(st.text(st.sampled_from("AB_ \t\n0123²٣x\x00"), max_size=40))
def test_any_list_of_people_is_read_or_refused(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("names") / "names.txt"
    file.write_text(text, encoding="utf-8")
    try:
        chosen = lfw_identification(file.parent, people=file)
    except UserError as error:
        assert str(file) in str(error)
    else:
        assert len(set(chosen.images.names)) == len(chosen.images)


def test_lfw_with_a_gap_is_refused(lfw_singles, tmp_path):
    (lfw_singles / "images" / "Person_C" / "Person_C_0002.jpg").unlink()
    with pytest.raises(UserError, match=r"Person_C_0002\.jpg: missing among 2"):
        lfw_identification(lfw_singles)
    with pytest.raises(UserError, match=r"no Name/Name_0001\.jpg"):
        lfw_identification(tmp_path / "nowhere")
    with pytest.raises(UserError, match="'close' is none of lfw-a, template"):
        lfw_identification(lfw_singles, crop="close")


def test_the_real_lfw(data_root):
    chosen = lfw_identification(data_root / "lfw")
    assert len(chosen.images) == 13_233
    rows = np.random.default_rng(0).normal(size=(13_233, 16)).astype(np.float32)
    closed, opened = chosen.score(rows)
    assert closed.counts == {
        "mated probes": 7_484,
        "non-mated probes": 0,
        "gallery people": 5_749,
        "gallery pictures": 5_749,
    }
    assert opened.counts == {
        "mated probes": 1_680,
        "non-mated probes": 4_069,
        "gallery people": 1_680,
        "gallery pictures": 1_680,
    }
    # The whole matrix at once, in float64.
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    person = np.array([name.split("/")[0] for name in chosen.images.names])
    search = chosen.searches[1]
    cosine = unit[search.probes] @ unit[search.gallery].T
    same = person[search.probes, None] == person[search.gallery]
    mated = same.any(axis=1)
    rank = (cosine > np.where(same, cosine, -2).max(axis=1, keepdims=True)).sum(axis=1)[mated] + 1
    assert [opened.cmc.hits[r - 1] for r in (1, 5, 10, 100)] == [(rank <= r).sum() for r in (1, 5, 10, 100)]
    strangers = np.sort(cosine[~mated].max(axis=1))[::-1]
    threshold = opened["tpir@fpir=1e-2"].threshold
    assert strangers[40] < threshold
    assert opened["tpir@fpir=1e-2"].value == pytest.approx(
        np.mean((rank == 1) & (cosine[mated].max(axis=1) >= threshold - 1e-7))
    )


# A folder of people


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Person p has p % 4 + 1 pictures, 12 people in all."""
    root = tmp_path / "faces"
    for person in range(12):
        for number in range(person % 4 + 1):
            write(root / f"p{person}" / f"{number}.png", picture(person, number, 40))
    return root


def test_a_folder_is_verified_and_searched(folder, raw):
    chosen = people_folder(folder)
    results = evaluate(raw, chosen, batch_size=7)
    assert [r.protocol for r in results] == [
        f"faces people 1:{x}" for x in ("1", "N closed set", "N open set")
    ]
    verified, closed, opened = results
    assert verified.counts == {
        "genuine pairs": 3 * (0 + 1 + 3 + 6),
        "impostor pairs": 30 * 29 // 2 - 30,
        "people": 12,
        "pictures": 30,
    }
    assert closed.counts["mated probes"] == 18
    assert closed.counts["gallery pictures"] == 12
    assert opened.counts["gallery people"] == 6
    assert opened.counts["mated probes"] + opened.counts["non-mated probes"] + 6 == 30
    assert "6 of 12 people, drawn by seed 0" in opened.conventions["non-mated"]
    assert (verified["auc"].value, closed["rank1"].value, opened["rank1"].value) == (1.0, 1.0, 1.0)
    assert "not measurable" in verified["tar@far=1e-6"].note
    assert len({r.sha256 for r in results}) == 3
    json.dumps([r.to_json() for r in results], allow_nan=False)


def test_all_pairs_of_a_folder_are_counted(folder):
    chosen = people_folder(folder)
    rows = np.random.default_rng(3).normal(size=(30, 4)).astype(np.float32)
    rows += 0.7 * np.random.default_rng(4).normal(size=(12, 4)).astype(np.float32)[chosen.people]
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    person = [name.split("/")[0] for name in chosen.images.names]
    pairs = [(i, j) for i in range(30) for j in range(i)]
    genuine = [float(unit[i] @ unit[j]) for i, j in pairs if person[i] == person[j]]
    impostor = [float(unit[i] @ unit[j]) for i, j in pairs if person[i] != person[j]]
    verified = chosen.score(rows)[0]
    for far, key in ((0.1, "1e-1"), (0.01, "1e-2")):
        tars = [
            np.mean([g >= t for g in genuine])
            for t in genuine + impostor
            if np.mean([x >= t for x in impostor]) <= far
        ]
        assert verified[f"tar@far={key}"].value == pytest.approx(max(tars))


def test_the_gallery_of_a_folder(folder):
    first = people_folder(folder)
    gallery, mated, rest = roles(first, first.searches[0])
    assert gallery == sorted(f"p{person}/0.png" for person in range(12))
    assert (len(mated), rest) == (18, [])
    assert "the first by name" in first.searches[0].conventions["gallery"]
    gallery, mated, strangers = roles(first, first.searches[1])
    out = {name.split("/")[0] for name in strangers}
    assert len(gallery) == len(out) == 6
    assert not out & {name.split("/")[0] for name in gallery}
    assert {f"{p}/0.png" for p in out} <= set(strangers)  # all pictures of a stranger are probes
    again, other = people_folder(folder), people_folder(folder, seed=1)
    assert roles(again, again.searches[1]) == (gallery, mated, strangers)
    assert roles(other, other.searches[1]) != (gallery, mated, strangers)


def test_pictures_of_a_folder_drawn_by_seed_and_pooled(folder):
    chosen = people_folder(folder, enrol=2, draw="random", unknown=0, seed=5)
    (search,) = chosen.searches
    gallery, mated, _ = roles(chosen, search)
    each = {f"p{p}": sum(name.startswith(f"p{p}/") for name in gallery) for p in range(12)}
    assert each == {f"p{p}": min(2, p % 4 + 1) for p in range(12)}
    assert sorted(gallery + mated) == sorted(chosen.images.names)
    first = people_folder(folder, enrol=2, unknown=0)
    assert gallery != roles(first, first.searches[0])[0]
    said = chosen.score(np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32))[1].conventions
    assert "mean of 2" in said["pooling"]
    assert "seed 5" in said["gallery"]
    # Which picture is drawn does not depend on who is left out.
    partly = people_folder(folder, enrol=2, draw="random", seed=5)
    assert (partly.searches[0].gallery == search.gallery).all()


def test_folders_that_give_no_figures(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        people_folder(tmp_path / "nowhere")
    root = tmp_path / "faces"
    for number in (1, 2):
        write(root / "ann" / f"{number}.png", picture(1, number, 40))
    with pytest.raises(UserError, match="holds one person; give a folder with two"):
        people_folder(root)
    write(root / "bob" / "1.png", picture(2, 1, 40))
    assert len(people_folder(root, unknown=0).searches) == 1
    with pytest.raises(UserError, match=r"nobody has more than 2 pictures.*lower --people-enrol"):
        people_folder(root, enrol=2)
    with pytest.raises(UserError, match="choose another share or seed, or 0"):
        people_folder(root, unknown=1)
    (root / "ann" / "2.png").unlink()
    with pytest.raises(UserError, match=r"nobody has more than 1 picture, .*add pictures"):
        people_folder(root)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"enrol": 0}, "--people-enrol: 0"),
        ({"unknown": 1.5}, "--people-unknown: 1.5"),
        ({"unknown": float("nan")}, "--people-unknown: nan"),
        ({"seed": -1}, "people_folder.seed: -1"),
        ({"draw": "last"}, "'last' is none of first, random"),
    ],
)
def test_options_of_a_folder_are_checked(folder, option, says):
    with pytest.raises(UserError, match=says):
        people_folder(folder, **option)
