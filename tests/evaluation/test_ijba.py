"""IJB-A on ten small splits made here, against loops in float64."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.errors import UserError
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.protocols.ijb.a import Ijba, ijba
from evenface.evaluation.protocols.ijb.nist import read_templates
from evenface.evaluation.protocols.ijb.pairs import read_matches
from evenface.evaluation.results import Result

from .conftest import picture, write
from .test_ijb import slow_tar
from .test_templates import slow_pool

HEADER = (
    "TEMPLATE_ID,SUBJECT_ID,FILE,MEDIA_ID,SIGHTING_ID,FRAME,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT,RIGHT_EYE_X,"
    "RIGHT_EYE_Y,LEFT_EYE_X,LEFT_EYE_Y,NOSE_BASE_X,NOSE_BASE_Y,FACE_YAW,FOREHEAD_VISIBLE,EYES_VISIBLE,"
    "NOSE_MOUTH_VISIBLE,INDOOR,GENDER,SKIN_TONE,AGE,FACIAL_HAIR"
)
KNOWN, UNKNOWN = 9, 4  # subjects of a split in the gallery, and those who are probes alone


@dataclass
class Part:
    """One csv file: faces (crop's name, template, medium) and the subject of each template."""

    faces: list[tuple[str, int, int]] = field(default_factory=list)
    subject: dict[int, int] = field(default_factory=dict)

    def pool(self, embeddings: dict[str, np.ndarray], pooling: str) -> dict[int, np.ndarray]:
        names = sorted(embeddings)
        indexed = [(names.index(name), template, medium) for name, template, medium in self.faces]
        return slow_pool(np.array([embeddings[name] for name in names]), indexed, pooling, None)


@dataclass
class Split:
    verify: Part = field(default_factory=Part)
    pairs: list[tuple[int, int]] = field(default_factory=list)
    gallery: Part = field(default_factory=Part)
    probe: Part = field(default_factory=Part)


@dataclass
class Small:
    splits: list[Split] = field(default_factory=list)
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)
    """Of a face: its crop's name."""


def write_csv(path: Path, part: Part) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [HEADER]
    for name, template, medium in part.faces:
        folder, _, file = name.partition("/")
        sighting, _, file = file.partition("_")
        row = [str(template), str(part.subject[template]), f"{folder}/{file}", str(medium), sighting]
        lines.append(",".join([*row, *[""] * 20]))
    path.write_text("\n".join(lines) + "\n")


def make(root: Path, flat: bool = False) -> Small:
    """Faces recur in several splits; people share pictures, so that only the sighting tells them apart."""
    rng = np.random.default_rng(0)
    small = Small()
    people = 20
    centres = rng.normal(size=(people, 12))
    media: list[list[list[str]]] = []  # of a person: the crops of each medium
    number = 0
    for person in range(people):
        media.append([])
        for frames in (1, 1, 1, 1, 3, 4):
            number += 1
            base = centres[person] + rng.normal(size=12) * 1.2
            # A sighting is one frame's here, so media cannot be told by it.
            files = [f"frame/{number * 10 + i}_{number // 12}_{i}.png" for i in range(frames)]
            if frames == 1:
                files = [f"img/{number * 10}_{number % 6}.jpg"]
            for name in files:
                small.embeddings[name] = (base + rng.normal(size=12) * 0.3).astype(np.float32) * rng.uniform(
                    1, 9
                )
            media[person].append(files)
    for n in range(1, 11):
        split, chosen = Split(), rng.permutation(people)[: KNOWN + UNKNOWN]

        def fill(part: Part, template: int, person: int, most: int) -> None:
            part.subject[template] = int(person) + 1
            for place in rng.permutation(6)[: rng.integers(1, most + 1)]:
                # In a template of another split the same medium may have fewer frames.
                files = media[person][place]
                for name in files[: rng.integers(1, len(files) + 1)]:
                    part.faces.append((name, template, int(person) * 10 + int(place)))

        for template in range(60):
            fill(split.verify, template + 1, chosen[template % len(chosen)], 3)
        every = [(a, b) for a in range(1, 61) for b in range(a + 1, 61)]
        split.pairs = [every[i] for i in rng.permutation(len(every))[:1500]]
        for place, person in enumerate(chosen[:KNOWN]):
            fill(split.gallery, 10 * place + 1, person, 2)
        for template in range(11 * (KNOWN + UNKNOWN)):
            fill(split.probe, template + 1, chosen[template % len(chosen)], 2)  # ids of the gallery recur
        small.splits.append(split)
        one, many = ("", "") if flat else ("IJB-A_11_sets", "IJB-A_1N_sets")
        write_csv(root / one / f"split{n}" / f"verify_metadata_{n}.csv", split.verify)
        lines = "".join(f"{a},{b}\n" for a, b in split.pairs)
        (root / one / f"split{n}" / f"verify_comparisons_{n}.csv").write_text(lines)
        write_csv(root / many / f"split{n}" / f"search_gallery_{n}.csv", split.gallery)
        write_csv(root / many / f"split{n}" / f"search_probe_{n}.csv", split.probe)
    return small


