import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface import cli
from evenface.errors import UserError
from evenface.evaluation.evaluate import evaluate_stored
from evenface.evaluation.feature_files import write_feature
from evenface.evaluation.metrics import tar_at_far
from evenface.evaluation.protocols.megaface import challenge as protocol
from evenface.evaluation.protocols.megaface.challenge import MegaFace, megaface
from evenface.evaluation.protocols.megaface.files import feature_ending, store_features
from evenface.evaluation.protocols.megaface.lists import locate, read_distractors, read_noises, read_probes
from evenface.evaluation.store import alone

from .conftest import make_lfw, picture, write

PEOPLE = {"Ann Lee": 5, "Bo J. Dee": 3, "Cy-Cy": 1, "Di": 2}
PROBES = [f"{who}/{who}_{n}.png" for who, count in PEOPLE.items() for n in range(count)]
DISTRACTORS = [f"{i % 7}/{i}@N00/{i}_0.jpg" for i in range(150)]
SIZES = (5, 20, 140)
NOISY = (["Ann_Lee_1.png", "Ann_Lee_3.png", "Di_0.png", "Who_7.png"], [3, 4, 17, 100, 101, 139])


def make_megaface(root: Path, sets: int = 1, nested: bool = True) -> Path:
    """11 probes of 4 people, 150 distractors, `sets` random sets of 3 sizes, and noise lists."""
    lists = root / "templatelists"
    lists.mkdir(parents=True)
    (lists / "facescrub_features_list.json").write_text(json.dumps({"id": PROBES, "path": PROBES}))
    for number in range(1, sets + 1):
        rng = np.random.default_rng(number)
        order = rng.permutation(len(DISTRACTORS))
        for size in SIZES:
            order = order if nested else rng.permutation(len(DISTRACTORS))
            names = [DISTRACTORS[i] for i in order[:size]]
            rng.shuffle(names)
            path = lists / f"megaface_features_list.json_{size}_{number}"
            path.write_text(json.dumps({"id": list(range(size)), "path": names}))
    probes, distractors = NOISY
    (root / "facescrub_noises.txt").write_text("#rules\n" + "".join(f"{name}\n" for name in probes))
    lines = [DISTRACTORS[i] if i % 2 else f"{i}\t{DISTRACTORS[i]}" for i in distractors]
    (root / "megaface_noises.txt").write_text("#rules\n" + "".join(f"{line}\n" for line in lines))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_megaface(tmp_path / "megaface")


