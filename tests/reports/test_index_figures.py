"""Figures of tuned indexes: labels stand apart and inside, nothing is lost where settings are few or far apart."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from twotower.ann.measuring.pareto import Goal, IndexSearch, Setting
from twotower.ann.measuring.timing import Footprint, Latency
from twotower.reports.index_figures import (
    _Label,
    _narrowed,
    _place,
    _stretched,
    draw_backends,
    draw_memory,
    draw_time,
)


def setting(name, recall, ms, own=1000):
    latency, size = Latency(10, ms, 2 * ms, 5), Footprint(own, 0, 10)
    return Setting(name.split()[0], name, name, "C", {}, {10: recall, 100: recall}, latency, 1.0, size, 0.0)


def tuned(*settings, **options):
    return IndexSearch("made up", 10, 8, "cosine", 5, 1, Goal(0.99, 64), settings, chosen=settings[0], **options)


def placed(labels, points=()):
    figure = Figure(figsize=(8, 5))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    figure.draw_without_rendering()
    _place(axes, labels, points)
    return axes


def test_labels_overlap_neither_each_other_nor_the_border():
    rng = np.random.default_rng(0)
    labels = [_Label(f"setting number {i}", [tuple(point)], "#0072B2") for i, point in enumerate(rng.random((40, 2)))]
    axes = placed(labels)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert 10 < len(boxes) < 40  # those without room are left out
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert all(axes.bbox.x0 <= b.x0 and b.x1 <= axes.bbox.x1 and b.y0 >= axes.bbox.y0 for b in boxes)


def test_the_first_label_is_written_whatever_comes_later():
    axes = placed([_Label("wanted most", [(0.5, 0.5)], "black"), _Label("crowding", [(0.5, 0.5)], "black")] * 9)
    assert axes.texts[0].get_text() == "wanted most"


def test_a_label_avoids_dots_where_it_can():
    around = [(x, 0.52) for x in np.linspace(0.2, 0.48, 60)]  # where the label would stand otherwise
    text = placed([_Label("name", [(0.5, 0.5)], "black")], around).texts[0]
    left = placed([_Label("name", [(0.5, 0.5)], "black")]).texts[0]
    assert text.get_position() != left.get_position()


@pytest.mark.parametrize("recall", [0.0, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_stretching_is_undone_by_narrowing(recall):
    assert _narrowed(_stretched(recall)) == pytest.approx(recall)


def test_tenfold_fewer_losses_are_equal_steps():
    heights = _stretched(np.array([0.9, 0.99, 0.999]))
    np.testing.assert_allclose(np.diff(heights), [1, 1], atol=0.05)


@pytest.mark.parametrize("draw", [draw_time, draw_memory, draw_backends])
@pytest.mark.parametrize(
    "settings",
    [
        [setting("exact", 1.0, 1.0, own=0)],
        [setting("exact", 1.0, 1.0), setting("cells 1", 0.01, 1e-4, own=5), setting("cells 2", 0.9, 50, own=10**6)],
        [setting(f"b{i} n", 0.5, 1.0) for i in range(12)],  # more backends than colours, all at one place
    ],
)
def test_every_figure_is_drawn_whatever_was_measured(draw, settings, tmp_path):
    draw(tuned(*settings), tmp_path / "figure.png")
    pixels = imread(tmp_path / "figure.png")[..., :3]
    assert pixels.shape == (832, 1344, 3)  # 8.4 x 5.2 inches at 160 dots
    assert 0.001 < (pixels < 0.9).any(axis=2).mean() < 0.3  # neither blank nor black
