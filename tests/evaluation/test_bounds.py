"""Memory of an examination: within a bound beside the item matrix, and the same for many users as for few."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIB = 2**20
BOUND = 512 * MIB
"""What lists of any number of users may take beyond the item matrix."""
METRICS = 400
"""Bytes of figures that an evaluation keeps for each user, at most."""

EXAMINED = """
import sys
import numpy as np
from twotower.data.interactions import Interactions
from twotower.data.split import Holdout
from twotower.evaluation.machine import peak_memory_bytes
from twotower.evaluation.examine import examine
from twotower.models.{module} import {name}

n_users, n_items, dim = int(sys.argv[1]), int(sys.argv[2]), 64
rng = np.random.default_rng(0)
model = {name}()
model.n_items = n_items
popular = rng.integers(0, 900, n_items).astype(np.float32)
{state}
user, item = np.repeat(np.arange(n_users), 11), rng.integers(0, n_items, n_users * 11)
events = Interactions.of(user, item, np.arange(len(user)) % 11, n_users=n_users, n_items=n_items)
newest = np.arange(len(events)) % 11 == 10
holdout = Holdout.of(events.where(~newest), events.where(newest), 10)
some = np.arange(2)
model.recommend(holdout.queries().take(some), 10)  # libraries are loaded
before = peak_memory_bytes()
found = examine(model, holdout)
print(found.n_users, peak_memory_bytes() - before)
"""
STATES = {
    "factorization.als.ALS": "vectors = {'item_vectors': rng.standard_normal((n_items, dim), np.float32),"
    " 'user_vectors': np.zeros((1, dim), np.float32)}\n"
    "model.set_state(vectors | {'popular': popular, 'mean_confidence': np.ones(1)})",
    "neighbours.ItemKNN": "indices = np.sort(rng.integers(0, n_items, (n_items, 300), np.int32), axis=1).ravel()\n"
    "model.set_state({'similarity': rng.random(len(indices), np.float32), 'indices': indices,"
    " 'indptr': np.arange(0, len(indices) + 1, 300), 'popular': popular})",
    "popular.Popular": "model.set_state({'counts': popular})",
}


def peak_of(model: str, n_users: int, n_items: int = 30_000) -> int:
    """Bytes beyond data and model that examining so many users took, in a process of its own."""
    module, _, name = model.rpartition(".")
    script = EXAMINED.format(module=module, name=name, state=STATES[model])
    command = [sys.executable, "-c", script, str(n_users), str(n_items)]
    asked, peak = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert int(asked) > 0.9 * n_users  # some newest events repeat a known pair
    return int(peak)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "many"), [("factorization.als.ALS", 40_000), ("neighbours.ItemKNN", 8_000), ("popular.Popular", 40_000)]
)
def test_peak_memory_is_bounded_and_does_not_grow_with_the_users(model, many):
    few, all_of_them = peak_of(model, 2_000), peak_of(model, many)
    assert all_of_them < BOUND
    events = 11 * (8 + 8) * many  # item ids by user, and where each user's begin
    assert all_of_them - few < METRICS * many + events + 32 * MIB


@pytest.mark.slow
def test_the_benchmark_of_lists_stays_within_the_same_bound_for_any_number_of_users():
    def peak(n_users: int) -> int:
        command = [
            sys.executable,
            "pipelines/bench/exact_lists.py",
            "--only=ours",
            f"--users={n_users}",
            "--items=30000",
        ]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return json.loads(found.splitlines()[-1])["peak_bytes"]

    few, many = peak(2_000), peak(40_000)
    assert many < BOUND
    assert many - few < 32 * MIB
