"""`refresh_windows`: the moments and event ranges of profiles, against a loop over users and moments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.interactions import Interactions
from twotower.errors import BadInput
from twotower.features.windows import DAY, MONDAY, refresh_windows


def events_of(users, times) -> Interactions:
    return Interactions.of(np.array(users), np.zeros(len(users)), np.array(times), n_users=4, n_items=1)


def rows(windows) -> list[tuple[int, int, int, int]]:
    columns = (windows.user, windows.as_of, windows.start, windows.stop)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def by_loop(events, window, refresh, min_events, origin, extra):
    """The definition, word for word."""
    newest = max([origin + ((events.time.max() - origin) // refresh + 1) * refresh, *extra])
    oldest = origin + ((events.time.min() - origin) // refresh) * refresh
    found = []
    for user in range(events.n_users):
        seen_before = None
        for moment in sorted({*range(int(oldest), int(newest) + 1, refresh), *extra}):
            age = moment - events.time
            inside = np.flatnonzero((events.user == user) & (age > 0) & (age <= (window or np.inf)))
            added = window is not None or moment in extra or len(inside) != seen_before
            if moment not in extra:
                seen_before = len(inside)
            if added and len(inside) >= min_events:
                found.append((user, moment, inside[0], inside[-1] + 1))
    return found


def test_the_default_moments_are_mondays_at_midnight():
    friday = MONDAY + 4 * DAY  # 9 January 1970
    windows = refresh_windows(events_of([0], [friday]), window=30 * DAY, refresh=7 * DAY, min_events=1)
    assert np.array(windows.as_of[0], "datetime64[s]") == np.datetime64("1970-01-12T00:00:00")


def test_an_event_at_the_very_moment_waits_for_the_next_one():
    windows = refresh_windows(events_of([0, 0], [9, 10]), window=10, refresh=10, min_events=1, origin=0)
    # as of 10: [0, 10) holds event 9 only; as of 20: [10, 20) holds event 10 only
    assert rows(windows) == [(0, 10, 0, 1), (0, 20, 1, 2)]


def test_the_oldest_second_of_the_window_is_inside_and_the_one_before_outside():
    windows = refresh_windows(events_of([0, 0], [4, 5]), window=15, refresh=20, min_events=1, origin=0)
    assert rows(windows) == [(0, 20, 1, 2)]  # [5, 20)


def test_users_with_too_few_events_in_the_window_have_none():
    windows = refresh_windows(events_of([0, 1, 1], [1, 1, 2]), window=10, refresh=10, min_events=2, origin=0)
    assert rows(windows) == [(1, 10, 1, 3)]


def test_an_extra_moment_gives_every_user_a_fresh_window():
    windows = refresh_windows(
        events_of([0, 2], [1, 12]), window=15, refresh=10, min_events=1, origin=0, extra_moments=(14,)
    )
    assert rows(windows) == [(0, 10, 0, 1), (0, 14, 0, 1), (2, 14, 1, 2), (2, 20, 1, 2)]


def test_without_events_there_are_no_windows():
    assert len(refresh_windows(events_of([], []), window=10, refresh=10, min_events=1)) == 0


def test_times_that_cannot_be_seconds_are_refused():
    with pytest.raises(BadInput, match="are the times in seconds"):
        refresh_windows(events_of([0, 0], [0, 2**61]), window=None, refresh=2**40, min_events=1)


def test_blocks_hold_all_windows_in_order_and_about_the_wanted_number_of_events():
    windows = refresh_windows(events_of([0] * 9, range(9)), window=3, refresh=1, min_events=1, origin=0)
    blocks = windows.blocks(5)
    assert [row for block in blocks for row in rows(block)] == rows(windows)
    assert max(int((b.stop - b.start).sum()) for b in blocks) <= 5 + 3 - 1  # a window is not cut
    assert len(windows.blocks(1)) == len(windows)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60)), min_size=1, max_size=25),
    st.one_of(st.none(), st.integers(1, 40)),
    st.integers(1, 15),
    st.integers(1, 3),
    st.integers(-20, 20),
    st.lists(st.integers(0, 90), max_size=2),
)
def test_windows_agree_with_a_loop_over_users_and_moments(pairs, window, refresh, min_events, origin, extra):
    events = events_of(*zip(*pairs, strict=True))
    found = refresh_windows(
        events, window=window, refresh=refresh, min_events=min_events, origin=origin, extra_moments=tuple(extra)
    )
    assert rows(found) == by_loop(events, window, refresh, min_events, origin, extra)
