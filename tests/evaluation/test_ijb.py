"""IJB-B and IJB-C on small sets made here, against loops in float64 and the errors of public scripts."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.errors import UserError
from evenface.evaluation.evaluate import evaluate, evaluate_stored
from evenface.evaluation.protocols.ijb import ijb
from evenface.evaluation.protocols.ijb.pairs import read_pairs
from evenface.evaluation.results import Result
from evenface.evaluation.templates import POOLING
from evenface.faces import TEMPLATE_112, read_image, similarity, warp

from .conftest import picture, write
from .test_templates import slow_pool

FARS = (1e-2, 1e-1)  # that so few pairs can measure
FPIRS = (1e-1, 1e-2)


@dataclass
class Small:
    """A small IJB: what its lists say, kept beside them."""

    faces: list[tuple[str, int, int]] = field(default_factory=list)  # picture, template, medium
    subject: dict[int, int] = field(default_factory=dict)  # of a template
    galleries: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    probes: list[int] = field(default_factory=list)
    pairs: list[tuple[int, int, bool]] = field(default_factory=list)
    detector: list[float] = field(default_factory=list)
    embeddings: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def indexed(self) -> list[tuple[int, int, int]]:
        return [(i, template, medium) for i, (_, template, medium) in enumerate(self.faces)]

    def templates(self, pooling: str = "plain") -> dict[int, np.ndarray]:
        return slow_pool(self.embeddings, self.indexed, pooling, np.array(self.detector))


def make(seed: int = 0, subjects: int = 24, probes: int = 9, noise: float = 1.3) -> Small:
    """Half of the subjects in either gallery; probes of stills and of videos, some of 4 frames."""
    rng = np.random.default_rng(seed)
    small, rows = Small(), []
    ids = iter((rng.permutation(3000) + 1).tolist())
    centres = rng.normal(size=(subjects, 16))
    videos: dict[int, list[tuple[int, np.ndarray]]] = {}
    medium = iter(range(40_000, 50_000))

    def template(person: int, media: list[int]) -> int:
        one = next(ids)
        small.subject[one] = person + 500
        for frames in media:
            number, base = next(medium), centres[person] + rng.normal(size=16) * noise
            if frames > 1 and videos.get(person) and rng.random() < 0.5:
                number, base = videos[person][0]  # a video that is in another template already
            elif frames > 1:
                videos.setdefault(person, []).append((number, base))
            for _ in range(frames):
                small.faces.append((f"{len(small.faces) + 1}.jpg", one, number))
                rows.append((base + rng.normal(size=16) * 0.4) * rng.uniform(0.5, 20))
                small.detector.append(round(float(rng.uniform(0.2, 1)), 6))
        return one

    for person in range(subjects):
        small.galleries[person % 2].append(template(person, [1] * int(rng.integers(1, 4))))
    for person in range(subjects):
        small.probes += [
            template(person, rng.choice([1, 1, 4], rng.integers(1, 4)).tolist()) for _ in range(probes)
        ]
    order = rng.permutation(len(rows))  # faces of a template are not listed together
    small.faces = [small.faces[i] for i in order]
    small.detector = [small.detector[i] for i in order]
    small.embeddings = np.array(rows, dtype=np.float32)[order]
    for gallery in small.galleries:
        for one in gallery:
            for probe in small.probes:
                same = small.subject[one] == small.subject[probe]
                if same or rng.random() < 0.8:
                    small.pairs.append((one, probe, same))
    return small


def write_lists(small: Small, root: Path, part: str = "ijbb", letter: str = "S") -> Path:
    meta = root / "meta"
    meta.mkdir(parents=True)

    def lines(name: str, rows: list[str]) -> None:
        (meta / f"{part}_{name}").write_text("\n".join(rows) + "\n")

    lines("face_tid_mid.txt", [f"{name} {template} {medium}" for name, template, medium in small.faces])
    points = " ".join(f"{value:.3f}" for value in (TEMPLATE_112 * 1.5 + 20).ravel())
    lines(
        "name_5pts_score.txt",
        [f"{name} {points} {score}" for (name, *_), score in zip(small.faces, small.detector, strict=True)],
    )
    lines("template_pair_label.txt", [f"{a} {b} {int(same)}" for a, b, same in small.pairs])
    kinds = {f"gallery_{letter}1": small.galleries[0], f"gallery_{letter}2": small.galleries[1]}
    for kind, wanted in (kinds | {"probe_mixed": small.probes}).items():
        rows = ["TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X"]
        for i, (_, template, medium) in enumerate(small.faces):
            if template in wanted:
                rows.append(f"{template},{small.subject[template]},img/{i}.jpg,{medium},")
        lines(f"1N_{kind}.csv", rows)
    return root


def slow_tar(genuine: list[float], impostor: list[float], far: float, reading: str) -> float:
    """By trying every score as threshold, the smallest FAR first."""
    points, true, false = [(0.0, 0.0)], np.array(genuine), np.array(impostor)
    for threshold in sorted({*genuine, *impostor}, reverse=True):
        points.append((np.mean(false >= threshold), np.mean(true >= threshold)))
    if reading == "conservative":
        return max(tar for accepted, tar in points if accepted <= far + 1e-12)
    nearest = min(abs(accepted - far) for accepted, _ in points)
    return max(tar for accepted, tar in points if abs(accepted - far) <= nearest + 1e-12)


def slow_verification(small: Small, pooling: str = "plain") -> tuple[list[float], list[float]]:
    found = small.templates(pooling)
    scores = {True: [], False: []}
    for a, b, same in small.pairs:
        scores[same].append(float(np.dot(found[a], found[b])))
    return scores[True], scores[False]


def slow_search(small: Small, gallery: list[int]) -> dict[str, float]:
    """Rank-1, -5, -10 and TPIR of one gallery."""
    found = small.templates()
    ranks, mated, nonmated = [], [], []
    for probe in small.probes:
        scored = [(float(np.dot(found[probe], found[one])), small.subject[one]) for one in gallery]
        mates = [score for score, subject in scored if subject == small.subject[probe]]
        others = [score for score, subject in scored if subject != small.subject[probe]]
        if mates:
            ranks.append(1 + sum(score >= max(mates) for score in others))
            mated.append((max(mates), ranks[-1] == 1))
        else:
            nonmated.append(max(others))
    rates = {f"rank{r}": sum(rank <= r for rank in ranks) / len(ranks) for r in (1, 5, 10)}
    for fpir in FPIRS:
        allowed = [t for t in {*nonmated, 2.0} if sum(s >= t for s in nonmated) / len(nonmated) <= fpir]
        threshold = min(allowed)
        # Between this non-mated score and the next lower one every threshold passes as few.
        lower = max([s for s in nonmated if s < threshold], default=-2.0)
        hits = sum(hit and score > lower for score, hit in mated)
        rates[f"tpir@fpir={'1e-1' if fpir == 0.1 else '1e-2'}"] = hits / len(mated)
    return rates


@pytest.fixture(scope="module")
def small() -> Small:
    return make()


@pytest.fixture(scope="module")
def root(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lists(small, tmp_path_factory.mktemp("ijbb"))


@pytest.fixture(scope="module")
def results(small: Small, root: Path) -> list[Result]:
    return ijb(root, "ijbb").score(small.embeddings)


@pytest.mark.parametrize("pooling", sorted(POOLING))
@pytest.mark.parametrize("reading", ["conservative", "nearest"])
def test_verification_is_that_of_the_loops(small, root, pooling, reading):
    result = ijb(root, "ijbb", pooling).score(small.embeddings, reading)[0]
    genuine, impostor = slow_verification(small, pooling)
    assert result.counts["genuine pairs"] == len(genuine)
    assert result.counts["impostor pairs"] == len(impostor)
    for far in FARS:
        key = "tar@far=1e-2" if far == 0.01 else "tar@far=1e-1"
        assert result[key].value == pytest.approx(slow_tar(genuine, impostor, far, reading))
    assert [rate.key[8:] for rate in result.rates] == ["1e-4", "1e-6", "1e-5", "1e-3", "1e-2", "1e-1"]
    assert np.isnan(result["tar@far=1e-6"].value)
    assert POOLING[pooling] in result.headline
    assert result.conventions["tar_reading"] == reading


def test_poolings_give_different_figures(small, root):
    found = [ijb(root, "ijbb", pooling).score(small.embeddings)[0] for pooling in POOLING]
    figures = {(one["tar@far=1e-1"].value, one["tar@far=1e-2"].value) for one in found}
    assert len(figures) == len(POOLING)


def test_identification_is_the_mean_of_two_separate_searches(small, results):
    result = results[1]
    each = [slow_search(small, gallery) for gallery in small.galleries]
    assert each[0] != each[1]
    assert len(each[0]) == len(result.rates) == 5
    for key in each[0]:
        assert result[key].value == pytest.approx((each[0][key] + each[1][key]) / 2), key
        for name, one in zip(("S1", "S2"), each, strict=True):
            assert result.more["galleries"][name]["rates"][key]["value"] == pytest.approx(one[key])
    assert result.more["galleries"]["S1"]["mated_probes"] == len(small.probes) // 2
    assert result.cmc.at(1) == each[0]["rank1"]
    assert result.conventions["curves"] == "of gallery S1"
    assert "rests on too few: 1.08 non-mated probes may pass" in result["tpir@fpir=1e-2"].note
    assert "so in 2 of 2 galleries" in result["tpir@fpir=1e-2"].note
    assert result["tpir@fpir=1e-1"].note == ""


# What public scripts do otherwise gives other numbers on this set, so these tests would catch it here.


def test_one_merged_gallery_gives_another_number(small, results):
    merged = slow_search_merged(small)
    for rank in (1, 5, 10):
        assert merged[rank] != pytest.approx(results[1][f"rank{rank}"].value)


def slow_search_merged(small: Small) -> dict[int, float]:
    found, both = small.templates(), [*small.galleries[0], *small.galleries[1]]
    ranks = []
    for probe in small.probes:
        scores = {one: float(np.dot(found[probe], found[one])) for one in both}
        mate = next(score for one, score in scores.items() if small.subject[one] == small.subject[probe])
        ranks.append(sum(score >= mate for score in scores.values()))
    return {r: sum(rank <= r for rank in ranks) / len(ranks) for r in (1, 5, 10)}


def test_a_threshold_of_all_negative_scores_gives_another_number(small, results):
    """InsightFace's older script: the FPIR-th of all impostor scores, and a hit whatever its rank."""
    found = small.templates()
    wrong = []
    for gallery in small.galleries:
        scores = {True: [], False: []}
        for probe in small.probes:
            for one in gallery:
                same = small.subject[one] == small.subject[probe]
                scores[same].append(float(np.dot(found[probe], found[one])))
        threshold = sorted(scores[False], reverse=True)[int(0.1 * len(scores[False]))]
        wrong.append(np.mean(np.array(scores[True]) > threshold))
    assert np.mean(wrong) != pytest.approx(results[1]["tpir@fpir=1e-1"].value, abs=0.05)


