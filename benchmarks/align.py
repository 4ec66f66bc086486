"""Face detectors against CFP's own landmarks: how many faces they find, how well, how fast.

    python benchmarks/align.py CFP --weights face_detection_yunet_2023mar.onnx --every 4

CFP is the folder with Data/Images and Data/Fiducials. Prints a Markdown table. A face counts as found if
its five points are, on average, less than 25 pixels of the aligned 112x112 crop off. Times are
processor time of the detector alone, on one core, in the lots in which `evenface align` hands pictures over.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from evenface.align.find import chosen, look_twice, shrunk
from evenface.faces import TEMPLATE_112, five_points_from_30, read_image, similarity
from evenface.faces.detect import DETECTORS, Detection

Look = Callable[[Sequence[NDArray[np.uint8]]], list[list[Detection]]]
LOT, LONGEST = 16, 1000
FOUND = 25.0
MARKED = {
    True: [0, 2, 3],
    False: [1, 2, 4],
}  # eye, nose tip, mouth corner; by whether the left side is marked
HEADER = (
    "| detector | pose | pictures | found, % | five points, px: median | 95 % | "
    "three marked points, px: median | 95 % | of eyes to mouth, %: median | 95 % | images/s, one core |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def reference(path: Path) -> tuple[NDArray[np.float64], bool]:
    """CFP's five points, and whether its annotators marked the side on the left of the picture."""
    fiducials = np.loadtxt(path, delimiter=",")
    points = five_points_from_30(fiducials)
    eye = fiducials[12:18].mean(axis=0)
    return points, bool(np.allclose(points[0], eye))


def measure(look: Look, pictures: Sequence[Path], fiducials: Sequence[Path]) -> str:
    """The cells of a row of the table."""
    seconds, errors = 0.0, []
    for start in range(0, len(pictures), LOT):
        originals = [read_image(path) for path in pictures[start : start + LOT]]
        images = [shrunk(image, LONGEST) for image in originals]
        begin = time.process_time()
        lots = look(images)
        seconds += time.process_time() - begin
        for original, image, faces, path in zip(
            originals, images, lots, fiducials[start : start + LOT], strict=True
        ):
            if not faces:
                continue
            points, left = reference(path)
            points = (points + 0.5) * image.shape[0] / original.shape[0] - 0.5
            away = np.hypot(*(chosen(faces, image.shape[0], image.shape[1], "central").points - points).T)
            scale = np.hypot(*similarity(points, TEMPLATE_112)[0, :2])
            if away.mean() * scale < FOUND:
                length = np.hypot(*(points[:2].mean(axis=0) - points[3:].mean(axis=0)))
                marked = away[MARKED[left]].mean()
                errors.append((away.mean() * scale, marked * scale, 100 * marked / length))
    low_high = np.percentile(np.array(errors), [50, 95], axis=0).T.ravel()
    cells = [f"{value:.1f}" for value in low_high]
    found = f"{100 * len(errors) / len(pictures):.1f}"
    return " | ".join([f"{len(pictures):,}", found, *cells, f"{len(pictures) / seconds:.0f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cfp", type=Path)
    parser.add_argument("--weights", type=Path, help="YuNet's ONNX file; without it MTCNN alone")
    parser.add_argument("--every", type=int, default=1, help="take every so manieth picture")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    detectors = {"MTCNN": DETECTORS["mtcnn"]()}
    if options.weights:
        detectors["YuNet"] = DETECTORS["yunet"](weights=options.weights)
    images = options.cfp / "Data" / "Images"
    print(HEADER)
    looks: dict[str, Look] = {}
    for name, detector in detectors.items():
        looks |= {name: partial(look_twice, detector), f"{name}, no second look": detector}
    for name, look in looks.items():
        for pose in ("frontal", "profile"):
            pictures = sorted(images.glob(f"*/{pose}/*.jpg"))[:: options.every]
            places = [path.relative_to(images).with_suffix(".txt") for path in pictures]
            fiducials = [options.cfp / "Data" / "Fiducials" / place for place in places]
            print(f"| {name} | {pose} | {measure(look, pictures, fiducials)} |", flush=True)


if __name__ == "__main__":
    main()
