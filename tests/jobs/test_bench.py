"""The benchmark job, on the made-up shop: each figure comes with the command that measures it alone."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHOP = ["data=own", "data.source.path=examples/own_data/shop.yaml", "towers.dim=8", "towers.history=mean"]


def test_each_figure_stands_below_the_command_that_measures_it_alone():
    command = [sys.executable, "pipelines/bench/overview.py", "--users=300", "--items=2000", *SHOP]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    shown = [line for line in lines if line.startswith("$ ")]
    assert shown == [
        *(
            f"$ python pipelines/bench/overview.py --only {name} {' '.join(SHOP)}"
            for name in ("loading", "training", "evaluation")
        ),
        "$ python pipelines/bench/exact_lists.py --users=300 --items=2000",
    ]
    for command_line, what in zip(shown, ("events", "training events", "users"), strict=False):
        figure = lines[lines.index(command_line) + 1]
        found = re.search(rf" ([\d,]+) {what} in +[\d.]+ s +([\d,]+) per second +peak memory ([\d,]+) MiB$", figure)
        assert found, figure
        assert all(int(number.replace(",", "")) > 0 for number in found.groups())
    assert [line for line in lines[lines.index(shown[-1]) :] if line.startswith("ours ")]
