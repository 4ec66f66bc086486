"""YouTube Faces: the list, frames in folders and in video files, which frames are taken, and the pooling."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.errors import UserError
from evenface.evaluation.embed import FunctionEmbedder
from evenface.evaluation.evaluate import evaluate
from evenface.evaluation.protocols.ytf import ytf

from .conftest import GRAY_16, picture, raw_pixels, write

SPLITS, EACH = 3, 2
NUMBERS = (9, 10, 11, 100, 618)  # of the frames, which as text sort otherwise


def people(split):
    return [f"Ann_{'ABC'[split]}", f"Bo-{'ABC'[split]}"]


def lines():
    yield "split number, pair number in split, first name, second name, is same:"
    for split in range(SPLITS):
        a, b = people(split)
        rows = [
            (f"{a}/0", f"{a}/3", 1),
            (f"{b}/0", f"{b}/3", 1),
            (f"{a}/0", f"{b}/3", 0),
            (f"{b}/0", f"{a}/3", 0),
        ]
        for pair, (first, second, same) in enumerate(rows, start=1):
            yield f"{split + 1}, {pair}, {first}, {second}, {same}"


def videos():
    return [f"{person}/{number}" for split in range(SPLITS) for person in people(split) for number in (0, 3)]


def frame(video, number):
    return picture(videos().index(video) // 2, 1000 * videos().index(video) + number, 112)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "ytf"
    for video in videos():
        for number in NUMBERS:
            name = f"aligned_detect_{video[-1]}.{number}.jpg"
            write(root / video / name, frame(video, number))
    (root / "splits.txt").write_text("\n".join(lines()) + "\n")
    return root


def frames(pairs, video):
    item = [name.rsplit("/", 1)[0] for name in pairs.images.names].index(video)
    return [
        name.rsplit("/", 1)[1]
        for name, one in zip(pairs.images.names, pairs.item, strict=True)
        if one == pairs.item[item]
    ]


def known(pairs):
    """The pairs as (video, video, same, fold), by way of the frames' names."""
    first_frame = np.unique(pairs.item, return_index=True)[1]
    video = [pairs.images.names[i].rpartition("/")[0] for i in first_frame]
    return [
        (video[a], video[b], bool(same), int(fold))
        for a, b, same, fold in zip(pairs.first, pairs.second, pairs.same, pairs.fold, strict=True)
    ]


def expected():
    rows = [line.split(", ") for line in list(lines())[1:]]
    return [(first, second, same == "1", int(split) - 1) for split, _, first, second, same in rows]


def test_all_frames_in_the_order_of_their_numbers(root):
    pairs = ytf(root)
    assert known(pairs) == expected()
    assert len(pairs.images) == len(videos()) * len(NUMBERS)
    assert frames(pairs, "Bo-B/3") == [f"aligned_detect_3.{number}.jpg" for number in NUMBERS]
    assert pairs.conventions == {
        "frames": "all frames; 60 in all",
        "pooling": "mean of normalised frames",
        "crop": "frames already on the template",
    }
    assert (pairs.people[pairs.first] == pairs.people[pairs.second]).tolist() == pairs.same.tolist()
    assert pairs.sources == [root / "splits.txt"]
    pairs.images.check()


@pytest.mark.parametrize(
    ("most", "taken"),
    [(1, [2]), (2, [1, 3]), (3, [0, 2, 4]), (4, [0, 1, 3, 4]), (5, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])],
)
def test_at_most_so_many_frames_evenly_spread(root, most, taken):
    pairs = ytf(root, frames=most)
    assert frames(pairs, "Ann_A/0") == [f"aligned_detect_0.{NUMBERS[i]}.jpg" for i in taken]
    fewer = 12 if most > 5 else 0
    plural = f"at most {most} frames a video, evenly spread; {12 * len(taken)} in all"
    assert pairs.conventions["frames"] == f"{plural}, {fewer} of 12 videos have fewer"