def rows(benchmark: Ijba, small: Small) -> np.ndarray:
    return np.array([small.embeddings[name] for name in benchmark.images.names], dtype=np.float32)


def slow_split_tar(split: Split, small: Small, far: float, pooling: str, reading: str) -> float:
    found, scores = split.verify.pool(small.embeddings, pooling), {True: [], False: []}
    for a, b in split.pairs:
        scores[split.verify.subject[a] == split.verify.subject[b]].append(float(np.dot(found[a], found[b])))
    return slow_tar(scores[True], scores[False], far, reading)


def slow_split_search(split: Split, small: Small, pooling: str) -> dict[str, float]:
    gallery, probes = (part.pool(small.embeddings, pooling) for part in (split.gallery, split.probe))
    ranks, best, alone = [], [], []
    for probe, vector in probes.items():
        scored = {one: float(np.dot(vector, other)) for one, other in gallery.items()}
        subject = split.probe.subject[probe]
        mates = [one for one in gallery if split.gallery.subject[one] == subject]
        if mates:
            (mate,) = mates
            ranks.append(sum(score >= scored[mate] for score in scored.values()))
            best.append(max(scored.values()))
        else:
            alone.append(max(scored.values()))
    found = {f"rank{r}": np.mean([rank <= r for rank in ranks]) for r in (1, 5, 10)}
    for key, fpir in (("1e-1", 0.1), ("1e-2", 0.01)):
        # As many non-mated probes may pass as FPIR allows: the first score not to pass is a strict bound.
        allowed = int(fpir * len(alone) + 1e-9)
        bound = sorted(alone, reverse=True)[allowed]
        hits = [rank == 1 and score > bound for rank, score in zip(ranks, best, strict=True)]
        found[f"tpir@fpir={key}"] = np.mean(hits) if allowed >= 1 else np.nan
    return found


@pytest.fixture(scope="module")
def small_and_root(tmp_path_factory) -> tuple[Small, Path]:
    root = tmp_path_factory.mktemp("ijba")
    return make(root), root


@pytest.fixture(scope="module")
def results(small_and_root) -> list[Result]:
    small, root = small_and_root
    benchmark = ijba(root)
    return benchmark.score(rows(benchmark, small))


@pytest.mark.parametrize(
    ("pooling", "reading"), [("plain", "conservative"), ("norm", "conservative"), ("plain", "nearest")]
)
def test_both_protocols_are_means_over_ten_splits(small_and_root, pooling, reading):
    small, root = small_and_root
    benchmark = ijba(root, pooling)
    one, many = benchmark.score(rows(benchmark, small), reading)
    for key, far in (("tar@far=1e-1", 0.1), ("tar@far=1e-2", 0.01)):
        each = [slow_split_tar(split, small, far, pooling, reading) for split in small.splits]
        assert one.more["splits"][key] == pytest.approx(each)
        assert one[key].value == pytest.approx(np.mean(each))
        assert one[key].deviation == pytest.approx(np.std(each))
    searched = [slow_split_search(split, small, pooling) for split in small.splits]
    for key in searched[0]:
        each = [found[key] for found in searched]
        assert many[key].value == pytest.approx(np.mean(each), nan_ok=True), key
        if not np.isnan(np.mean(each)):
            assert many[key].deviation == pytest.approx(np.std(each))
            assert many.more["splits"][key] == pytest.approx(each)
    assert one.conventions["folds"] == "10 splits, population sd"