def embed(benchmark: MegaFace, seed: int = 0, dimension: int = 8) -> np.ndarray:
    """Embeddings in which people are alike, and some distractors are a probe's very twin."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(len(benchmark.images), dimension)) * rng.uniform(
        0.1, 9, (len(benchmark.images), 1)
    )
    centres = rng.normal(size=(benchmark.people.max() + 1, dimension))
    count = len(benchmark.people)
    rows[:count] = centres[benchmark.people] + 0.4 * rng.normal(size=(count, dimension))
    twins = rng.integers(count, len(rows), 2)
    rows[twins] = rows[rng.integers(0, 8, 2)]
    return rows.astype(np.float32)


def slow_megaface(root: Path, rows: dict[str, np.ndarray], noise: str, allowed_far: float):
    """Challenge 1 by double loops over names and a dictionary of embeddings, nothing shared with the package.

    Returns the CMC's hits at each rank of each list, and (TAR, genuine, impostors) of each largest list.
    """
    unit = {
        name: row.astype(np.float64) / np.linalg.norm(row.astype(np.float64)) for name, row in rows.items()
    }
    probes = [name.replace(" ", "_") for name in PROBES]
    noisy_probes = {"Ann_Lee/Ann_Lee_1.png", "Ann_Lee/Ann_Lee_3.png", "Di/Di_0.png"} & set(probes)
    noisy = {DISTRACTORS[i] for i in NOISY[1]}
    person = {name: name.split("/")[0] for name in probes}
    if noise == "drop":
        probes = [name for name in probes if name not in noisy_probes]
    if noise == "insightface":
        clean = {}
        for who in set(person.values()):
            mine = [unit[name] for name in probes if person[name] == who and name not in noisy_probes]
            clean[who] = sum(mine) / np.linalg.norm(sum(mine))
        for name in noisy_probes:
            unit[name] = clean[person[name]]
    cmcs, tars = {}, {}
    for path in sorted((root / "templatelists").glob("megaface*")):
        size, number = map(int, path.name.split("_")[-2:])
        names = json.loads(path.read_text())["path"]
        if noise == "drop":
            names = [name for name in names if name not in noisy]
        hits, searches = np.zeros(100, int), 0
        genuine, impostor = [], []
        for probe in probes:
            others = [
                -1.0 if noise == "insightface" and name in noisy else float(unit[probe] @ unit[name])
                for name in names
            ]
            impostor += others
            for mate in probes:
                if mate == probe or person[mate] != person[probe]:
                    continue
                score = float(unit[probe] @ unit[mate])
                rank = 1 + sum(other >= score for other in others)
                searches += 1
                hits[rank - 1 :] += 1
                if mate > probe:
                    genuine.append(score)
        cmcs[size, number] = hits / searches
        if size == max(SIZES):
            best = 0.0
            for threshold in [*genuine, *impostor, 2.0]:
                if sum(x >= threshold for x in impostor) <= round(allowed_far * len(impostor), 6):
                    best = max(best, sum(x >= threshold for x in genuine) / len(genuine))
            tars[number] = best, genuine, impostor
    return cmcs, tars


def by_name(benchmark: MegaFace, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name.split("/", 1)[1]: row for name, row in zip(benchmark.images.names, rows, strict=True)}


@pytest.mark.parametrize("noise", ["raw", "drop", "insightface"])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("sets", "nested"), [(1, True), (1, False), (3, True)])
def test_every_figure_is_that_of_the_slow_way(tmp_path, monkeypatch, noise, seed, sets, nested):
    monkeypatch.setattr(protocol, "FAR", 0.02)
    root = make_megaface(tmp_path / "megaface", sets, nested)
    benchmark = megaface(root, noise)
    rows = embed(benchmark, seed)
    (result,) = benchmark.score(rows)
    cmcs, tars = slow_megaface(root, by_name(benchmark, rows), noise, 0.02)
    for size in SIZES:
        values = [cmcs[size, number][0] for number in range(1, sets + 1)]
        rate = result[f"rank1@distractors={size}"]
        assert rate.value == pytest.approx(np.mean(values), abs=1e-12)
        assert rate.deviation == (None if sets == 1 else pytest.approx(np.std(values), abs=1e-12))
    for one in result.more["distractor_lists"]:
        np.testing.assert_allclose(one["cmc"], cmcs[one["size"], one["set"]], atol=1e-12)
    np.testing.assert_allclose(
        result.cmc.rates, np.mean([cmcs[140, n] for n in range(1, sets + 1)], axis=0), atol=1e-12
    )
    assert result["tar@far=0.02"].value == pytest.approx(np.mean([tar for tar, _, _ in tars.values()]))
    _, genuine, impostor = tars[1]
    assert result.counts["genuine pairs"] == len(genuine)
    assert result.counts["searches"] == 2 * len(genuine)
    assert result.counts["impostor pairs"] == len(impostor)
    assert result.rates[0].key == "rank1@distractors=140"
    assert 0 < result.rates[0].value <= result["rank1@distractors=5"].value


@pytest.mark.parametrize("reading", ["conservative", "nearest", "interpolated"])
@pytest.mark.parametrize("far", [0.004, 0.02, 0.3])
def test_tar_is_that_of_all_scores_at_once(root, monkeypatch, reading, far):
    """With few impostor pairs kept beyond those that pass, so that most are not."""
    monkeypatch.setattr(protocol, "FAR", far)
    monkeypatch.setattr(protocol, "_SLACK", 20)
    benchmark = megaface(root)
    rows = embed(benchmark)
    _, tars = slow_megaface(root, by_name(benchmark, rows), "raw", far)
    _, genuine, impostor = tars[1]
    expected = tar_at_far(genuine + impostor, [True] * len(genuine) + [False] * len(impostor), far, reading)
    (result,) = benchmark.score(rows, reading)
    rate = result[f"tar@far={far:g}"]
    assert rate.value == pytest.approx(expected.tar)
    assert rate.interval == pytest.approx(expected.interval)
    assert rate.note == expected.note
    assert result.conventions["tar_reading"] == reading


def test_one_in_a_million_of_a_million_pairs(tmp_path):
    """The real FAR: 20 probes x 60,000 distractors, of whose 1,200,000 pairs one may pass."""
    lists = tmp_path / "templatelists"
    lists.mkdir()
    probes = [f"A/A_{i}.jpg" for i in range(10)] + [f"B/B_{i}.jpg" for i in range(10)]
    (lists / "facescrub_features_list.json").write_text(json.dumps({"path": probes}))
    names = [f"0/{i}@N00/{i}_0.jpg" for i in range(60_000)]
    (lists / "megaface_features_list.json_60000_1").write_text(json.dumps({"path": names}))
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60_020, 8)).astype(np.float32)
    rows[:10] += [3, 0, 0, 0, 0, 0, 0, 0]
    rows[10:20] += [0, 3, 0, 0, 0, 0, 0, 0]
    (result,) = megaface(tmp_path).score(rows)
    unit = rows.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    second = np.sort(unit[:20] @ unit[20:].T, axis=None)[-2]
    genuine = [unit[i] @ unit[j] for i in range(20) for j in range(i) if (i < 10) == (j < 10)]
    assert result["tar@far=1e-6"].value == np.mean([score > second for score in genuine])
    assert "rests on too few" in result["tar@far=1e-6"].note
    # Ranks: most mates are beyond rank 100 in this hard set, and the nearer ones are counted exactly.
    scores = unit[:20] @ unit[20:].T
    ranks = [
        1 + int((scores[i] >= unit[i] @ unit[j]).sum())
        for i in range(20)
        for j in range(20)
        if i != j and (i < 10) == (j < 10)
    ]
    assert result.cmc.hits.tolist() == [sum(rank <= r for rank in ranks) for r in range(1, 101)]
    assert 0 < result.cmc.hits[99] < len(ranks)


def test_below_a_million_pairs_the_tar_is_not_measurable(root):
    benchmark = megaface(root)
    (result,) = benchmark.score(embed(benchmark))
    assert np.isnan(result["tar@far=1e-6"].value)
    assert "not measurable: 1,540 impostor pairs" in result["tar@far=1e-6"].note
    json.dumps(result.to_json(), allow_nan=False)


def test_a_tie_is_a_miss_however_far_apart_the_two_stand(root):
    """The distractor is the mate's twin up to its length; in float32 products the two may differ."""
    benchmark = megaface(root)
    rng = np.random.default_rng(4)
    rows = np.empty((151, 512), np.float32)
    rows[:] = rng.normal(size=rows.shape) - 9
    centres = rng.normal(size=(4, 512))
    rows[:11] = centres[benchmark.people]
    rows[:11] += 0.01 * rng.normal(size=(11, 512))
    assert benchmark.score(rows)[0].rates[0].value == 1
    twin = rows.copy()
    twin[60] = 4 * twin[9]  # exact in binary: the same direction
    (result,) = benchmark.score(twin)
    # Probes 9 and 10 are one person's. Probe 10 finds its mate 9 no better than the twin; probe 9 finds the
    # twin better than its mate.
    assert result.counts["searches"] == 28
    assert result.rates[0].value == 26 / 28
    assert result.conventions["ties"] == "a distractor that ties with the mate outranks it"
    nearly = twin.copy()
    nearly[60] -= 0.01 * rows[10]  # a little further from probe 10
    assert benchmark.score(nearly)[0].rates[0].value == 27 / 28


