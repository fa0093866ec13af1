"""Figures of stages: kept with their options, shown in columns, and how they grow."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.benchmarks.stage_costs import HEAD, Figure, HeldTogether, growth, growth_lines

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


TELLS = Path("/proc/self/smaps_rollup").exists() and any(Path("/proc/self/task").glob("*/children"))


@pytest.mark.skipif(not TELLS, reason="the system does not tell what processes hold, or which were started")
def test_memory_of_processes_is_added_up_and_what_they_share_counts_once(tmp_path):
    """Two children of 100 MB each, of which one starts another; all three map the same 200 MB."""
    np.save(tmp_path / "shared.npy", np.ones(25_000_000))
    own = f"""
import subprocess, sys, time, numpy as np
shared = np.load({str(tmp_path / "shared.npy")!r}, mmap_mode="r"); shared.sum()
held = np.ones(12_500_000)
another = subprocess.Popen([sys.executable, "-c", sys.argv[1]]) if len(sys.argv) > 1 else None
time.sleep(2)
if another:
    another.wait()
"""
    with HeldTogether(0.05) as held:
        children = [subprocess.Popen([sys.executable, "-c", own, *more]) for more in ([own], [])]
        assert [child.wait() for child in children] == [0, 0]
    figure = FIGURE.of_children(held)
    assert 3 * 95 + 190 < figure.peak_mib < 3 * 95 + 190 + 250  # three times 100 MB, once 200, three interpreters
    assert figure.cpu_seconds > 0
    assert figure.seconds == FIGURE.seconds


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
