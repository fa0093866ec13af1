"""Figures of a search over indexes: one drawing of fronts, labels apart and inside, any settings are drawn."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from twotower.ann.measuring.pareto import Goal, IndexSearch, Setting
from twotower.ann.measuring.timing import Footprint, Latency
from twotower.reports.figures import PRINT
from twotower.reports.front import cost_ticks, draw_front, draw_labels
from twotower.reports.index_figures import _narrowed, _stretched, draw_backends, draw_memory, draw_time


def setting(name, recall, ms, own=1000):
    latency, size = Latency(10, ms, 2 * ms, 5), Footprint(own, 0, 10)
    return Setting(name.split()[0], name, name, "C", {}, {10: recall, 100: recall}, latency, 1.0, size, 0.0)


def search(*settings, **options):
    return IndexSearch("made up", 10, 8, "cosine", 5, 1, Goal(0.99, 64), settings, chosen=settings[0], **options)


def labelled(labels):
    figure = Figure(figsize=(8, 5))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    figure.draw_without_rendering()
    draw_labels(labels, axes, PRINT)
    return axes


def test_labels_overlap_neither_each_other_nor_a_named_point_nor_the_sides():
    points = np.random.default_rng(0).random((40, 2))
    axes = labelled([(f"setting number {i}", tuple(point)) for i, point in enumerate(points)])
    boxes = [text.get_window_extent() for text in axes.texts]
    assert 10 < len(boxes) < 40  # those without room are left out
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.contains(*axes.transData.transform(point)) for box in boxes for point in points)
    assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in boxes)


def test_the_first_label_is_written_whatever_comes_later():
    axes = labelled([("wanted most", (0.5, 0.5)), *[("crowding", (0.5, 0.5))] * 9])
    assert axes.texts[0].get_text() == "wanted most"


def test_a_label_stands_to_the_upper_left_where_a_front_has_nothing_and_else_to_the_lower_right():
    middle, edge = (labelled([("name", (x, 0.5))]).texts[0] for x in (0.5, 0.01))
    assert (middle.get_ha(), middle.get_va()) == ("right", "bottom")
    assert (edge.get_ha(), edge.get_va()) == ("left", "top")


def test_a_front_is_one_line_per_name_from_the_cheapest_to_the_dearest():
    axes = Figure().add_subplot()
    draw_front({"a": [(3.0, 0.9), (1.0, 0.5)], "b": [(2.0, 0.7)]}, axes, PRINT)
    assert {line.get_label(): line.get_xydata().tolist() for line in axes.lines} == {
        "a": [[1.0, 0.5], [3.0, 0.9]], "b": [[2.0, 0.7]]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("costs", "ticks"),
    [([0.3, 4.0], [0.2, 0.5, 1, 2, 5]), ([1.0, 1.0], [1]), ([0.02, 900.0], [0.1, 1, 10, 100, 1000])],
)
def test_ticks_are_round_and_take_in_all_costs_or_powers_of_ten_where_those_are_many(costs, ticks):
    axes = Figure().add_subplot()
    cost_ticks(costs, axes)
    assert axes.get_xticks() == pytest.approx(ticks)


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
    draw(search(*settings), tmp_path / "figure.png")
    pixels = imread(tmp_path / "figure.png")[..., :3]
    assert pixels.shape == (832, 1344, 3)  # 8.4 x 5.2 inches at 160 dots
    assert 0.001 < (pixels < 0.9).any(axis=2).mean() < 0.3  # neither blank nor black