def test_the_nearest_far_may_lie_above_the_target(small, root):
    benchmark = ijb(root, "ijbb")
    nearest = benchmark.score(small.embeddings, "nearest")[0]["tar@far=1e-2"].value
    assert nearest > benchmark.score(small.embeddings)[0]["tar@far=1e-2"].value


def test_a_mean_of_scores_gives_another_number(small, results):
    unit = small.embeddings / np.linalg.norm(small.embeddings, axis=1, keepdims=True)
    of = {one: unit[[i for i, t, _ in small.indexed if t == one]] for one in small.subject}
    scores = {True: [], False: []}
    for a, b, same in small.pairs:
        scores[same].append(float((of[a] @ of[b].T).mean()))
    wrong = slow_tar(scores[True], scores[False], 0.1, "conservative")
    assert wrong != pytest.approx(results[0]["tar@far=1e-1"].value)


def test_media_that_are_not_pooled_first_give_another_number(small, results):
    flat = [(i, template, i) for i, template, _ in small.indexed]
    found = slow_pool(small.embeddings, flat, "plain", None)
    scores = {True: [], False: []}
    for a, b, same in small.pairs:
        scores[same].append(float(np.dot(found[a], found[b])))
    wrong = slow_tar(scores[True], scores[False], 0.1, "conservative")
    assert wrong != pytest.approx(results[0]["tar@far=1e-1"].value)


