"""A publisher of indexes is killed at any moment, or goes on while others open: always one whole index is served."""

import multiprocessing
import random
import time

import numpy as np
import pytest

from twotower.config.compose import instantiate
from twotower.runs.bundle import Bundle
from twotower.runs.publishing import publish_index
from twotower.storage import atomic

KILLS, AT_WORK, MOST = 30, 10, 300
PAIRS = {
    "kmeans, faiss": ("kmeans", "faiss"),
    "annoy, faiss HNSW": ("annoy", "faiss HNSW"),
    "exact, faiss SQfp16": ("exact", "faiss SQfp16"),
}

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="children that start at once are forked"
)


@pytest.fixture(params=PAIRS.values(), ids=PAIRS.keys())
def pair(request, kinds, vectors):
    """Two built indexes; the child, which is forked, saves them and calls nothing that has threads."""
    return [instantiate(kinds[kind]).build(vectors) for kind in request.param]


def publish_for_ever(bundle, pair, count, pause=0.0):
    """Publishes one index after the other; `count` says how often that ended."""
    while True:
        publish_index(bundle, pair[count.value % 2], {"number": count.value})
        count.value += 1
        time.sleep(pause)


def forked(bundle, pair, count, pause=0.0):
    child = multiprocessing.get_context("fork").Process(target=publish_for_ever, args=(bundle, pair, count, pause))
    child.start()
    return child


@pytest.fixture
def count():
    return multiprocessing.get_context("fork").Value("q", 0, lock=False)


@pytest.mark.parametrize("renames", ["exchange", "two renames"])
def test_thirty_kills_and_more_leave_one_whole_index_each_time(
    runs, vectors, queries, pair, count, monkeypatch, renames
):
    monkeypatch.setattr(atomic, "_sync", lambda path: None)  # a kill, unlike a power cut, loses nothing written
    if renames == "two renames":
        monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    bundle, truth = runs.publish("x", vectors), [index.search(queries, 5) for index in pair]
    rng, at_work, kills = random.Random(0), 0, 0
    while kills < KILLS or at_work < AT_WORK:  # how many fall into the work, not beside it, depends on the machine
        assert kills < MOST, f"only {at_work} of {kills} kills fell into the work"
        kills += 1
        before, started = count.value, time.perf_counter()
        child = forked(bundle, pair, count)
        while count.value == before:
            assert child.is_alive()
            time.sleep(0.0002)
        time.sleep(rng.uniform(0, 2) * (time.perf_counter() - started))
        child.kill()
        child.join()
        opened = Bundle.open("x", runs.directory)
        number, index = opened.index_manifest()["number"], opened.index()
        assert number in (count.value - 1, count.value)  # killed before or after the exchange of the next one
        assert type(index) is type(pair[number % 2])
        found = index.search(queries, 5)
        np.testing.assert_array_equal(found.items, truth[number % 2].items)
        np.testing.assert_array_equal(found.scores, truth[number % 2].scores)
        left = sorted(path.name for path in bundle.directory.glob(".*"))
        assert set(left) <= {".lock", ".index.publishing", ".index.former"}
        at_work += left != [".lock"]
        count.value = number + 1
    publish_index(bundle, pair[0], {"number": -1})  # the lock is free, and what the killed left goes
    assert [path.name for path in bundle.directory.glob(".*")] == [".lock"]


def test_whoever_opens_while_indexes_are_published_gets_a_whole_one(runs, vectors, queries, pair, count):
    bundle, truth = runs.publish("x", vectors), [index.search(queries, 5) for index in pair]
    publish_index(bundle, pair[0], {"number": 0})
    child = forked(bundle, pair, count, pause=0.002)
    kinds = []
    try:
        until = time.monotonic() + 30
        while (len(kinds) < 60 or count.value < 60) and time.monotonic() < until:
            index = Bundle.open("x", runs.directory).index()
            which = [type(one) for one in pair].index(type(index))
            np.testing.assert_array_equal(index.search(queries, 5).items, truth[which].items)
            kinds.append(which)
        assert child.is_alive()
    finally:
        child.kill()
        child.join()
    assert set(kinds) == {0, 1}
    assert count.value >= 60


def test_an_open_index_goes_on_answering_after_it_was_replaced(runs, kinds, vectors, queries):
    """Its files are gone from the folder, but stay mapped, even where no page of them was read before."""
    bundle = runs.publish("x", vectors)
    built = {kind: instantiate(options).build(bundle.item_vectors()) for kind, options in kinds.items()}
    opened = {}
    for kind, index in built.items():
        publish_index(bundle, index, {})
        opened[kind] = bundle.index()
    publish_index(bundle, instantiate({"_target_": "twotower.ann.exact.ExactIndex"}).build(vectors), {})
    assert not [path for path in bundle.directory.rglob("*") if path.suffix in (".annoy", ".faiss")]
    for kind, index in opened.items():
        np.testing.assert_array_equal(index.search(queries, 5).items, built[kind].search(queries, 5).items)