@pytest.mark.parametrize("reading", ["conservative", "nearest"])
def test_embeddings_that_are_all_the_same_find_nothing(root, monkeypatch, reading):
    """All 1,540 impostor pairs tie, of which 35 are kept: none of them may pass alone."""
    monkeypatch.setattr(protocol, "FAR", 0.02)
    monkeypatch.setattr(protocol, "_SLACK", 5)
    benchmark = megaface(root)
    (result,) = benchmark.score(np.ones((151, 4), np.float32), reading)
    assert result.rates[0].value == 0
    assert result["tar@far=0.02"].value == 0


def test_memory_mapped_embeddings_score_the_same(root, tmp_path):
    benchmark = megaface(root)
    rows = embed(benchmark)
    np.save(tmp_path / "rows.npy", rows)
    mapped = benchmark.score(np.load(tmp_path / "rows.npy", mmap_mode="r"))[0]
    assert mapped.to_json() == benchmark.score(rows)[0].to_json()


def test_the_hardest_pairs_are_shown(root):
    benchmark = megaface(root, "drop")
    rows = embed(benchmark)
    (result,) = benchmark.score(rows)
    names = benchmark.images.names
    for pair in result.hardest:
        assert pair.names == (names[pair.first], names[pair.second])
        a, b = rows[pair.first].astype(float), rows[pair.second].astype(float)
        assert pair.score == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)
        assert pair.same == pair.names[1].startswith("facescrub/")
        assert not pair.same or benchmark.people[pair.first] == benchmark.people[pair.second]
    assert [pair.same for pair in result.hardest].count(False) == 12
    assert "facescrub/Ann_Lee/Ann_Lee_1.png" not in {name for pair in result.hardest for name in pair.names}


