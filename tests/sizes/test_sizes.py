from pathlib import Path

import cv2
import numpy as np
import pytest

from evenface import cli
from evenface.sizes.command import summary
from evenface.sizes.plot import plot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    for person, images in {"ann": 9, "bob": 4, "cat": 1}.items():
        (tmp_path / "faces" / person).mkdir(parents=True)
        for i in range(images):
            cv2.imwrite(str(tmp_path / "faces" / person / f"{i}.png"), picture)
    return tmp_path / "faces"


def test_the_table(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sizes", str(root), "--plot", str(tmp_path / "sizes.png")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "14 images of 3 people (1 to 9 each) imbalance 9 (most to fewest)" in said
    assert "8 to 15 1 9 " in said and "4 to 7 1 4 " in said and "1 1 1 " in said
    # By the square roots 3, 2, 1 the 14 draws are 7, 4.67 and 2.33.
    assert "square-root 7.0 = 9 x 0.78 4.7 = 4 x 1.17 2.3 = 1 x 2.33" in said
    assert "the most images: ann (9), bob (4), cat (1)" in said
    picture = cv2.imread(str(tmp_path / "sizes.png"))
    assert picture is not None and picture.std() > 10


def test_a_cut_is_shown_as_training_makes_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sizes", str(root), "--imbalance", "1"]) == 0
    assert "3 images of 3 people (1 to 1 each)" in capsys.readouterr().out


def test_the_summary_at_known_counts() -> None:
    # Gini: mean difference of two people's images, over twice the mean, (|8-2| 2) / 4 / 2 / 5.
    assert summary(np.array([8, 2])) == (
        "imbalance 4 (most to fewest); Gini 0.300; mean 5.0, median 5; the tenth of the people with the "
        "most images have 80% of them"
    )


@pytest.mark.parametrize("counts", [[1], [3, 3, 3], [1000, 10, 1], list(range(300, 0, -1))])
def test_any_counts_can_be_drawn(counts: list[int]) -> None:
    figure = plot(np.array(counts), 100.0)
    bars, lines = figure.axes
    assert sum(bars.patches[0].get_data().values) == len(counts)  # type: ignore[attr-defined]
    draws = np.array([line.get_ydata() for line in lines.lines], dtype=float)
    assert draws.sum(axis=1) == pytest.approx([sum(counts)] * 4)


def test_a_picture_of_another_kind_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sizes", str(root), "--plot", "sizes.txt"]) == 2
    assert "--plot: sizes.txt ends in none of .png, .pdf, .svg" in capsys.readouterr().err
