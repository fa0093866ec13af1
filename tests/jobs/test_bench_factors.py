"""The benchmark of factor models, on a made-up market of a thousandth of the reference's size."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lines_of(*words: str) -> list[str]:
    command = [sys.executable, "pipelines/bench/factor_models.py", *words, "--market", "0.001", "dim=4"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.slow
def test_every_model_has_a_line_after_the_machine():
    machine, *lines = lines_of("hybrid", "als", "epochs=2")
    assert machine.startswith("system: ")
    for name, line in zip(("hybrid", "als"), lines, strict=True):
        found = re.match(rf"{name} +MAP@10 0\.\d+ .* ([\d,]+) pairs a CPU second +peak 0\.\d GiB$", line)
        assert found, line
        assert int(found[1].replace(",", "")) > 0


@pytest.mark.slow
def test_a_fit_that_is_not_watched_runs_all_epochs():
    (line,) = lines_of("mf_bpr", "epochs=2", "--unwatched")
    assert " 2 epochs " in line
