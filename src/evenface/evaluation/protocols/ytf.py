"""YouTube Faces: 5,000 pairs of videos in 10 folds of 250 + 250 (Wolf, Hassner and Maoz, CVPR 2011)."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.evaluation.protocols.frames import FrameReader, FrameSet, frames_of
from evenface.evaluation.protocols.pairs import PairSet, check_kinds, read_lines

_VIDEO = r"([^\s,\\/\0.][^\s,\\/\0]*)/([0-9]{1,4})"
_LINE = re.compile(rf"([0-9]{{1,9}}),([0-9]{{1,9}}),{_VIDEO},{_VIDEO},([01])")


def ytf(root: Path, frames: int | None = None, splits: Path | None = None) -> PairSet:
    """The video pairs of YTF; a video's embedding is the mean of its frames' normalised embeddings.

    Args:
        root: holds a folder `Name/3` of frames for each video, or a file `Name/3.mp4` or `Name/3.avi`. Frames
            are 112x112 crops on the template, in pictures of any name; the last number of the name is the
            frame's (`aligned_detect_3.618.jpg`). The set's own `aligned_images_DB` has loose crops, a face's
            box enlarged 2.2 times: align them first.
        frames: of a video with more frames, take this many, the middle ones of as many equal parts of it;
            None takes all frames.
        splits: the list; by default `root/splits.txt`. After a first line of names there is a pair in each:
            split, pair, first video, second video, 1 or 0 (`1, 1, Sadie_Frost/1, Sadie_Frost/5, 1`).

    Raises:
        UserError: a broken line, pairs that are not numbered one by one, a flag that does not agree with the
            people, or folds of different make-up, with file and line; videos without a frame; when a frame is
            loaded, one of another size.
    """
    if frames is not None and frames < 1:
        raise UserError(f"--ytf-frames: {frames} is less than 1; leave it out for all frames")
    splits = splits or root / "splits.txt"
    rows = _pairs(splits)
    videos = list(dict.fromkeys(video for row in rows for video in (row.first, row.second)))
    names, item, short = _frames(root, videos, frames, splits)
    place = {video: i for i, video in enumerate(videos)}
    people = np.unique([video.split("/")[0] for video in videos], return_inverse=True)[1]
    same = np.array([row.same for row in rows], dtype=np.bool_)
    fold = np.array([row.split for row in rows], dtype=np.int64) - 1
    check_kinds(splits, same, fold)
    taken = "all frames" if frames is None else f"at most {frames} frames a video, evenly spread"
    fewer = "" if frames is None else f", {short:,} of {len(videos):,} videos have fewer"
    return PairSet(
        name="YTF",
        images=FrameSet(root, names, FrameReader(root, names)),
        first=np.array([place[row.first] for row in rows], dtype=np.int64),
        second=np.array([place[row.second] for row in rows], dtype=np.int64),
        same=same,
        fold=fold,
        conventions={
            "frames": f"{taken}; {len(names):,} in all{fewer}",
            "pooling": "mean of normalised frames",
            "crop": "frames already on the template",
        },
        sources=[splits],
        people=people.astype(np.int64),
        item=item,
    )


@dataclass(frozen=True)
class _Pair:
    split: int
    first: str
    second: str
    same: bool


def _pairs(file: Path) -> list[_Pair]:
    lines = read_lines(file)
    if not lines[0].startswith("split"):
        raise UserError(
            f"{file}:1: expected the names of the columns, 'split number, pair number in split, …', "
            f"found {lines[0]!r}; fetch the list again"
        )
    rows: list[_Pair] = []
    split, pair = 1, 0
    for number, line in enumerate(lines[1:], start=2):
        found = _LINE.fullmatch(",".join(field.strip() for field in line.split(",")))
        if found is None:
            raise UserError(f"{file}:{number}: expected '1, 1, Name/1, Name/5, 1', found {line!r}")
        if int(found[1]) == split + 1 and pair:
            split, pair = split + 1, 0
        pair += 1
        if (int(found[1]), int(found[2])) != (split, pair):
            raise UserError(
                f"{file}:{number}: split {found[1]}, pair {found[2]}, but its place is split {split}, "
                f"pair {pair}; a line is missing or one too many"
            )
        first, second, same = f"{found[3]}/{found[4]}", f"{found[5]}/{found[6]}", found[7] == "1"
        if (found[3] == found[5]) != same or first == second:
            kind = "a genuine" if same else "an impostor"
            raise UserError(f"{file}:{number}: {first} and {second} cannot be {kind} pair")
        rows.append(_Pair(split, first, second, same))
    sizes = Counter((row.split, row.same) for row in rows)
    if len(set(sizes.values())) > 1 or len(sizes) != 2 * split:
        raise UserError(
            f"{file}: its splits differ in size, or in how many pairs are genuine (250 of 500 each in the "
            "official list); it is cut short; fetch it again"
        )
    return rows


def _frames(
    root: Path, videos: list[str], most: int | None, splits: Path
) -> tuple[list[str], NDArray[np.int64], int]:
    """Names of all frames that are taken, the video of each, and how many videos have fewer than `most`."""
    names: list[str] = []
    lengths: list[int] = []
    missing = []
    short = 0
    for video in videos:
        found = frames_of(root, video)
        if not found:
            missing.append(video)
        if most is not None:
            short += len(found) < most
            if len(found) > most:
                found = [found[(2 * part + 1) * len(found) // (2 * most)] for part in range(most)]
        names += found
        lengths.append(len(found))
    if missing:
        raise UserError(
            f"{root}: {len(missing):,} of the {len(videos):,} videos in {splits} have no frame, first "
            f"{missing[0]}; expected a folder {missing[0]} of pictures, or a file {missing[0]}.mp4 or .avi"
        )
    return names, np.repeat(np.arange(len(videos)), lengths), short
