"""`Interactions`: sorted, validated, and the same after every way round."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.interactions import Interactions
from twotower.errors import BadInput

N_USERS, N_ITEMS = 4, 5
events = st.lists(
    st.tuples(
        st.integers(0, N_USERS - 1),
        st.integers(0, N_ITEMS - 1),
        st.integers(0, 6),
        st.integers(0, 1),
        st.sampled_from([0.5, 1.0, 5.0]),
    ),
    max_size=25,
)


def made_of(rows) -> Interactions:
    user, item, time, kind, value = (np.asarray(c) for c in zip(*rows, strict=True)) if rows else [np.empty(0)] * 5
    return Interactions.of(
        user, item, time, kind=kind, value=value, kinds=("view", "save"), n_users=N_USERS, n_items=N_ITEMS
    )


def as_rows(log: Interactions) -> list[tuple[float, ...]]:
    columns = (log.user, log.item, log.time, log.kind, log.value)
    return list(zip(*(c.tolist() for c in columns), strict=True))


@given(events)
def test_events_are_sorted_by_user_then_time_then_source_order(rows):
    assert as_rows(made_of(rows)) == sorted(rows, key=lambda row: (row[0], row[2]))


@given(events)
def test_histories_hold_each_users_items_oldest_first(rows):
    expected = [[r[1] for r in sorted(rows, key=lambda r: r[2]) if r[0] == user] for user in range(N_USERS)]
    assert [h.tolist() for h in made_of(rows).by_user()] == expected


@given(events)
def test_unique_pairs_keep_the_first_event_of_a_pair(rows):
    first: dict[tuple[int, int], tuple] = {}
    for row in sorted(rows, key=lambda r: (r[0], r[2])):
        first.setdefault(row[:2], row)
    assert as_rows(made_of(rows).unique_pairs()) == list(first.values())


@given(events)
def test_item_counts_add_up_to_all_events(rows):
    counts = made_of(rows).item_counts()
    assert counts.tolist() == [sum(r[1] == item for r in rows) for item in range(N_ITEMS)]


@given(events, st.integers(0, 6))
def test_cutting_by_time_and_joining_again_gives_the_same_log(rows, cut):
    log = made_of(rows)
    old, new = log.where(log.time < cut), log.where(log.time >= cut)
    assert as_rows(old.concat(new)) == as_rows(log)


@given(events)
def test_pair_keys_are_equal_exactly_where_pairs_are(rows):
    log = made_of(rows)
    assert len(set(log.pair_keys().tolist())) == len({r[:2] for r in rows})


@given(events)
def test_saved_events_come_back_equal(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("log") / "interactions.parquet"
    log = made_of(rows)
    log.save(path)
    loaded = Interactions.load(path)
    assert as_rows(loaded) == as_rows(log)
    assert (loaded.kinds, loaded.n_users, loaded.n_items) == (log.kinds, log.n_users, log.n_items)
    assert [c.dtype for c in (loaded.user, loaded.time, loaded.value)] == [np.int32, np.int64, np.float32]


def test_pair_keys_do_not_overflow_in_large_id_spaces():
    n = 2_000_000
    log = Interactions.of(np.array([n - 1]), np.array([n - 1]), np.array([0]), n_users=n, n_items=n)
    assert log.pair_keys().tolist() == [n * n - 1]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("user", 4, r"user 4 of event 1 is outside 0\.\.3"),
        ("user", -1, r"user -1 of event 0 is outside"),
        ("user", 2**32, r"user 4294967296 of event 1 is not a whole number of int32"),
        ("item", 5, r"item 5 of event 1 is outside 0\.\.4"),
        ("item", 1.5, r"item 1\.5 of event 1 is not a whole number"),
        ("time", np.nan, r"time nan of event 1 is not a whole number"),
        ("kind", 2, r"kind 2 of event 1 is outside 0\.\.1"),
        ("kind", 256, r"kind 256 of event 1 is not a whole number of int8"),
        ("value", np.nan, r"value nan of event 1 is not a finite number"),
        ("value", np.inf, r"value inf of event 1 is not a finite number"),
    ],
)
def test_a_bad_entry_is_refused_with_column_event_and_value(column, value, message):
    columns = {"user": [0, 1], "item": [0, 1], "time": [5, 5], "kind": [0, 0], "value": [1.0, 1.0]}
    columns[column] = [columns[column][0], value]
    with pytest.raises(BadInput, match=message):
        Interactions.of(
            **{k: np.asarray(v) for k, v in columns.items()}, kinds=("view", "save"), n_users=N_USERS, n_items=N_ITEMS
        )


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(BadInput, match=r"one entry per event, got \[2, 1, 2, 2, 2\]"):
        Interactions.of(np.array([0, 1]), np.array([0]), np.array([1, 2]), n_users=2, n_items=1)


def test_unsorted_columns_are_refused_and_the_remedy_named():
    log = made_of([(0, 1, 1, 0, 1.0), (0, 2, 3, 0, 1.0)])
    with pytest.raises(BadInput, match=r"use Interactions\.of"):
        log.where(np.array([1, 0]))


def test_logs_of_different_id_spaces_do_not_join():
    log = made_of([(0, 0, 0, 0, 1.0)])
    other = Interactions.of(np.array([0]), np.array([0]), np.array([0]), kinds=log.kinds, n_users=9, n_items=N_ITEMS)
    with pytest.raises(BadInput, match="share kinds and id spaces"):
        log.concat(other)
