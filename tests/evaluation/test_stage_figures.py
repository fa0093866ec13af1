"""Figures of stages: kept with their options, shown in columns, and how they grow."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.evaluation.stage_figures import HEAD, Figure, growth, growth_lines

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


def test_figures_of_several_processes_are_those_of_the_processes_started():
    """Each child holds 100 MB and works on it; two of them count twice the larger one's memory."""
    code = "import numpy as np; held = np.ones(12_500_000); [held.sum() for _ in range(20)]"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True)
    one, two = FIGURE.of_children(1), FIGURE.of_children(2)
    assert one.peak_mib > 95
    assert two.peak_mib == 2 * one.peak_mib
    assert one.cpu_seconds > 0
    assert one.seconds == FIGURE.seconds


def test_a_line_stands_below_its_head():
    line = replace(FIGURE, process_seconds=3.25).line("two_stage", "220/s")
    assert line.split()[:6] == ["two_stage", "2.0", "3,000", "users", "1,500", "3.2"]  # 3000 / 2
    assert line[: HEAD.index("process s") + len("process s")].endswith(" 3.2")
    assert line.index("220/s") == HEAD.index("goal")
    assert line.index("T = 500") == HEAD.index("what")


@given(st.floats(0.1, 3), st.floats(0.01, 100))
def test_growth_is_the_exponent(exponent, factor):
    sizes = [1 / 16, 1 / 4, 1.0]
    assert growth(sizes, [factor * size**exponent for size in sizes]) == pytest.approx(exponent)


def test_every_stage_has_its_exponents_below_their_heads():
    """Four times the size: four times the seconds, twice the CPU time, the same memory."""
    small = Figure(2.0, 100, "users", cpu_seconds=3.0, peak_mib=50.0)
    large = replace(small, seconds=8.0, cpu_seconds=6.0)
    head, line = growth_lines({"gold": {"quarter": small, "full": large}}, {"quarter": 0.25, "full": 1.0})
    assert line.split() == ["gold", "size^1.00", "size^0.50", "size^0.00"]
    assert line.index("size^0.50") + len("size^0.50") == head.index("CPU s ~") + len("CPU s ~")
