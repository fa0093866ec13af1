"""Shares of a batch: together they are the batch, and what is drawn for them is what is drawn for all of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.nn.distributed import Workers
from twotower.training.batch_shard import BatchShard
from twotower.training.batches import WindowBatch
from twotower.types import NO_ITEM

lengths = st.lists(st.integers(1, 4), min_size=1, max_size=7)
sizes = st.integers(1, 5)


def batch_of(lengths: list[int]) -> WindowBatch:
    """Windows of the given lengths; items are numbered through, times are ten times as large."""
    inside = np.arange(max(lengths)) < np.array(lengths)[:, None]
    targets = np.full(inside.shape, NO_ITEM)
    targets[inside] = np.arange(inside.sum())
    return WindowBatch(
        np.arange(len(lengths)) + 100, targets, np.where(inside, targets * 10, 0), np.where(inside, targets, 0)
    )


def shares_of(lengths: list[int], size: int) -> list[tuple[BatchShard, np.ndarray]]:
    return [BatchShard.of(batch_of(lengths), Workers(rank, size)) for rank in range(size)]


@given(lengths, sizes)
def test_shares_that_count_are_the_whole_batch_each_example_once(lengths, size):
    counted = [share for share, _ in shares_of(lengths, size) if share.weight]
    assert sorted(np.concatenate([share.rows for share in counted])) == list(range(sum(lengths)))
    assert sum(share.weight for share in counted) == pytest.approx(1)
    for share in counted:
        assert share.weight == len(share.rows) / sum(lengths)


@given(lengths, sizes)
def test_a_share_is_that_of_its_windows(lengths, size):
    batch = batch_of(lengths)
    for share, windows in shares_of(lengths, size):
        own = batch.take(windows)
        assert len(windows) > 0
        np.testing.assert_array_equal(share.items[share.rows], own.targets[own.mask])
        np.testing.assert_array_equal(share.times[share.rows], own.times[own.mask])
        np.testing.assert_array_equal(share.users[share.rows], np.repeat(own.users, own.mask.sum(1)))


def test_a_process_for_which_no_window_is_left_stands_in_with_weight_0():
    (first, _), (second, windows) = shares_of([3], 2)
    assert (first.weight, second.weight) == (1.0, 0.0)
    assert windows.tolist() == [0]
    assert second.some(np.array([1, 2]))[0].weight == 0.0


@given(lengths, sizes, st.data())
def test_shares_of_some_examples_are_those_examples_each_once(lengths, size, data):
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, sum(lengths) - 1), min_size=1))))
    means, weights, seen = 0.0, 0.0, []
    for share, _ in shares_of(lengths, size):
        some, own = share.some(chosen)
        assert len(some) == len(chosen)
        assert len(some.rows) == len(own) > 0
        if some.weight:
            np.testing.assert_array_equal(share.items[share.rows][own], chosen[some.rows])
            seen += chosen[some.rows].tolist()
        means += some.weight * chosen[some.rows].mean()
        weights += some.weight
    assert sorted(seen) == chosen.tolist()
    assert weights == pytest.approx(1)
    assert means == pytest.approx(chosen.mean())  # weighted means of the shares are the mean of all


@given(lengths, sizes)
def test_draws_are_those_of_one_process_and_leave_the_generator_where_it_would_be(lengths, size):
    def drawn(rng: np.random.Generator, n: int) -> list[np.ndarray]:
        return [
            rng.choice(50, 7, replace=False), rng.random((n, 3)), rng.integers(0, 9, (n, 2)), rng.random(4),
            rng.integers(5, size=(n,)),
        ]  # fmt: skip

    alone = np.random.default_rng(0)
    pool, chances, numbers, four, column = drawn(alone, sum(lengths))
    following = alone.random()
    for share, _ in shares_of(lengths, size):
        rng = np.random.default_rng(0)
        found = drawn(share.draws(rng), len(share.rows))
        expected = [pool, chances[share.rows], numbers[share.rows], four, column[share.rows]]
        if len(share.rows) == 4:  # a draw of four is then taken for one of a number for each row
            continue
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
        assert rng.random() == following
