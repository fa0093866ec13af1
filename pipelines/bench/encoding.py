"""Job: measures fitting, encoding and profile learning at the reference system's size, on synthetic arrays.

Prints wall and CPU seconds, rows per wall second and the peak memory of the process after each step. Run it alone:

    python pipelines/bench/encoding.py --events 6500000 --users 100000 --items 1711190
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from twotower.data.dataset import Dataset, ItemVersions
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.tables import Categories, Column, FeatureSchema, FeatureTable, Kind, Values
from twotower.features.cosine import RawCosine
from twotower.features.encoders import FeatureEncoder
from twotower.features.markov import MarkovWeights
from twotower.features.profiles import ProfileLearner
from twotower.features.windows import DAY, MONDAY

T = TypeVar("T")

FIELD_SIZES = (10, 12, 10, 25, 8, 12, 6, 12, 60, 2800, 10, 12, 200, 80, 14)
"""Values of the 15 categorical fields, 3,271 together."""
N_NUMBERS = 6
N_VERSIONED = 0.2
"""Share of items with a later price."""
KINDS = ("view", "save", "print", "contact")
KIND_SHARES = (0.86, 0.126, 0.01, 0.004)
WEEKS = 5
START = MONDAY + 2_465 * 7 * DAY
"""A Monday in April 2017."""


def main() -> None:
    """Builds the arrays, then measures one step after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=6_500_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=1_711_190)
    parser.add_argument("--pairs", type=int, default=100_000, help="pairs per call of the raw cosine")
    parser.add_argument("--level", choices=("domain", "user", "user_item"), default="domain")
    options = parser.parse_args()
    rng = np.random.default_rng(0)

    dataset = measured("make data (not ours)", options.events, lambda: synthetic(options, rng))
    events = dataset.interactions
    touched = np.unique(events.item)
    began, cpu_began = time.perf_counter(), time.process_time()
    encoder = measured("fit encoder", len(touched), lambda: FeatureEncoder.fit(dataset.items, touched))
    items = measured("encode items", dataset.n_items, lambda: encoder.transform(dataset.items))
    learner = ProfileLearner(weights=MarkovWeights(options.level))
    profiles = measured("learn profiles", len(events), lambda: learner.fit(dataset, events, encoder))
    rows = measured("find profiles", len(events), lambda: profiles.rows(events.user, events.time))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    print(f"features in all: {seconds:.1f} s (CPU {cpu:.1f}), {len(profiles):,} profiles")
    cosine = measured("prepare raw cosine", len(profiles), lambda: RawCosine(profiles.table, items))
    chosen = rng.integers(0, len(events), options.pairs)
    measured("raw cosine of pairs", options.pairs, lambda: cosine(rows[chosen], events.item[chosen]))


def measured(step: str, rows: int, work: Callable[[], T]) -> T:
    """Does the work and prints what it took."""
    began, cpu_began = time.perf_counter(), time.process_time()
    result = work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rate = rows / seconds
    print(f"{step:22s} {seconds:8.2f} s (CPU {cpu:6.2f}) {rate:14,.0f} rows/s   peak {peak:5.2f} GiB", flush=True)
    return result


def synthetic(options: argparse.Namespace, rng: np.random.Generator) -> Dataset:
    """Skewed events over a catalogue with the reference's number of fields and values; prices change."""
    n_items, n_users, n_events = options.items, options.users, options.events
    columns = [Column(f"c{i}", Kind.CATEGORICAL) for i in range(len(FIELD_SIZES))]
    columns += [Column(f"x{i}", Kind.CONTINUOUS, -4.0, 4.0) for i in range(N_NUMBERS)]
    values: dict[str, Values] = {
        f"c{i}": Categories(skewed(rng, size + 1, n_items).astype(np.int32) - 1, names(size))
        for i, size in enumerate(FIELD_SIZES)
    }
    values |= {f"x{i}": rng.standard_normal(n_items) for i in range(N_NUMBERS)}
    changed = np.sort(rng.choice(n_items, int(N_VERSIONED * n_items), replace=False))
    price = FeatureTable(
        FeatureSchema((columns[-1],)), {columns[-1].name: rng.standard_normal(len(changed))}, len(changed)
    )
    since = START + rng.integers(0, WEEKS * 7 * DAY, len(changed))
    events = Interactions.of(
        skewed(rng, n_users, n_events),
        skewed(rng, n_items, n_events),
        START + rng.integers(0, WEEKS * 7 * DAY, n_events),
        kind=rng.choice(len(KINDS), n_events, p=KIND_SHARES),
        kinds=KINDS,
        n_users=n_users,
        n_items=n_items,
    )
    return Dataset(
        "synthetic",
        events,
        FeatureTable.empty(n_users),
        FeatureTable(FeatureSchema(tuple(columns)), values, n_items),
        IdMap.of(np.arange(n_users), "user"),
        IdMap.of(np.arange(n_items), "item"),
        ItemVersions(changed, since, price),
    )


def skewed(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Numbers 0..n-1, low ones more often."""
    return (n * rng.random(size) ** 2).astype(np.int64)


def names(size: int) -> np.ndarray:
    """Distinct sorted texts."""
    return np.asarray([f"value {i:05d}" for i in range(size)], dtype=object)


if __name__ == "__main__":
    main()
