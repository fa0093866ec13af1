"""Studies: nothing is tried twice, a killed one goes on as if it had lived, TPE finds what random search misses."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twotower.errors import BadConfig, BundleError
from twotower.evaluation.search_result import Trial
from twotower.tuning.study import Study, journal

HILL = {"x": {"low": 0.001, "high": 100.0, "log": True}, "y": {"low": -1.0, "high": 1.0}}


def height(options) -> float:
    """Largest, 0, at x = 2, y = .5."""
    return -(math.log10(options["x"] / 2) ** 2) - (options["y"] - 0.5) ** 2


def climb(study: Study, stop_after: int | None = None) -> list[Trial]:
    for _ in range(stop_after if stop_after is not None else 10_000):
        attempt = study.ask()
        if attempt is None:
            break
        study.tell(attempt, Trial(attempt.options, height(attempt.options), 0.1))
    return study.trials()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 4), max_size=3), st.integers(1, 12), st.integers(0, 9))
def test_no_point_is_tried_twice_and_the_budget_is_kept(sizes, budget, seed):
    study = Study({f"o{at}": list(range(size)) for at, size in enumerate(sizes)}, max_trials=budget, seed=seed)
    seen = []
    while (attempt := study.ask()) is not None:
        seen.append(tuple(attempt.options.values()))
        study.tell(attempt, Trial(attempt.options, sum(seen[-1]), 0.1))
    assert len(seen) == len(set(seen)) == min(budget, math.prod(sizes))


def test_a_huge_grid_costs_nothing():
    study = Study({f"o{at}": list(range(100)) for at in range(7)}, max_trials=3)  # 10^14 points
    for _ in range(3):
        attempt = study.ask()
        study.tell(attempt, Trial(attempt.options, 0.0, 0.1))
    assert study.ask() is None


def test_what_was_learnt_is_used():
    chance = -((5**2 / 12 + (-0.5 - math.log10(2)) ** 2) + (2**2 / 12 + 0.5**2))  # mean height of random points: -3.3
    for seed in range(4):
        found = [trial.score for trial in climb(Study(HILL, max_trials=30, seed=seed))]
        assert max(found) > -0.25
        assert sum(found[-10:]) / 10 > chance / 2


def test_a_study_that_was_left_goes_on_as_one_that_was_not(tmp_path):
    whole = climb(Study(HILL, max_trials=9, seed=3))
    for stop in (2, 7):
        with journal(tmp_path / f"{stop}.jsonl") as storage:
            study = Study(HILL, max_trials=9, seed=3, storage=storage)
            climb(study, stop_after=stop)
            study.ask()  # under way when the process ends
        with journal(tmp_path / f"{stop}.jsonl") as storage:
            assert climb(Study(HILL, max_trials=9, seed=3, storage=storage)) == whole


def test_a_larger_budget_goes_on_from_what_is_there(tmp_path):
    file = tmp_path / "study.jsonl"
    with journal(file) as storage:
        first = climb(Study({"x": [1.0, 2.0, 3.0, 4.0], "y": [0.0]}, max_trials=2, storage=storage))
    with journal(file) as storage:
        found = climb(Study({"x": [1.0, 2.0, 3.0, 4.0], "y": [0.0]}, max_trials=9, storage=storage))
    assert found[:2] == first
    assert sorted(trial.options["x"] for trial in found) == [1.0, 2.0, 3.0, 4.0]


KILLED = """
import os, signal, sys
from pathlib import Path
from twotower.tuning.study import Study, Trial, journal
with journal(Path(sys.argv[1])) as storage:
    study = Study({"x": [1.0, 2.0, 3.0]}, max_trials=3, storage=storage)
    attempt = study.ask()
    study.tell(attempt, Trial(attempt.options, 1.0, 0.1))
    study.ask()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_a_study_that_can_be_opened_even_with_half_a_line(tmp_path):
    file = tmp_path / "study.jsonl"
    shot = subprocess.run([sys.executable, "-c", KILLED, str(file)], env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert shot.returncode == -signal.SIGKILL
    with file.open("a") as left:
        left.write('{"op_code": 5, "wor')
    Path(f"{file}.lock").symlink_to(file)
    with journal(file) as storage:
        study = Study({"x": [1.0, 2.0, 3.0]}, max_trials=3, storage=storage)
        assert [trial.options for trial in study.trials()] == [{"x": 1.0}]
        assert study.ask().options == {"x": 2.0}
    assert all(json.loads(line) for line in file.read_text().splitlines())


def test_two_processes_do_not_write_one_study(tmp_path):
    file = tmp_path / "study.jsonl"
    with journal(file), pytest.raises(BundleError, match=r"another process .*is tuning into"), journal(file):
        pass


def test_a_study_of_something_else_is_refused(tmp_path):
    with journal(tmp_path / "study.jsonl") as storage:
        Study(HILL, max_trials=1, storage=storage, identity={"model": "als", "metric": "map@10"})
        with pytest.raises(BadConfig, match="the study file is of another model, seed; give out="):
            Study(HILL, max_trials=1, storage=storage, seed=1, identity={"model": "ease", "metric": "map@10"})