@settings(max_examples=40)
@given(length=st.integers(1, 60), most=st.integers(1, 60))
def test_spread_frames_are_the_middles_of_equal_parts(tmp_path_factory, length, most):
    root = tmp_path_factory.mktemp("ytf")
    for video in videos():
        (root / video).mkdir(parents=True)
        (root / video / "1.jpg").touch()
    for number in range(2, length + 1):
        (root / "Ann_A/0" / f"{number}.jpg").touch()
    (root / "splits.txt").write_text("\n".join(lines()))
    taken = [int(name.removesuffix(".jpg")) - 1 for name in frames(ytf(root, most), "Ann_A/0")]
    assert len(taken) == min(length, most)
    for part, number in enumerate(taken):  # frame n covers the time from n to n + 1
        middle = (part + 0.5) * length / len(taken)
        assert number <= middle + 1e-9
        assert middle - 1e-9 < number + 1


def test_the_score_is_of_means_of_normalised_frames(root):
    pairs = ytf(root)
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(60, 6)) * rng.uniform(0.1, 9, (60, 1))).astype(np.float32)
    (result,) = pairs.score(rows)
    names = [name.rpartition("/")[0] for name in pairs.images.names]
    for k, (first, second, same, _) in enumerate(expected()):
        means = []
        for video in (first, second):
            own = [rows[i].astype(float) for i in range(60) if names[i] == video]
            assert len(own) == 5
            mean = sum(row / np.sqrt(row @ row) for row in own) / 5
            means.append(mean / np.sqrt(mean @ mean))
        assert result.pairs.scores[k] == pytest.approx(means[0] @ means[1], abs=1e-6)
        assert result.pairs.same[k] == same
    assert result.counts == {"genuine pairs": 6, "impostor pairs": 6, "pictures": 60, "videos": 12}
    shown = {name for pair in result.hardest for name in pair.names}
    assert all(name.endswith(".9.jpg") for name in shown)  # a video's first frame


def test_an_evaluation_of_the_whole_set(root):
    (result,) = evaluate(FunctionEmbedder(raw_pixels, GRAY_16, "raw pixels"), ytf(root))
    assert (result.protocol, result["accuracy"].value) == ("YTF", 1)


def to_video(root, video, suffix=".avi", size=112, code="MJPG"):
    file = root / f"{video}{suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    out = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*code), 25, (size, size))
    assert out.isOpened()
    for number in range(7):
        out.write(np.full((size, size, 3), (30 * number, 60, 240 - 30 * number), np.uint8))  # BGR
    out.release()


@pytest.mark.parametrize(("suffix", "code"), [(".avi", "MJPG"), (".mp4", "mp4v")])
def test_a_video_file_has_its_frames_inside(root, suffix, code):
    (root / "Ann_A/0").rename(root / "elsewhere")
    to_video(root, "Ann_A/0", suffix, code=code)
    pairs = ytf(root)
    inside = [i for i, name in enumerate(pairs.images.names) if name.startswith("Ann_A/0")]
    assert [pairs.images.names[i] for i in inside] == [f"Ann_A/0{suffix}#{n}" for n in range(7)]
    assert len(set(pairs.item[inside].tolist())) == 1
    for number, i in enumerate(inside):
        crop = pairs.images[i].astype(int)
        assert crop.shape == (112, 112, 3)
        assert np.abs(crop[50, 50] - [240 - 30 * number, 60, 30 * number]).max() < 12  # RGB
        assert pairs.images.path(i) == root / f"Ann_A/0{suffix}"
    pairs.images.check()
    before = pairs.images.sha256
    three = ytf(root, frames=3)
    assert [name for name in three.images.names if "#" in name] == [f"Ann_A/0{suffix}#{n}" for n in (1, 3, 5)]
    assert np.abs(three.images[inside[0] + 1][50, 50].astype(int) - [150, 60, 90]).max() < 12
    file = root / f"Ann_A/0{suffix}"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert ytf(root).images.sha256 != before
    file.unlink()
    with pytest.raises(UserError, match=rf"Ann_A/0{suffix}: missing"):
        pairs.images.check()