def test_what_cannot_be_measured_in_one_split_is_not_on_average(results):
    one, many = results
    assert [rate.key for rate in one.rates] == ["tar@far=1e-2", "tar@far=1e-3", "tar@far=1e-1"]
    assert "so in 10 of 10 splits" in one["tar@far=1e-3"].note
    few = many["tpir@fpir=1e-2"]
    assert np.isnan(few.value) and few.deviation is None
    assert "not measurable" in str(few)
    json.dumps([result.to_json() for result in results], allow_nan=False)


def test_counts_and_curves(small_and_root, results):
    small, _ = small_and_root
    one, many = results
    assert one.counts["genuine pairs"] + one.counts["impostor pairs"] == 10 * 1500
    assert many.counts["mated probes"] == 10 * 11 * KNOWN
    assert many.counts["non-mated probes"] == 10 * 11 * UNKNOWN
    assert many.counts["gallery templates"] == 10 * KNOWN
    assert many.cmc.at(1) == many.more["splits"]["rank1"][0]
    assert one.conventions["curves"] == many.conventions["curves"] == "of split 1"
    assert one.roc.genuine == one.histogram.genuine.sum()
    assert one.hardest[0].same and one.hardest[0].names[0].startswith("template ")
    names = {
        name
        for split in small.splits
        for p in (split.verify, split.gallery, split.probe)
        for name, *_ in p.faces
    }
    assert one.counts["pictures"] == len(names)


def test_splits_may_lie_in_the_root(small_and_root, results, tmp_path):
    small = make(tmp_path, flat=True)
    benchmark = ijba(tmp_path)
    for result, expected in zip(benchmark.score(rows(benchmark, small)), results, strict=True):
        assert [rate.value for rate in result.rates] == pytest.approx(
            [rate.value for rate in expected.rates], nan_ok=True
        )


def test_one_protocol_does_without_the_lists_of_the_other(results, tmp_path):
    small = make(tmp_path)
    (tmp_path / "IJB-A_1N_sets").rename(tmp_path / "away")
    benchmark = ijba(tmp_path)
    (only,) = benchmark.score(rows(benchmark, small))
    assert only["tar@far=1e-2"].value == results[0]["tar@far=1e-2"].value
    assert only.conventions["left_out"] == "1:N, as its lists are missing"
    (tmp_path / "IJB-A_11_sets").rename(tmp_path / "away too")
    with pytest.raises(
        UserError, match=r"has neither split1/verify_metadata_1.csv nor split1/search_gallery_1"
    ):
        ijba(tmp_path)
    (tmp_path / "away").rename(tmp_path / "IJB-A_1N_sets")
    benchmark = ijba(tmp_path)
    (only,) = benchmark.score(rows(benchmark, small))
    assert only["rank1"].value == results[1]["rank1"].value
    assert only.conventions["left_out"] == "1:1, as its lists are missing"
    (tmp_path / "IJB-A_1N_sets" / "split7" / "search_probe_7.csv").unlink()
    with pytest.raises(UserError, match=r"search_probe_7.csv: missing, but IJB-A has 10 splits"):
        ijba(tmp_path)


