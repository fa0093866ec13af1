"""Windows and batches: every event once, in order, the same for the same seed, from any batch on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.interactions import Interactions
from twotower.errors import BadConfig
from twotower.training.batches import WindowBatches
from twotower.types import NO_ITEM


def events_of(counts: list[int], seed: int = 0) -> Interactions:
    """Users with the given numbers of events; times are unique, so that they name an event."""
    n = sum(counts)
    user = np.repeat(np.arange(len(counts)), counts)
    item = np.random.default_rng(seed).integers(0, 30, n)
    return Interactions.of(user, item, 1000 + np.arange(n), n_users=len(counts), n_items=30)


def triples(batches) -> list[tuple[int, int, int]]:
    """(user, item, time) of every position of some batches, in their order."""
    found = []
    for batch in batches:
        users = np.broadcast_to(batch.users[:, None], batch.mask.shape)
        found += zip(*(a[batch.mask].tolist() for a in (users, batch.targets, batch.times)), strict=True)
    return found


counts = st.lists(st.integers(0, 12), min_size=1, max_size=8).filter(any)
sizes = st.integers(1, 15)


@given(counts, sizes, sizes, st.integers(0, 5))
def test_every_event_is_a_target_exactly_once_per_epoch(counts, window, batch_size, epoch):
    events = events_of(counts)
    found = triples(WindowBatches(events, window=window, batch_size=batch_size, seed=1).epoch(epoch))
    assert sorted(found) == sorted(zip(*(a.tolist() for a in (events.user, events.item, events.time)), strict=True))


@given(counts, sizes, sizes, st.integers(0, 5))
def test_a_window_is_a_run_of_consecutive_events_of_one_user(counts, window, batch_size, epoch):
    events = events_of(counts)
    for batch in WindowBatches(events, window=window, batch_size=batch_size, seed=1).epoch(epoch):
        lengths = batch.mask.sum(1)
        assert lengths.min() >= 1
        assert lengths.max() <= window
        assert (batch.mask == (np.arange(batch.mask.shape[1]) < lengths[:, None])).all()  # padding on the right only
        for user, times, length in zip(batch.users, batch.times, lengths, strict=True):
            own = events.time[events.user == user].tolist()
            first = own.index(times[0])
            assert own[first : first + length] == times[:length].tolist()
        assert (batch.targets[~batch.mask] == NO_ITEM).all()
        assert (batch.times[~batch.mask] == 0).all()


@given(counts, sizes, sizes)
def test_rows_name_the_events(counts, window, batch_size):
    events = events_of(counts)
    for batch in WindowBatches(events, window=window, batch_size=batch_size, seed=0).epoch(1):
        inside = batch.rows[batch.mask]
        np.testing.assert_array_equal(events.item[inside], batch.targets[batch.mask])
        np.testing.assert_array_equal(events.time[inside], batch.times[batch.mask])
        assert (batch.rows[~batch.mask] == 0).all()


@given(counts, sizes, sizes)
def test_a_batch_holds_the_wanted_events_give_or_take_a_window(counts, window, batch_size):
    batches = WindowBatches(events_of(counts), window=window, batch_size=batch_size, seed=1)
    held = [int(batch.mask.sum()) for batch in batches.epoch(0)]
    assert max(held) <= batch_size + window - 1
    assert len(held) == batches.n_batches(0)


def test_windows_of_a_batch_are_of_like_length():
    batches = WindowBatches(events_of([3, 40, 2, 41, 3, 39, 2, 40]), window=50, batch_size=10, seed=0)
    padded = sum(int((~batch.mask).sum()) for batch in batches.epoch(0))
    assert padded < 0.25 * 170  # one batch over all users would hold 8 · 41 - 170 = 158 empty places


def test_same_seed_and_epoch_same_batches_else_others():
    events = events_of([20] * 10)

    def order(seed: int, epoch: int) -> list[tuple[int, int, int]]:
        return triples(WindowBatches(events, window=6, batch_size=16, seed=seed).epoch(epoch))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


@given(counts, sizes, sizes)
def test_an_epoch_taken_up_at_any_batch_gives_the_same_tail(counts, window, batch_size):
    batches = WindowBatches(events_of(counts), window=window, batch_size=batch_size, seed=3)
    whole = [triples([batch]) for batch in batches.epoch(2)]
    for start in range(len(whole) + 1):
        assert [triples([batch]) for batch in batches.epoch(2, start)] == whole[start:]


def test_cuts_move_from_epoch_to_epoch():
    batches = WindowBatches(events_of([40]), window=10, batch_size=100, seed=0)
    firsts = {int(times[0]) for epoch in range(30) for batch in batches.epoch(epoch) for times in batch.times}
    assert len(firsts) > 30  # of 40 events nearly each has come to stand first


def test_window_of_one_makes_every_event_an_example_of_its_own():
    batches = list(WindowBatches(events_of([5, 3]), window=1, batch_size=4, seed=0).epoch(0))
    assert [batch.targets.shape for batch in batches] == [(4, 1), (4, 1)]


@pytest.mark.parametrize("wrong", [{"window": 0}, {"batch_size": 0}])
def test_sizes_below_one_are_refused(wrong):
    with pytest.raises(BadConfig, match="must be at least 1"):
        WindowBatches(events_of([3]), **{"window": 5, "batch_size": 5, "seed": 0} | wrong)