def test_many_threads_read_the_frames_of_several_videos(root):
    for video in videos()[:4]:
        (root / video).rename(root / f"was-{video.replace('/', '-')}")
        to_video(root, video)
    pairs = ytf(root)
    wanted = [i for i, name in enumerate(pairs.images.names) if "#" in name]
    alone = {i: ytf(root).images[i] for i in wanted[::5]}
    order = np.random.default_rng(0).permutation(wanted * 3)
    with ThreadPoolExecutor(8) as pool:
        for i, crop in zip(order, pool.map(pairs.images.read, order.tolist()), strict=True):
            assert int(i) not in alone or (crop == alone[int(i)]).all()


def test_videos_without_a_frame_are_counted_and_named(root):
    for path in (root / "Bo-B/3").iterdir():
        path.rename(path.with_suffix(".txt"))
    (root / "Ann_C/0").rename(root / "elsewhere")
    (root / "Ann_C/0.mp4").write_bytes(b"no video")
    says = r"2 of the 12 videos in .*splits.txt have no frame, first Bo-B/3; expected a folder Bo-B/3 of pict"
    with pytest.raises(UserError, match=says):
        ytf(root)


def test_frames_of_another_size_or_broken_are_named(root):
    write(root / "Ann_A/0/aligned_detect_0.9.jpg", picture(0, 0, 100))
    (root / "Ann_A/0/aligned_detect_0.10.jpg").write_bytes(b"no picture")
    (root / "Ann_A/3").rename(root / "elsewhere")
    to_video(root, "Ann_A/3", size=128)
    pairs = ytf(root)
    with pytest.raises(UserError, match=r"Ann_A/0/aligned_detect_0.9.jpg: is 100x100 pixels"):
        pairs.images[0]
    with pytest.raises(UserError, match=r"Ann_A/0/aligned_detect_0.10.jpg: not a picture"):
        pairs.images[1]
    with pytest.raises(UserError, match=r"Ann_A/3.avi#0: is 128x128 pixels"):
        pairs.images[pairs.images.names.index("Ann_A/3.avi#0")]
    to_video(root, "Ann_A/3")
    pairs = ytf(root)
    (root / "Ann_A/3.avi").write_bytes(b"gone")
    with pytest.raises(UserError, match=r"Ann_A/3.avi: frame 2 is gone"):
        pairs.images[pairs.images.names.index("Ann_A/3.avi#2")]
    (root / "Ann_B/0/aligned_detect_0.9.jpg").unlink()
    with pytest.raises(UserError, match=r"Ann_B/0/aligned_detect_0.9.jpg: missing"):
        pairs.images.check()


