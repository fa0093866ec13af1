"""Figures of stages: kept with their options, shown in columns, and how they grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.evaluation.stage_figures import HEAD, Figure, growth

FIGURE = Figure(2.0, 3000, "users", "T = 500")


def test_a_saved_figure_comes_back_with_its_options(tmp_path):
    path = tmp_path / "train.json"
    measured = FIGURE.of_this_process()
    measured.save(path, ("train.epochs=1",))
    assert Figure.load(path) == measured
    assert Figure.options_of(path) == ["train.epochs=1"]
    assert measured.peak_mib > 10
    assert measured.cpu_seconds > 0
    assert [file.name for file in tmp_path.iterdir()] == ["train.json"]


def test_a_line_stands_below_its_head():
    line = FIGURE.line("two_stage", "220/s")
    assert line.split()[:5] == ["two_stage", "2.0", "3,000", "users", "1,500"]  # 3000 / 2
    assert line.index("220/s") == HEAD.index("goal")
    assert line.index("T = 500") == HEAD.index("what")


@given(st.floats(0.1, 3), st.floats(0.01, 100))
def test_growth_is_the_exponent(exponent, factor):
    sizes = [1 / 16, 1 / 4, 1.0]
    assert growth(sizes, [factor * size**exponent for size in sizes]) == pytest.approx(exponent)