@pytest.mark.parametrize(
    ("noise", "probes", "distractors", "says"),
    [
        ("raw", 11, 140, "noise lists not used"),
        ("drop", 8, None, "noisy probes and distractors left out"),
        ("insightface", 11, 140, "noisy probes are class centres, noisy distractors out of reach"),
    ],
)
def test_what_noise_does_is_said_with_the_number(root, noise, probes, distractors, says):
    benchmark = megaface(root, noise)
    (result,) = benchmark.score(embed(benchmark))
    assert result.counts["probes"] == probes
    listed = json.loads((root / "templatelists" / "megaface_features_list.json_140_1").read_text())["path"]
    noisy = {DISTRACTORS[i] for i in NOISY[1]}
    assert result.counts["distractors"] == (distractors or 140 - len(noisy & set(listed)))
    assert says in result.headline
    assert (benchmark.noisy.any()) == (noise != "raw")


def test_the_first_sets_nested_lists_are_the_beginnings(root):
    benchmark = megaface(root)
    for one in benchmark.lists:
        assert sorted(one.index) == list(range(one.size))
    assert benchmark.images.names[:2] == [
        "facescrub/Ann_Lee/Ann_Lee_0.png",
        "facescrub/Ann_Lee/Ann_Lee_1.png",
    ]
    assert all(name.startswith("megaface/") for name in benchmark.images.names[11:])


def test_sets_can_be_chosen(tmp_path):
    root = make_megaface(tmp_path / "megaface", sets=3)
    assert {one.number for one in megaface(root, sets=[2]).lists} == {2}
    assert megaface(root, sets=[1, 3]).conventions["distractor sets"] == "1, 3"
    with pytest.raises(UserError, match=r"no megaface_features_list\.json_SIZE_4"):
        megaface(root, sets=[1, 4])


def test_sets_of_different_sizes_are_averaged_where_they_are(tmp_path):
    root = make_megaface(tmp_path / "megaface", sets=2)
    (root / "templatelists" / "megaface_features_list.json_140_2").unlink()
    benchmark = megaface(root)
    (result,) = benchmark.score(embed(benchmark))
    assert result["rank1@distractors=140"].deviation is None
    assert result["rank1@distractors=20"].deviation is not None