def test_a_tie_of_mate_and_other_is_a_miss(tmp_path):
    small = Small()
    for person, template in enumerate((1, 2, 3, 4)):
        small.galleries[person // 2].append(template)
    small.probes = [11, 12, 13, 14]
    vectors = {1: [1, 0, 0], 2: [1, 0, 0], 3: [0, 1, 0], 4: [0, 0, 1]}
    vectors |= {11: [1, 0, 0], 12: [1, 0, 0], 13: [0, 1, 0], 14: [0, 0, 1]}
    for template in vectors:
        small.subject[template] = template % 10
        small.faces.append((f"{template}.jpg", template, template))
        small.detector.append(1.0)
    small.embeddings = np.array(list(vectors.values()), dtype=np.float32)
    small.pairs = [(1, 11, True), (1, 12, False)]
    result = ijb(write_lists(small, tmp_path), "ijbb").score(small.embeddings)[1]
    assert result.more["galleries"]["S1"]["rates"]["rank1"]["value"] == 0
    assert result.more["galleries"]["S2"]["rates"]["rank1"]["value"] == 1
    assert result["rank1"].value == 0.5
    assert result["rank5"].value == 1
    assert np.isnan(result["tpir@fpir=1e-1"].value)  # two non-mated probes
    assert "a miss" in result.conventions["ties"]


def test_results_hold_curves_scores_and_hard_pairs(small, root, results):
    first = results[0]
    genuine, impostor = slow_verification(small)
    np.testing.assert_allclose(first.pairs.scores[first.pairs.same], genuine, atol=1e-6)
    np.testing.assert_allclose(first.pairs.scores[~first.pairs.same], impostor, atol=1e-6)
    assert (first.histogram.genuine.sum(), first.histogram.impostor.sum()) == (len(genuine), len(impostor))
    hard = [pair for pair in first.hardest if pair.same], [pair for pair in first.hardest if not pair.same]
    np.testing.assert_allclose([p.score for p in hard[0]], sorted(genuine)[:12], atol=1e-6)
    np.testing.assert_allclose([p.score for p in hard[1]], sorted(impostor)[:-13:-1], atol=1e-6)
    names = [name for name, *_ in small.faces]
    for pair in first.hardest:
        a, b = (
            next(i for i, t, _ in small.indexed if t == template)
            for template in (small.faces[pair.first][1], small.faces[pair.second][1])
        )
        assert (pair.first, pair.second) == (a, b)  # the first picture of each template
        assert pair.names[0] == f"template {small.faces[a][1]}, {names[a]}"
    for result in results:
        json.dumps(result.to_json(), allow_nan=False)
        assert result.sha256 == ijb(root, "ijbb").sha256
    assert [result.protocol for result in results] == ["IJB-B 1:1", "IJB-B 1:N"]
    assert results[0].conventions["pairs"].endswith("not the official list's 8,010,270")


def test_stored_embeddings_are_scored_without_pictures(small, root, results, tmp_path):
    rng = np.random.default_rng(0)
    order = rng.permutation(len(small.faces))
    np.save(tmp_path / "ijb-b.npy", small.embeddings[order])
    (tmp_path / "ijb-b.txt").write_text("".join(f"{small.faces[i][0]}\n" for i in order))
    again = evaluate_stored(tmp_path, ijb(root, "ijbb"))
    for result, expected in zip(again, results, strict=True):
        assert [rate.value for rate in result.rates] == pytest.approx(
            [rate.value for rate in expected.rates], nan_ok=True
        )


@pytest.mark.parametrize(("part", "letter"), [("ijbb", "S"), ("ijbb", "G"), ("ijbc", "G"), ("ijbc", "S")])
def test_galleries_go_by_either_name(small, tmp_path, part, letter):
    result = ijb(write_lists(small, tmp_path, part, letter), part).score(small.embeddings)[1]
    assert result.protocol == {"ijbb": "IJB-B 1:N", "ijbc": "IJB-C 1:N"}[part]
    assert list(result.more["galleries"]) == [f"{letter}1", f"{letter}2"]


def test_one_protocol_does_without_the_lists_of_the_other(small, results, tmp_path):
    root = write_lists(small, tmp_path)
    labels, probes = (
        root / "meta" / f"ijbb_{name}" for name in ("template_pair_label.txt", "1N_probe_mixed.csv")
    )
    kept = labels.read_bytes()
    labels.unlink()
    benchmark = ijb(root, "ijbb")
    (only,) = benchmark.score(small.embeddings)
    assert only.protocol == "IJB-B 1:N"
    assert only["rank1"].value == results[1]["rank1"].value
    assert only.conventions["left_out"] == "1:1, as ijbb_template_pair_label.txt is missing"
    assert labels not in benchmark.sources
    probes.unlink()
    with pytest.raises(UserError, match=r"template_pair_label.txt, .*probe_mixed.csv: missing, so neither"):
        ijb(root, "ijbb")
    labels.write_bytes(kept)
    (only,) = ijb(root, "ijbb").score(small.embeddings)
    assert only["tar@far=1e-1"].value == results[0]["tar@far=1e-1"].value
    assert only.conventions["left_out"] == "1:N, as ijbb_1N_probe_mixed.csv is missing"


@pytest.mark.parametrize(("part", "first"), [("ijbb", "S1"), ("ijbc", "G1")])
def test_a_missing_gallery_goes_by_its_usual_name(small, tmp_path, part, first):
    root = write_lists(small, tmp_path, part)
    for path in (root / "meta").glob("*1N*"):
        path.unlink()
    assert ijb(root, part).conventions["left_out"] == f"1:N, as {part}_1N_gallery_{first}.csv is missing"


def test_spaces_line_ends_and_order_of_pictures_change_nothing(small, root, tmp_path):
    changed = write_lists(small, tmp_path)
    for path in (changed / "meta").iterdir():
        lines = path.read_text().splitlines()
        if "5pts" in path.name:
            lines = [lines[i] for i in np.random.default_rng(3).permutation(len(lines))]
        if path.suffix == ".txt":
            lines = ["  " + line.replace(" ", "\t ") + " " for line in lines]
        path.write_bytes("\r\n".join(lines).encode())  # and no end of the last line
    expected, found = (ijb(one, "ijbb", "norm+detector").score(small.embeddings) for one in (root, changed))
    for one, other in zip(expected, found, strict=True):
        assert [rate.value for rate in other.rates] == pytest.approx(
            [rate.value for rate in one.rates], nan_ok=True
        )


def edit(root: Path, name: str, line: int, text: str | None) -> None:
    """Line (1-based; 0: at the end) replaced, or left out."""
    path = root / "meta" / f"ijbb_{name}"
    lines = path.read_text().splitlines()
    lines[line - 1 : line or None] = [lines[-1], text] if line == 0 else [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n")


PAIRS, FACES, POINTS = "template_pair_label.txt", "face_tid_mid.txt", "name_5pts_score.txt"


@pytest.mark.parametrize(
    ("name", "line", "text", "says"),
    [
        (PAIRS, 7, "12 13", r"label.txt:7: expected a line such as '1 11065 1', found '12 13'"),
        (PAIRS, 7, "12 13 1 1", r"label.txt:7: expected a line"),
        (PAIRS, 7, "-2 13 1", r"label.txt:7: no face is listed of template -2"),
        (PAIRS, 7, "\n9999 13 1", r"label.txt:8: no face is listed of template 9999"),
        (PAIRS, 7, "12 13 x", r"label.txt:7: expected a line"),
        (PAIRS, 7, "\n12 13 x", r"label.txt:8: expected a line"),
        (PAIRS, 7, "12 13 1.0", r"label.txt:7: expected a line"),
        (PAIRS, 7, "12345678901 13 1", r"label.txt:7: expected a line"),
        (PAIRS, 7, "1é 13 1", r"label.txt:7: expected a line"),
        (PAIRS, 7, "9999 13 1", r"label.txt:7: no face is listed of template 9999"),
        (PAIRS, 7, "0 0 0", r"label.txt:7: no face is listed of template 0"),
        (FACES, 3, "3.jpg 5", r"tid_mid.txt:3: expected a line such as '1.jpg 1 69544', found '3.jpg 5'"),
        (FACES, 3, "3.jpg five 7", r"tid_mid.txt:3: expected a line such as .*, found '3.jpg five 7'"),
        (FACES, 3, "x.jpg -5 7", r"tid_mid.txt:3: expected a template of 7 digits, found -5"),
        (FACES, 3, " 5 7", r"tid_mid.txt:3: expected a line such as"),
        (FACES, 3, "x" * 64 + " 5 7", r"tid_mid.txt:3: expected a name of at most 63 characters, found"),
        (FACES, 3, "x.jpg 5 12345678", r"tid_mid.txt:3: expected a medium of 7 digits, found 12345678"),
        (
            POINTS,
            3,
            "zz.jpg 1 2 3 4 5 6 7 8 9 10 1",
            r"score.txt:3: the list of faces beside this file lacks picture zz.jpg",
        ),
        (
            POINTS,
            3,
            None,
            r"score.txt: has \d+ pictures where the list of faces has \d+, \d+.jpg first among",
        ),
        ("1N_gallery_S1.csv", 2, "1,x,img", r"S1.csv:2: (no face is listed|expected a whole)"),
        ("1N_gallery_S1.csv", 2, "9999,5,img", r"S1.csv:2: no face is listed of template 9999"),
        ("1N_gallery_S1.csv", 2, "9999", r"S1.csv:2: has 1 fields where the header has 5"),
        (
            "1N_gallery_S1.csv",
            1,
            "TEMPLATE,SUBJECT",
            r"S1.csv:1: expected a header with TEMPLATE_ID, SUBJECT_ID",
        ),
    ],
)
def test_a_broken_line_is_named(small, tmp_path, name, line, text, says):
    root = write_lists(small, tmp_path)
    edit(root, name, line, text)
    with pytest.raises(UserError, match=says):
        ijb(root, "ijbb")


def test_doubled_and_contradicting_lines_are_named(small, tmp_path):
    root = write_lists(small, tmp_path)
    a, b, same = small.pairs[4]
    name, template, medium = small.faces[4]
    probe = small.probes[0]
    end = len(small.pairs) + 1
    cases = [
        (PAIRS, f"{a} {b} {int(same)}", rf"label.txt:{end}: the pair of line 5 again"),
        (PAIRS, f"{a} {b} {int(not same)}", rf"label.txt:{end}: the pair of line 5 again"),
        (PAIRS, f"{a} {b} 2", rf"label.txt:{end}: expected label 0 or 1, found 2"),
        (
            FACES,
            f"{name} {template} {medium}",
            rf"tid_mid.txt:{len(small.faces) + 1}: listed twice is picture {name}",
        ),
        ("1N_probe_mixed.csv", f"{probe},1,x", rf"mixed.csv:\d+: template {probe} is of subject 1 here, of"),
        ("1N_gallery_S2.csv", f"{probe},77,x", rf"S2.csv: template {probe} is among the probes too"),
    ]
    for file, text, says in cases:
        path = root / "meta" / f"ijbb_{file}"
        kept = path.read_text()
        path.write_text(kept + text + "\n")
        with pytest.raises(UserError, match=says):
            ijb(root, "ijbb")
        path.write_text(kept)
    path = root / "meta" / f"ijbb_{POINTS}"
    path.write_text(path.read_text() + path.read_text().splitlines()[4] + "\n")
    with pytest.raises(UserError, match=rf"score.txt:{len(small.faces) + 1}: listed twice is picture {name}"):
        ijb(root, "ijbb")


@pytest.mark.parametrize(
    "values", ["1 2 3 4 5 6 7 8 9 10", "1", "1 2 3 4 5 6 7 8 9 x 1", "1 2 3 4 5 6 7 8 9 10 1 2"]
)
def test_broken_landmarks_are_named(small, tmp_path, values):
    root = write_lists(small, tmp_path)
    edit(root, POINTS, 2, f"{small.faces[1][0]} {values}")
    with pytest.raises(UserError, match=r"score.txt:2: expected a line such as '1.jpg 46.1 62.5 .*, found '"):
        ijb(root, "ijbb")


@pytest.mark.parametrize(
    "values", ["nan 2 3 4 5 6 7 8 9 10 1", "1 2 3 4 5 6 7 8 9 10 inf", "1 2 3 4 5 6 7 8 9 10 -1"]
)
def test_values_without_sense_are_named(small, tmp_path, values):
    root = write_lists(small, tmp_path)
    edit(root, POINTS, 2, f"{small.faces[1][0]} {values}")
    with pytest.raises(
        UserError, match=r"score.txt:2: a number is not finite, or the score below 0, of picture \d"
    ):
        ijb(root, "ijbb")


def test_lists_that_leave_a_rate_without_pairs_or_probes_are_refused(small, tmp_path):
    root = write_lists(small, tmp_path)
    path = root / "meta" / f"ijbb_{PAIRS}"
    path.write_text("".join(f"{a} {b} 0\n" for a, b, _ in small.pairs))
    with pytest.raises(UserError, match=r"label.txt: has no genuine pairs"):
        ijb(root, "ijbb")
    path.write_text("")
    with pytest.raises(UserError, match=r"label.txt: empty"):
        ijb(root, "ijbb")
    path.unlink()
    one = root / "meta" / "ijbb_1N_gallery_S1.csv"
    two = root / "meta" / "ijbb_1N_gallery_S2.csv"
    one.write_text(one.read_text() + "\n".join(two.read_text().splitlines()[1:]) + "\n")
    with pytest.raises(UserError, match=r"S1.csv: every probe has its mate in this gallery"):
        ijb(root, "ijbb")
    one.write_text(one.read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match=r"S1.csv: has a header and no lines"):
        ijb(root, "ijbb")


def test_embeddings_that_do_not_fit_are_refused(small, root):
    benchmark = ijb(root, "ijbb")
    with pytest.raises(UserError, match=r"IJB-B: 3 embeddings for \d+ pictures"):
        benchmark.score(small.embeddings[:3])
    broken = small.embeddings.copy()
    broken[7] = 0
    with pytest.raises(UserError, match=rf"embeddings: {small.faces[7][0]} is all zero"):
        benchmark.score(broken)


def test_options_and_folders_are_checked(small, root, tmp_path):
    with pytest.raises(UserError, match=r"ijb.part: 'ijbd' is not known"):
        ijb(root, "ijbd")
    with pytest.raises(UserError, match=r"ijb.pooling: 'mean' is not known"):
        ijb(root, "ijbb", "mean")
    with pytest.raises(UserError, match=r"nowhere: has neither meta/"):
        ijb(tmp_path / "nowhere", "ijbb")
    with pytest.raises(UserError, match=r"ijbc_template_pair_label.txt, .*: missing"):
        ijb(root, "ijbc")  # the lists are of the other part


def test_pictures_are_aligned_by_their_points(raw, tmp_path):
    small = make(subjects=4, probes=4)
    root = write_lists(small, tmp_path)
    benchmark = ijb(root, "ijbb")
    with pytest.raises(UserError, match=r"loose_crop/\d+.jpg: missing and \d+ more"):
        benchmark.images.check()
    for name, template, _ in small.faces:
        number = int(name.split(".")[0])
        write(root / "loose_crop" / name, picture(small.subject[template], number, 200))
    benchmark.images.check()
    name = small.faces[5][0]
    expected = warp(
        read_image(root / "loose_crop" / name), similarity(np.round(TEMPLATE_112 * 1.5 + 20, 3), TEMPLATE_112)
    )
    assert (benchmark.images[5] == expected).all()
    assert (benchmark.images[4] != expected).any()
    one, many = evaluate(raw, benchmark)
    assert (one["tar@far=1e-1"].value, many["rank1"].value) == (1, 1)
    edit(root, POINTS, 6, f"{name} {'5 5 ' * 5}1")
    with pytest.raises(UserError, match=rf"score.txt: picture {name}: align: the points lie in one place"):
        ijb(root, "ijbb").images[5]


@pytest.fixture(scope="module")
def nist(small, tmp_path_factory):
    """The same templates by NIST's lists alone: no pictures' list, no labels, a medium is a sighting."""
    root = tmp_path_factory.mktemp("nist")
    (root / "protocol").mkdir()
    for kind, wanted in {
        "gallery_S1": small.galleries[0],
        "gallery_S2": small.galleries[1],
        "probe_mixed": small.probes,
    }.items():
        rows = ["TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y"]
        for i, (_, template, medium) in enumerate(small.faces):
            if template in wanted:
                rows.append(f"{template},{small.subject[template]},frames/{i}.png,{medium},1.5,")
        (root / "protocol" / f"ijbb_1N_{kind}.csv").write_text("\n".join(rows) + "\n")
    matches = "".join(f"{a},{b}\n" for a, b, _ in small.pairs)
    (root / "protocol" / "ijbb_11_S1_S2_matches.csv").write_text(matches)
    return root


def test_nists_lists_give_the_same_figures(small, results, nist):
    benchmark = ijb(nist, "ijbb")
    place = {f"frames/{medium}_{i}.png": i for i, (_, _, medium) in enumerate(small.faces)}
    assert set(benchmark.images.names) == set(place)
    found = benchmark.score(small.embeddings[[place[name] for name in benchmark.images.names]])
    for result, expected in zip(found, results, strict=True):
        assert result.counts == expected.counts
        for rate in expected.rates:
            assert result[rate.key].value == pytest.approx(rate.value, nan_ok=True)
    assert found[0].conventions["crop"] == "pictures already on the template"


def test_a_template_without_a_detector_score_is_refused_before_anything_is_embedded(tmp_path):
    small = make()
    template = small.faces[0][1]
    for i, (_, one, _) in enumerate(small.faces):
        small.detector[i] = 0.0 if one == template else small.detector[i]
    root = write_lists(small, tmp_path / "ijbb")
    with pytest.raises(
        UserError, match=rf"ijb.pooling: 'detector' leaves nothing of template {template}, whose"
    ):
        ijb(root, "ijbb", "detector")
    ijb(root, "ijbb", "plain")


def test_nists_lists_have_no_detector_scores(nist):
    with pytest.raises(UserError, match=r"ijb.pooling: 'norm\+detector' needs detector scores"):
        ijb(nist, "ijbb", "norm+detector")


def test_nists_lists_without_matches_are_1n_alone(small, nist, tmp_path):
    (tmp_path / "protocols").mkdir()
    for path in (nist / "protocol").glob("*1N*"):
        (tmp_path / "protocols" / path.name).write_bytes(path.read_bytes())
    benchmark = ijb(tmp_path, "ijbb")
    assert benchmark.conventions["left_out"] == "1:1, as ijbb_11_S1_S2_matches.csv is missing"
    (tmp_path / "protocols" / "ijbb_1N_gallery_S2.csv").unlink()
    with pytest.raises(UserError, match=r"neither 1:1 nor 1:N|S2.csv: No such file"):
        ijb(tmp_path, "ijbb")


def test_crops_are_112x112(small, nist, tmp_path):
    benchmark = ijb(nist, "ijbb")
    for name, size in zip(benchmark.images.names[:2], (112, 100), strict=True):
        write(nist / "crops" / name, picture(1, 1, size))
    assert benchmark.images[0].shape == (112, 112, 3)
    with pytest.raises(UserError, match=r"is 100x100 pixels"):
        benchmark.images[1]


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=9) | st.from_regex(rb"[0-3] [0-3] [01]", fullmatch=True), max_size=8))
def test_a_pair_list_reads_or_names_a_line_that_is_wrong(tmp_path, lines):
    path = tmp_path / "pairs.txt"
    path.write_bytes(b"\n".join(lines))
    lines = re.split(rb"\r\n|\r|\n", path.read_bytes())
    try:
        pairs = read_pairs(path, np.array([0, 2, 3]))
    except UserError as error:
        named = re.match(rf"{path}:([0-9]+): (.*)", str(error), re.DOTALL)
        if named and "expected" in named[2]:
            assert not re.fullmatch(rb"[0-9]{1,7} [0-9]{1,7} [01]", lines[int(named[1]) - 1])
        elif named and "no face" in named[2]:
            assert {int(v) for v in lines[int(named[1]) - 1].split()[:2]} - {0, 2, 3}
        elif named:
            assert "again" in named[2]
            twice = int(re.search(r"line ([0-9]+)", named[2])[1])
            assert lines[twice - 1].split()[:2] == lines[int(named[1]) - 1].split()[:2]
        else:
            assert "empty" in str(error) or "has no" in str(error) or "such as" in str(error)
    else:
        rows = [[int(v) for v in line.split()] for line in lines if line.strip()]
        assert [
            [[0, 2, 3][a], [0, 2, 3][b], int(c)]
            for a, b, c in zip(pairs.first, pairs.second, pairs.same, strict=True)
        ] == rows


# Any list may be broken anywhere.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    small = make(subjects=4, probes=2)
    root = write_lists(small, tmp_path_factory.mktemp("tiny"))
    return small, root, {path: path.read_bytes() for path in sorted((root / "meta").iterdir())}


@settings(max_examples=250)
@given(st.data())
def test_a_damaged_list_is_a_user_error_or_reads(tiny, data):
    small, root, files = tiny
    path = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[path])
    at = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.sampled_from(["cut", "flip", "put", "drop"]))
    if damage == "cut":
        del content[at:]
    elif damage == "flip":
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    elif damage == "put":
        content[at:at] = data.draw(
            st.sampled_from([b"\n", b",", b" ", b"\0", b"nan", b"9" * 30, b"-", b"1e999", b"\xff", b"inf\n"])
        )
    else:
        del content[at : at + data.draw(st.integers(1, 20))]
    path.write_bytes(content)
    try:
        for result in ijb(root, "ijbb", "detector").score(small.embeddings):
            assert all(np.isnan(rate.value) or 0 <= rate.value <= 1 for rate in result.rates)
    except UserError as error:
        assert len(str(error)) < 1000
    finally:
        path.write_bytes(files[path])
