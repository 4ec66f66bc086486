from math import log10

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy.stats import norm

from evenface.evaluation import plots
from evenface.evaluation.drawing import POINTS, colour_of, dashes_of, shortened, svg
from evenface.evaluation.metrics import Roc, cmc, open_set, roc
from evenface.evaluation.results import Histogram, Rate

SAME = np.arange(5000) < 2000


def scores(distance: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(np.where(SAME, distance, 0), 1)


def models(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_gid() == "model"]


def drawn_at(line: Line2D, x: float) -> float:
    """What the eye reads off a curve of steps."""
    assert line.get_drawstyle() == "steps-post"
    xs, ys = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    return float(ys[np.searchsorted(xs, x, side="right") - 1])


def labels(axis) -> list[str]:
    low, high = sorted(axis.get_view_interval())
    ticks = sorted(tick for tick in axis.get_majorticklocs() if low <= tick <= high)
    return [axis.get_major_formatter()(tick) for tick in ticks]


def test_roc_draws_tar_over_the_logarithm_of_far():
    values = {"far apart": scores(2.0), "near": scores(1.0, 1)}
    (axes,) = plots.roc_figure({name: roc(s, SAME) for name, s in values.items()}).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert axes.get_xlim() == (1 / 3000, 1)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("FAR", "TAR, %")
    assert labels(axes.xaxis) == ["1e-3", "1e-2", "1e-1", "1"]
    assert [line.get_label() for line in models(axes)] == list(values)
    for line, s in zip(models(axes), values.values(), strict=True):
        for allowed in (1, 2, 5, 30, 100, 333, 2000):
            # The highest threshold that lets no more impostors pass is just above the next one's score.
            falling = np.sort(s[~SAME])[::-1]
            tar = 100 * np.mean(s[SAME] > falling[allowed])
            assert drawn_at(line, allowed / 3000 + 1e-12) == pytest.approx(tar, abs=0.3)
    # One to ten impostor pairs.
    x0, x1 = axes.patches[0].get_extents().transformed(axes.transData.inverted()).intervalx
    assert (x0, x1) == (pytest.approx(1 / 3000), pytest.approx(10 / 3000))


@pytest.mark.parametrize(
    ("least", "floor"), [(0, 0), (49, 0), (50, 50), (79, 50), (80, 80), (94, 90), (99, 98)]
)
def test_the_vertical_axis_begins_at_a_round_value_below_the_curve(least: int, floor: int):
    genuine = np.where(np.arange(100) < least, 0.9, 0.1)
    values, same = np.append(genuine, np.full(50, 0.5)), np.arange(150) < 100
    (axes,) = plots.roc_figure({"perfect": roc(np.where(same, 1, 0), same), "a": roc(values, same)}).axes
    assert axes.get_ylim()[0] == floor
    assert axes.get_ylim()[1] > 100  # a line at 100 % is seen whole


def test_det_has_normal_deviate_axes_of_both_errors():
    s = scores(2.5)
    (axes,) = plots.det_figure({"a": roc(s, SAME)}).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("FAR, %", "FNMR, %")
    for axis in (axes.xaxis, axes.yaxis):
        assert axis.get_transform().transform(np.array([0.5, 0.01])) == pytest.approx(norm.ppf([0.5, 0.01]))
    assert labels(axes.xaxis) == ["0.1", "1", "5", "20", "40", "60"]
    assert {"1", "5", "20"} <= set(labels(axes.yaxis))
    assert axes.get_xlim() == (pytest.approx(1 / 3000), pytest.approx(0.6))
    assert axes.get_ylim()[0] == pytest.approx(0.5 / 2000)
    (line,) = models(axes)
    for allowed in (1, 10, 100, 1000):
        missed = np.mean(s[SAME] <= np.sort(s[~SAME])[::-1][allowed])
        assert drawn_at(line, allowed / 3000 + 1e-12) == pytest.approx(missed, rel=0.05, abs=1e-3)
    (equal,) = [line for line in axes.lines if line.get_gid() != "model"]
    assert np.array_equal(equal.get_xdata(), equal.get_ydata())


def test_det_of_normal_scores_is_a_straight_line():
    # With equal deviations the deviates differ by the distance of the means (Martin et al., 1997).
    thresholds = np.linspace(3, -1, 400)
    n = 10**9
    curve = Roc(
        np.append(np.inf, np.append(thresholds, -np.inf)),
        np.rint(n * np.append(0, np.append(norm.sf(thresholds), 1))).astype(np.int64),
        np.rint(n * np.append(0, np.append(norm.sf(thresholds - 2), 1))).astype(np.int64),
    )
    (axes,) = plots.det_figure({"a": curve}).axes
    x, y = (norm.ppf(v[2:-1]) for v in models(axes)[0].get_data())
    assert x + y == pytest.approx(np.full(len(x), -2.0), abs=0.01)


def test_det_of_a_perfect_model_lies_on_the_lower_edge():
    (axes,) = plots.det_figure({"a": roc(np.where(SAME, 0.9, 0.1), SAME)}).axes
    (line,) = models(axes)
    assert set(line.get_ydata()) == {axes.get_ylim()[0]}


def test_long_curves_are_thinned_and_keep_their_shape():
    rng = np.random.default_rng(0)
    same = np.arange(2_000_000) < 20_000
    curve = roc(rng.normal(np.where(same, 4.0, 0), 1), same)
    (axes,) = plots.roc_figure({"a": curve}).axes
    (line,) = models(axes)
    xs, ys = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert 200 < len(xs) <= POINTS + 1
    assert (xs[-1], ys[-1]) == (1, 100)
    # Every point of the curve has a drawn one before it, not further along the axes than a 499th of them.
    height = np.ptp(axes.get_ylim())
    along = np.log10(np.maximum(curve.far, xs[0])) / -log10(xs[0]) + 100 * curve.tar / height
    drawn = np.log10(xs) / -log10(xs[0]) + ys / height
    here = along >= drawn[0]
    assert np.isin(drawn[1:], along).all()
    assert (along - drawn[np.searchsorted(drawn, along, side="right") - 1])[here].max() < 1 / 490
    # Short curves lose no step that can be seen.
    (axes,) = plots.roc_figure({"a": roc([6, 5, 4, 3, 2, 1], [True, False] * 3)}).axes
    (line,) = models(axes)
    third = 100 / 3
    expected = [[0.1, third], [1 / 3, third], [1 / 3, 2 * third], [2 / 3, 2 * third], [2 / 3, 100], [1, 100]]
    assert line.get_xydata() == pytest.approx(np.array(expected))


def test_cmc_has_a_logarithmic_axis_where_there_are_many_ranks():
    ranks = np.random.default_rng(0).geometric(0.2, 3000)
    (axes,) = plots.cmc_figure({"a": cmc(ranks, most=100)}).axes
    assert (axes.get_xscale(), axes.get_xlim()) == ("log", (1, 100))
    assert labels(axes.xaxis) == ["1", "2", "5", "10", "20", "50", "100"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("rank", "mate among the first, %")
    x, y = models(axes)[0].get_data()
    assert (x[0], x[-1]) == (1, 100)
    assert y == pytest.approx([100 * np.mean(ranks <= rank) for rank in x])

    (axes,) = plots.cmc_figure({"a": cmc(ranks, most=10)}).axes
    assert axes.get_xscale() == "linear"
    assert list(axes.get_xticks()) == list(range(1, 11))
    assert models(axes)[0].get_xydata()[:, 1] == pytest.approx(
        [100 * np.mean(ranks <= rank) for rank in range(1, 11)]
    )


def test_dir_draws_tpir_over_the_logarithm_of_fpir():
    rng = np.random.default_rng(0)
    mated, hit, alone = rng.normal(2, 1, 800), rng.random(800) < 0.9, rng.normal(0, 1, 1000)
    (axes,) = plots.dir_figure({"a": open_set(mated, hit, alone)}).axes
    assert (axes.get_xscale(), axes.get_xlim()) == ("log", (1e-3, 1))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("FPIR", "TPIR, %")
    for allowed in (1, 10, 200):
        tpir = 100 * np.mean(hit & (mated > np.sort(alone)[::-1][allowed]))
        assert drawn_at(models(axes)[0], allowed / 1000 + 1e-12) == pytest.approx(tpir, abs=0.5)


def test_distractors_are_drawn_in_order_with_their_deviations():
    rates = {n: Rate("", "", v, deviation=0.1) for n, v in ((1e6, 0.65), (10.0, 0.9), (1e3, 0.8))}
    (axes,) = plots.distractor_figure({"a": rates}).axes
    assert axes.get_xscale() == "log"
    (line,) = models(axes)
    assert np.array_equal(line.get_xydata(), [[10, 90], [1e3, 80], [1e6, 65]])
    (deviations,) = axes.collections
    ends = np.array(deviations.get_segments())
    assert ends[:, :, 1] == pytest.approx(np.array([[80, 100], [70, 90], [55, 75]]))
    assert axes.get_ylim()[0] == 50
    assert {"10", "1k", "1M"} <= set(labels(axes.xaxis))


def test_histograms_show_shares_on_common_axes_and_the_threshold():
    rng = np.random.default_rng(0)
    both = {
        name: Histogram(
            *(np.bincount(rng.binomial(199, p, n), minlength=200) for p, n in ((0.8, 500), (0.5, 20_000)))
        )
        for name in ("a", "b")
    }
    figure = plots.histogram_figure(both, {"b": 0.25})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b"]
    for axes, one in zip(figure.axes, both.values(), strict=True):
        impostors, genuine = (patch.get_data() for patch in axes.patches)
        for found, counts in ((impostors, one.impostor), (genuine, one.genuine)):
            assert found.values.sum() == pytest.approx(100)
            centres = np.arange(200) / 100 - 0.995
            middle = (found.edges[1:] + found.edges[:-1]) / 2
            mean = (counts * centres).sum() / counts.sum()
            assert (found.values * middle).sum() / 100 == pytest.approx(mean, abs=0.01)
        low, high = axes.get_xlim()
        used = np.flatnonzero(sum(one.genuine + one.impostor for one in both.values()))
        assert low <= used[0] / 100 - 1 < low + 0.06
        assert high - 0.06 < (used[-1] + 1) / 100 - 1 <= high
        assert ((found.edges >= low) & (found.edges <= high)).sum() <= 62
    assert not figure.axes[0].lines
    assert figure.axes[1].lines[0].get_xdata() == [0.25, 0.25]


def test_a_model_keeps_its_look_and_every_look_differs():
    looks = [(colour_of(place), dashes_of(place)) for place in range(49)]
    assert len(set(looks)) == 49
    # Neighbours differ in both, so that a print without colours is readable.
    assert len({dashes for _, dashes in looks[:7]}) == len({colour for colour, _ in looks[:7]}) == 7
    curve = roc(scores(1), SAME)
    (axes,) = plots.roc_figure({"a": None, "b": curve, "c": None, "d": curve}).axes
    assert [line.get_color() for line in models(axes)] == [colour_of(1), colour_of(3)]
    (axes,) = plots.histogram_figure(
        {"a": None, "b": Histogram(np.ones(200, np.int64), np.ones(200, np.int64))}
    ).axes
    assert axes.patches[1].get_edgecolor()[:3] == pytest.approx((0, 0x72 / 255, 0xB2 / 255))


@pytest.mark.filterwarnings("error")
def test_svg_has_text_that_can_be_read_and_nothing_twice():
    names = ["$x_1$ \\bad$", "_hidden", "臉", "<b>&", "a" * 60]
    curve = roc(scores(1), SAME)
    figure = plots.roc_figure(dict.fromkeys(names, curve))
    text = svg(figure, 'ROC of "<b>"')
    assert text.startswith('<svg role="img" aria-label="ROC of &quot;&lt;b&gt;&quot;"')
    for words in ("$x_1$ \\bad$", "_hidden", "臉", "&lt;b&gt;&amp;", "FAR", "TAR, %", "1e-3"):
        assert f"{words}</text>" in text
    assert "<b>" not in text
    assert "a" * 60 not in text
    assert shortened("a" * 60) in text
    assert "<metadata" not in text
    assert 'id="figure' not in text
    assert text == svg(plots.roc_figure(dict.fromkeys(names, curve)), 'ROC of "<b>"')


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("right", [True, False])
def test_the_smallest_sets_are_drawn(right: bool):
    two = roc([0.2, 0.1], [right, not right])
    one_bin = Histogram(*np.eye(200, dtype=np.int64)[[3, 3]])
    for figure in (
        plots.roc_figure({"a": two}),
        plots.det_figure({"a": two}),
        plots.cmc_figure({"a": cmc([1 if right else 2], most=1)}),
        plots.dir_figure({"a": open_set([0.2], [right], [0.1 if right else 0.3])}),
        plots.histogram_figure({"a": one_bin}),
    ):
        assert svg(figure).startswith("<svg")


def test_plots_of_scores_are_those_of_their_curves():
    both = {"first": (scores(1) / 10, SAME), "second": (scores(2) / 10, SAME)}
    drawn = plots.roc_plot(both)
    assert drawn == svg(
        plots.roc_figure({name: roc(s, SAME) for name, (s, _) in both.items()}), "ROC: TAR over FAR"
    )
    assert plots.histogram_plot(both).count("genuine pairs</text>") == 2
    strips = plots.strip_plot({"first": np.array([1.0, 3.0, 2.0])}, "degrees", 4.0)
    assert "first</text>" in strips
    assert "degrees</text>" in strips
    assert "evenest possible</text>" in strips