def test_the_digest_follows_the_lists(root):
    before = megaface(root).sha256, megaface(root, "drop").sha256
    assert before[0] != before[1]
    noises = root / "megaface_noises.txt"
    noises.write_text(noises.read_text() + "1/2@N00/3_0.jpg\n")
    assert megaface(root).sha256 == before[0]
    assert megaface(root, "drop").sha256 != before[1]


def test_pictures_are_found_however_they_are_spelled(root):
    benchmark = megaface(root)
    spellings = ["Ann_Lee/Ann_Lee_0.png", "Ann Lee/Ann Lee_1.jpg", "Ann_Lee/Ann_Lee_2.jpg"]
    for number, name in enumerate(spellings):
        write(root / "facescrub" / name, picture(0, number, 112))
        assert benchmark.images.path(number) == root / "facescrub" / name
        assert benchmark.images.read(number).shape == (112, 112, 3)
    with pytest.raises(UserError, match=r"Ann_Lee_3\.png: missing and 147 more of 151"):
        benchmark.images.check()
    for index, name in enumerate(benchmark.images.names):
        if not benchmark.images.path(index).is_file():
            write(root / name, picture(1, index, 112))
    benchmark.images.check()
    before = benchmark.images.sha256
    changed = root / benchmark.images.names[50]
    content = changed.read_bytes()
    changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert megaface(root).images.sha256 != before
    write(root / "facescrub" / spellings[1], picture(0, 0, 100))
    with pytest.raises(UserError, match=r"Ann Lee_1\.jpg: is 100x100"):
        benchmark.images.read(1)


def test_feature_files_become_stored_embeddings(root, tmp_path):
    benchmark = megaface(root)
    rows = embed(benchmark)
    for name, row in zip(benchmark.images.names, rows, strict=True):
        spelled = name.replace("Bo_J._Dee", "Bo J. Dee")
        path = tmp_path / "features" / f"{spelled}_r100.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_feature(path, row)
    store_features(benchmark, tmp_path / "features", "_r100.bin", tmp_path / "store")
    (found,) = evaluate_stored(tmp_path / "store", benchmark)
    (expected,) = benchmark.score(rows)
    assert found.rates[:3] == expected.rates[:3]
    assert found.conventions["format"] == "feature files *_r100.bin"
    assert found.model == "features"
    assert feature_ending(tmp_path / "features") == "_r100.bin"
    other = tmp_path / "features" / f"{benchmark.images.names[0]}_r50.bin"
    other.parent.mkdir(exist_ok=True)
    write_feature(other, rows[0])
    with pytest.raises(
        UserError, match=r"several models, \*_r100\.bin, \*_r50\.bin; give each its own folder"
    ):
        feature_ending(tmp_path / "features")
    (tmp_path / "features" / f"{benchmark.images.names[60]}_r100.bin").unlink()
    with pytest.raises(UserError, match=r"_0\.jpg_r100\.bin: No such file"):
        store_features(benchmark, tmp_path / "features", "_r100.bin", tmp_path / "store")
    with pytest.raises(UserError, match="not the stored embeddings"):
        evaluate_stored(tmp_path / "store", benchmark)


def test_two_at_once_do_not_gather_into_one_file(root, tmp_path):
    (tmp_path / "store").mkdir()
    with (
        alone(tmp_path / "store/megaface.npy.part"),
        pytest.raises(UserError, match="another evenface is wr"),
    ):
        store_features(megaface(root), tmp_path, "_r100.bin", tmp_path / "store")