@pytest.mark.parametrize("spacing", [",", " , ", ",\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_same_list_in_other_clothes(root, spacing, end):
    text = end.join(line.replace(", ", spacing) for line in lines()) + end
    (root / "splits.txt").rename(root / "old.txt")
    (root / "list.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert known(ytf(root, splits=root / "list.txt")) == expected()


def change(number, line):
    return lambda text: [*text[: number - 1], *([] if line is None else [line]), *text[number:]]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (change(1, None), r"splits.txt:1: expected the names of the columns"),
        (lambda text: text[:1], "its splits differ in size"),
        (
            change(3, None),
            r"splits.txt:3: split 1, pair 3, but its place is split 1, pair 2; a line is missing",
        ),
        (change(5, None), "its splits differ in size"),
        (lambda text: text[:-1], "its splits differ in size"),
        (
            lambda text: [text[0], *text[5:]],
            r"splits.txt:2: split 2, pair 1, but its place is split 1, pair 1",
        ),
        (change(3, "1, 2, Bo-A/0, Bo-A/3"), r"splits.txt:3: expected '1, 1, Name/1, Name/5, 1'"),
        (change(3, "1, 2, Bo-A/0, Bo-A/3, 2"), r"splits.txt:3: expected"),
        (change(3, "1, 2, ../0, Bo-A/3, 0"), r"splits.txt:3: expected"),
        (change(3, "1, 2, Bo-A/0, Bo-A/x, 1"), r"splits.txt:3: expected"),
        (change(3, "1, 2, Bo\\A/0, Bo-A/3, 1"), r"splits.txt:3: expected"),
        (change(3, "1, 2, Bo-A/0, Bo-A/3, 0"), r"splits.txt:3: Bo-A/0 and Bo-A/3 cannot be an impostor pair"),
        (change(3, "1, 2, Bo-A/0, Ann_A/3, 1"), r"splits.txt:3: .* cannot be a genuine pair"),
        (change(3, "1, 2, Bo-A/0, Bo-A/0, 1"), r"splits.txt:3: .* cannot be a genuine pair"),
        (change(3, "1, 2, Bo-A/0, Bo-B/0, 0"), "its splits differ in size, or in how many pairs are genuine"),
        (change(3, "1, " + "2" * 5000 + ", Bo-A/0, Bo-A/3, 1"), r"splits.txt:3: expected"),
        (change(3, "1" + " " * 200_000 + "2, Bo-A/0, Bo-A/3, 1"), r"splits.txt:3: expected"),
        (change(3, ""), r"splits.txt:3: expected"),
    ],
)
def test_a_broken_list_is_named(root, edit, says):
    (root / "splits.txt").write_text("\n".join(edit(list(lines()))))
    with pytest.raises(UserError, match=says):
        ytf(root)


def test_a_missing_list_and_a_wrong_option_are_named(root, tmp_path):
    with pytest.raises(UserError, match=r"nowhere/splits.txt: No such file"):
        ytf(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"--ytf-frames: 0 is less than 1"):
        ytf(root, frames=0)


@pytest.fixture(scope="module")
def empty_frames(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    for video in videos():
        (root / video).mkdir(parents=True)
        (root / video / "1.jpg").touch()
    return root


@settings(max_examples=400)
@given(data=st.data())
def test_damaged_lists_are_refused_or_read_rightly(empty_frames, data):
    content = bytearray("\n".join(lines()).encode())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] = data.draw(st.one_of(st.sampled_from(b"\0\n\r ,019/"), st.integers(0, 255)))
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    (empty_frames / "splits.txt").write_bytes(
        data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + content[:end]
    )
    try:
        pairs = ytf(empty_frames)
    except UserError as error:
        assert "splits.txt" in str(error)
    else:
        rows = known(pairs)
        assert len(rows) % 4 == 0
        for first, second, same, _ in rows:
            assert (first.split("/")[0] == second.split("/")[0]) == same


def test_the_real_list(data_root, tmp_path):
    list_file = data_root / "protocols" / "ytf" / "splits.txt"
    text = [line.split(", ") for line in list_file.read_text().splitlines()[1:]]
    for video in {video for row in text for video in row[2:4]}:
        (tmp_path / video).mkdir(parents=True)
        (tmp_path / video / "0.1.jpg").touch()
    pairs = ytf(tmp_path, splits=list_file)
    assert (len(pairs), len(pairs.images), len(set(pairs.people.tolist()))) == (5000, 3226, 1447)
    assert known(pairs) == [
        (first, second, same == "1", int(split) - 1) for split, _, first, second, same in text
    ]
    person = [[video.split("/")[0] for video in row[:2]] for row in known(pairs)]
    assert [a == b for a, b in person] == pairs.same.tolist()
    for fold in range(10):
        assert (pairs.fold == fold).sum() == 500
        assert pairs.same[pairs.fold == fold].sum() == 250
    assert pairs.conventions["frames"] == "all frames; 3,226 in all"