@pytest.mark.parametrize(
    ("file", "line", "text", "says"),
    [
        ("11_sets/split3/verify_metadata_3.csv", 2, "1,2,img/1.jpg", r"metadata_3.csv:2: has 3 fields where"),
        ("11_sets/split3/verify_metadata_3.csv", 2, "1,2,,3,4", r"metadata_3.csv:2: expected a file such as"),
        ("11_sets/split3/verify_metadata_3.csv", 2, "1,2,../a.jpg,3,4", r":2: expected a file such as"),
        ("11_sets/split3/verify_metadata_3.csv", 2, "1,2,img/a.jpg,3,x", r":2: expected a whole number"),
        (
            "11_sets/split3/verify_metadata_3.csv",
            1,
            "A,B",
            r"metadata_3.csv:1: expected a header with TEMPLATE",
        ),
        (
            "11_sets/split3/verify_comparisons_3.csv",
            4,
            "1;2",
            r"comparisons_3.csv:4: expected a line such as '1,11065'",
        ),
        (
            "11_sets/split3/verify_comparisons_3.csv",
            4,
            "1,999",
            r"3.csv:4: no face is listed of template 999",
        ),
        (
            "1N_sets/split3/search_gallery_3.csv",
            3,
            "1,999,img/a.jpg,3,4",
            r"gallery_3.csv:\d: template 1 is of",
        ),
    ],
)
def test_a_broken_line_is_named(tmp_path, file, line, text, says):
    make(tmp_path)
    path = tmp_path / f"IJB-A_{file}"
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=says):
        ijba(tmp_path)


def test_a_search_needs_probes_with_and_without_a_mate(small_and_root, tmp_path):
    make(tmp_path)
    path = tmp_path / "IJB-A_1N_sets" / "split2" / "search_gallery_2.csv"
    path.write_text(f"{HEADER}\n1,999,img/1.jpg,3,4\n")
    with pytest.raises(UserError, match=r"search_gallery_2.csv: no probe has its mate in this gallery"):
        ijba(tmp_path)


def test_options_and_embeddings_are_checked(small_and_root):
    _, root = small_and_root
    for pooling in ("detector", "mean"):
        with pytest.raises(UserError, match=rf"ijba.pooling: '{pooling}' is not known; .*plain, norm"):
            ijba(root, pooling)
    benchmark = ijba(root)
    with pytest.raises(UserError, match=r"IJB-A: 2 embeddings for \d+ pictures"):
        benchmark.score(np.ones((2, 3), np.float32))
    with pytest.raises(UserError, match=r"embeddings: (img|frame)/\d+_.* is all zero or not finite"):
        benchmark.score(np.zeros((len(benchmark.images), 3), np.float32))


def test_crops_are_read_by_sighting_and_file(small_and_root, raw, tmp_path):
    _, root = small_and_root
    benchmark = ijba(root)
    with pytest.raises(UserError, match=r"crops/(img|frame)/.*: missing"):
        benchmark.images.check()
    for name in benchmark.images.names:
        person = (int(name.partition("/")[2].partition("_")[0]) // 10 - 1) // 6
        write(root / "crops" / name, picture(person, sum(name.encode()), 112))
    one, many = evaluate(raw, benchmark)
    assert (one["tar@far=1e-2"].value, many["rank1"].value) == (1, 1)
    assert "pictures already on the template" in one.headline


@settings(max_examples=150)
@given(st.data())
def test_damaged_lists_are_a_user_error_or_read(small_and_root, tmp_path, data):
    folder = small_and_root[1] / "IJB-A_11_sets" / "split1"
    names = ["verify_metadata_1.csv", "verify_comparisons_1.csv"]
    for name, damaged in zip(names, data.draw(st.sampled_from([(True, False), (False, True)])), strict=True):
        content = bytearray((folder / name).read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        damage = data.draw(st.sampled_from(["cut", "flip", "put"])) if damaged else ""
        if damage == "cut":
            del content[at:]
        elif damage == "flip":
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif damage == "put":
            content[at:at] = data.draw(
                st.sampled_from([b"\n", b",", b"\0", b'"', b"9" * 30, b"\xff", b"/", b".."])
            )
        (tmp_path / name).write_bytes(content)
    try:
        templates, subjects = read_templates([tmp_path / names[0]], {})
        pairs = read_matches(tmp_path / names[1], templates.ids, subjects)
        assert max(pairs.first.max(), pairs.second.max()) < len(templates) == len(subjects)
    except UserError as error:
        assert len(str(error)) < 1000