def test_feature_files_are_measured_by_the_command(root, tmp_path, capsys):
    benchmark = megaface(root)
    rows = embed(benchmark)
    features = tmp_path / "features"
    for name, row in zip(benchmark.images.names, rows, strict=True):
        path = features / f"{name}_r100.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_feature(path, row)
    words = ["evaluate", str(features), "--megaface", str(root)]
    assert cli.main([*words, "--store", str(tmp_path / "emb"), "--json", str(tmp_path / "r.json")]) == 0
    (found,) = json.loads((tmp_path / "r.json").read_text())["results"]
    (expected,) = benchmark.score(rows)
    assert found["rates"] == expected.to_json()["rates"]
    assert found["conventions"]["format"] == "feature files *_r100.bin"
    (kept,) = (tmp_path / "emb").iterdir()
    assert cli.main(["evaluate", str(kept), "--megaface", str(root)]) == 0
    assert cli.main(words) == 2
    assert "--store: " in capsys.readouterr().err
    lfw = make_lfw(tmp_path / "lfw")
    assert cli.main(["evaluate", str(features), "--lfw", str(lfw), "--store", "x"]) == 2
    assert "feature files of MegaFace's kit" in capsys.readouterr().err


def test_embeddings_must_fit(root):
    benchmark = megaface(root)
    rows = embed(benchmark)
    with pytest.raises(UserError, match="MegaFace: 150 embeddings for 151 pictures"):
        benchmark.score(rows[1:])
    for row in (2, 77):
        broken = rows.copy()
        broken[row] = np.nan
        with pytest.raises(UserError, match=f"{benchmark.images.names[row]} is all zero or not finite"):
            benchmark.score(broken)


def test_noise_that_leaves_nothing_is_said(root):
    (root / "facescrub_noises.txt").write_text("".join(f"Ann_Lee_{i}.png\n" for i in range(5)))
    benchmark = megaface(root, "insightface")
    with pytest.raises(UserError, match=r"Ann_Lee_0\.png: all probes of this person are in the noise list"):
        benchmark.score(embed(benchmark))
    names = [name.split("/")[1].replace(" ", "_") for name in PROBES]
    (root / "facescrub_noises.txt").write_text("\n".join(names[1:]))
    with pytest.raises(UserError, match="no person has two probes"):
        megaface(root, "drop")
    with pytest.raises(UserError, match=r"megaface\.noise: 'refined' is none of raw, drop, insightface"):
        megaface(root, "refined")
    (root / "megaface_noises.txt").unlink()
    with pytest.raises(UserError, match=r"megaface_noises\.txt: No such file"):
        megaface(root, "drop")
    megaface(root)


def test_all_distractors_in_the_noise_list_find_every_mate(root, monkeypatch):
    monkeypatch.setattr(protocol, "FAR", 0.02)
    (root / "megaface_noises.txt").write_text("\n".join(DISTRACTORS))
    benchmark = megaface(root, "insightface")
    (result,) = benchmark.score(embed(benchmark))
    assert [rate.value for rate in result.rates] == [1, 1, 1, 1]
    assert result.counts["impostor pairs"] == 11 * 140


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\xff", "has no pictures"),
        ("[]", "has no pictures"),
        ('{"path": []}', "has no pictures"),
        ('{"path": "a/b/c.jpg"}', "has no pictures"),
        ('{"id": [1]}', "has no pictures"),
        ('{"path": [3]}', "path 0: expected a picture such as .*, found '3'"),
        ('{"path": ["a/b.jpg"]}', "path 0: expected"),
        ('{"path": ["a//b.jpg"]}', "path 0: expected"),
        ('{"path": ["a/../b.jpg"]}', "path 0: expected"),
        ('{"path": ["a/b/.jpg"]}', "path 0: expected"),
        ('{"path": ["a/b/c"]}', "path 0: expected"),
        ('{"path": ["a/b/c\\n.jpg"]}', "path 0: expected"),
        ('{"path": ["a/b/c\\ud800.jpg"]}', "path 0: expected"),
        ('{"path": ["a/b/c.jpg", "x/a/b/c.jpg"]}', "path 1: twice there"),
        ('{"path": ["a/b/c.jpg"]}', "has 1 pictures where its name says 5"),
    ],
)
def test_a_broken_list_is_named(root, content, says):
    path = root / "templatelists" / "megaface_features_list.json_5_1"
    path.write_bytes(content.encode() if content != "\xff" else b'{"\xff')
    with pytest.raises(UserError, match=r"json_5_1: " + (says if content != "\xff" else "not JSON")):
        megaface(root)


