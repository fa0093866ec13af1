"""The job that says how hard the simulated market is, on the demo market and few users."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_contender_has_a_row_and_who_knows_the_tastes_is_most_precise():
    command = [sys.executable, "pipelines/bench/market_ceiling.py", "demo", "als", "epochs=3", "--users", "300"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows = re.findall(
        r"^\| ([a-z ]+) \| (\d+\.\d\d) ± 0?\d\.\d\d % \| 0\.\d{4} ± 0\.\d{4} \| \d+ \|$", out, re.MULTILINE
    )
    assert [name for name, _ in rows] == ["als", "ceiling", "flat oracle"]
    precision = {name: float(figure) for name, figure in rows}
    assert precision["ceiling"] == max(precision.values())
    assert precision["ceiling"] > 2 * precision["als"]
    assert "marketplace-demo-v2, 300 users" in out