def test_absent_lists_are_named(tmp_path, root):
    with pytest.raises(UserError, match=r"facescrub_features_list\.json: No such file.*copy the development"):
        megaface(tmp_path / "nowhere")
    for path in (root / "templatelists").glob("megaface*"):
        path.unlink()
    with pytest.raises(UserError, match=r"no megaface_features_list\.json_SIZE_SET; copy the development"):
        megaface(root)


names = st.text("aA_. /@\\", max_size=12) | st.sampled_from(["a/b/c.jpg", "x/y/b/c.jpg", "A b/A b_1.png"])


@settings(max_examples=150)
@given(
    paths=st.lists(names, max_size=4)
    | st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    ),
    cut=st.integers(0, 30),
)
def test_any_list_is_read_or_refused_in_a_sentence(tmp_path, paths, cut):
    text = json.dumps({"path": paths})
    path = tmp_path / "facescrub_features_list.json"
    path.write_text(text[: len(text) - max(0, cut - 20)])
    try:
        found = read_probes(path)
    except UserError as error:
        assert "facescrub_features_list.json" in str(error)
        return
    assert len(set(found)) == len(found) == len(paths)
    for name, one in zip(found, paths, strict=True):
        assert name == "facescrub/" + "/".join(one.replace(" ", "_").split("/")[-2:])
        assert len(Path(name).parts) == 3
        assert ".." not in Path(name).parts


def test_real_probes_and_noise_lists_are_read_whole(data_root, tmp_path):
    """3,530 probes of 80 people, of which 24 are in the noise list; 707 noisy distractors."""
    folder = data_root / "protocols" / "megaface"
    listed = [line.split()[0] for line in (folder / "facescrub2template_name.txt").read_text().splitlines()]
    lists = tmp_path / "templatelists"
    lists.mkdir()
    (lists / "facescrub_features_list.json").write_text(json.dumps({"path": listed}))
    lines = (folder / "megaface_noises.txt").read_text().splitlines()
    noisy = list(dict.fromkeys(line for line in lines if not line.startswith("#")))
    clean = [f"0/{i}@N00/{i}_0.jpg" for i in range(1000 - len(noisy))]
    (lists / "megaface_features_list.json_1000_1").write_text(json.dumps({"path": clean + noisy}))
    benchmark = megaface(tmp_path, "drop", noises=folder)
    assert len(benchmark.people) == 3530
    assert benchmark.people.max() + 1 == 80
    assert benchmark.noisy[:3530].sum() == 24
    assert benchmark.noisy[3530:].sum() == len(noisy) == 707
    assert np.bincount(benchmark.people).min() == 27
    # The landmarks are keyed by the same names with spaces: all are found, whichever way they are written.
    points = json.loads((folder / "facescrub_80_landmark5.json").read_text())
    spaced = [f"{key.rpartition('_')[0]}/{key}.png" for key in points]
    (lists / "facescrub_features_list.json").write_text(json.dumps({"path": spaced}))
    found = read_probes(lists / "facescrub_features_list.json")
    assert {name[:-4] for name in found} == {name[:-4] for name in benchmark.images.names[:3530]}
    assert read_noises(folder / "facescrub_noises.txt", found).sum() == 24


def test_a_name_with_dots_is_spelled_whole(tmp_path):
    write(tmp_path / "facescrub" / "J.K. Simmons" / "J.K. Simmons_2.jpg", picture(0, 0, 112))
    assert locate(tmp_path, "facescrub/J.K._Simmons/J.K._Simmons_2.png").name == "J.K. Simmons_2.jpg"


def test_a_stray_file_is_no_list(root):
    (root / "templatelists" / "megaface_features_list.json_5_1.bak").write_text("x")
    (root / "templatelists" / "megaface_features_list.json_05_1").write_text("x")
    assert len(read_distractors(root / "templatelists")[1]) == 3
