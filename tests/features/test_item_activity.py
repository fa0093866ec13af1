"""`ItemActivity`: counts as of a moment against a loop over all events, and a planted leak that changes nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.dataset import Lifetimes
from twotower.data.tables import MISSING_TIME
from twotower.errors import BadInput
from twotower.features.item_activity import LEAST_DAYS, SORTED_FROM, ItemActivity
from twotower.features.windows import DAY

NOW = 100 * DAY


@pytest.fixture
def ad() -> ItemActivity:
    """Item 0 listed 10 days ago: looks 2 hours, 2 days, 2 days and 9 days ago; item 1 listed, never looked at."""
    ages = np.array([DAY // 12, 2 * DAY, 2 * DAY, 9 * DAY])
    listed = np.array([NOW - 10 * DAY, NOW - DAY, MISSING_TIME])
    return ItemActivity([0, 0, 0, 0], NOW - ages, n_items=3, kinds=[0, 0, 1, 0], listed_at=listed)


def test_events_are_counted_in_every_window(ad):
    # last day: 1; three days: 1 + 2; seven: the same; fourteen and thirty-five: + the one of 9 days ago
    assert ad.windows([0, 1], NOW).tolist() == [[1, 3, 3, 4, 4], [0, 0, 0, 0, 0]]
    assert ad.counts([0], NOW).tolist() == [4]
    assert ad.counts([0], NOW, days=3, kind=1).tolist() == [1]
    assert ad.windows([0], NOW, kind=0).tolist() == [[1, 2, 2, 3, 3]]
    assert ad.windows([0], NOW, kind=7).tolist() == [[0, 0, 0, 0, 0]]


def test_an_event_at_the_very_moment_is_not_counted_and_the_oldest_second_is():
    activity = ItemActivity([0, 0], [NOW - DAY, NOW], n_items=1)
    assert activity.counts([0, 0, 0], [NOW, NOW + 1, NOW - DAY + 1], days=1).tolist() == [1, 1, 1]
    assert activity.counts([0], NOW - DAY).tolist() == [0]


def test_rates_are_taken_over_the_days_in_which_the_ad_was_listed(ad):
    # listed for 10 days: windows of 14 and 35 days held 10 of it
    assert ad.rates([0], NOW)[0] == pytest.approx([1 / 1, 3 / 3, 3 / 7, 4 / 10, 4 / 10])
    fresh = ItemActivity([0], [NOW - 60], n_items=1)
    assert fresh.rates([0], NOW)[0] == pytest.approx([1 / LEAST_DAYS] * 5)


def test_ages_are_days_and_unknown_before_the_listing_or_the_first_event(ad):
    assert ad.days_listed([0, 1, 2], NOW) == pytest.approx([10, 1, np.nan], nan_ok=True)
    assert ad.days_listed([0, 1], NOW - 2 * DAY) == pytest.approx([8, np.nan], nan_ok=True)
    assert ad.days_idle([0, 1, 2], NOW) == pytest.approx([1 / 12, np.nan, np.nan], nan_ok=True)


def test_without_listing_times_an_item_is_as_old_as_its_first_event():
    activity = ItemActivity([1, 1], [NOW - 5 * DAY, NOW - DAY], n_items=2)
    assert activity.days_listed([0, 1], NOW) == pytest.approx([np.nan, 5], nan_ok=True)
    assert activity.days_listed([1], NOW - 6 * DAY) == pytest.approx([np.nan], nan_ok=True)


def test_features_are_logs_with_an_indicator_of_unknown_ages(ad):
    row = dict(zip(ad.names, ad.features([2], NOW)[0], strict=True))
    assert row.pop("days_listed?") == row.pop("days_idle?") == 1
    assert set(row.values()) == {0.0}
    known = dict(zip(ad.names, ad.features([0], NOW)[0], strict=True))
    assert known["log_views_3d"] == pytest.approx(np.log(1 + 3))
    assert known["log_rate_14d"] == pytest.approx(np.log(1 + 4 / 10))
    assert known["log_days_listed"] == pytest.approx(np.log(1 + 10))


EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 50), st.integers(0, 2)), max_size=30)


@given(EVENTS, st.lists(st.tuples(st.integers(0, 3), st.integers(-60, 60)), min_size=1, max_size=8))
def test_counts_agree_with_a_loop_over_all_events(events, asked):
    hours = 3600 * 20
    items, times, kinds = np.array(events, np.int64).reshape(-1, 3).T
    activity = ItemActivity(items, times * hours, n_items=4, kinds=kinds)
    pairs, at = np.array([i for i, _ in asked]), np.array([t for _, t in asked]) * hours
    for column, days in enumerate(activity.window_days):
        expected = [
            sum(i == item and moment - days * DAY <= t * hours < moment for i, t, _ in events)
            for item, moment in zip(pairs, at, strict=True)
        ]
        assert activity.windows(pairs, at)[:, column].tolist() == expected
    ones = [sum(i == p and k == 1 and t * hours < m for i, t, k in events) for p, m in zip(pairs, at, strict=True)]
    assert activity.counts(pairs, at, kind=1).tolist() == ones
    past = [[m - t * hours for i, t, _ in events if i == p and t * hours < m] for p, m in zip(pairs, at, strict=True)]
    assert activity.days_idle(pairs, at) == pytest.approx([min(a, default=np.nan) / DAY for a in past], nan_ok=True)


def test_a_planted_leak_changes_nothing(random_market):
    """A thousand events planted at and after the moment, and listings after it, leave every feature as it was."""
    dataset, _ = random_market(3)
    events, rng = dataset.interactions, np.random.default_rng(0)
    at = int(np.median(events.time))
    past = events.time < at
    planted_item, planted_time = rng.integers(0, 8, 1000), at + rng.integers(0, 40 * DAY, 1000)
    planted_time[:10] = at
    listed = rng.integers(at - 20 * DAY, at, 8)
    listed[:2] = at + 5
    honest = ItemActivity(events.item[past], events.time[past], n_items=8, listed_at=listed)
    leaky = ItemActivity(
        np.concatenate([events.item[past], planted_item]),
        np.concatenate([events.time[past], planted_time]),
        n_items=8,
        listed_at=np.where(listed > at, at + 9_999_999, listed),
    )
    items = np.arange(8)
    np.testing.assert_array_equal(leaky.features(items, at), honest.features(items, at))
    assert (leaky.features(items, at + DAY) != honest.features(items, at + DAY)).any()  # so the plants do count later


def test_many_pairs_are_sorted_first_and_give_what_few_give():
    rng = np.random.default_rng(0)
    activity = ItemActivity(rng.integers(0, 50, 3000), rng.integers(0, NOW, 3000), n_items=50)
    items, at = rng.integers(0, 50, 2 * SORTED_FROM), rng.integers(0, NOW, 2 * SORTED_FROM)
    few = [activity.features(items[part], at[part]) for part in np.array_split(np.arange(len(items)), 16)]
    np.testing.assert_array_equal(activity.features(items, at), np.concatenate(few))


def test_a_data_set_lends_its_events_and_lifetimes(random_market):
    dataset, _ = random_market(1)
    at = int(dataset.interactions.time.max()) + 1
    activity = ItemActivity.of(dataset, dataset.interactions)
    assert activity.counts(np.arange(8), at).tolist() == dataset.interactions.item_counts().tolist()
    spans = Lifetimes(np.full(8, at - DAY), np.full(8, at + DAY))
    listed = ItemActivity(dataset.interactions.item, dataset.interactions.time, n_items=8, listed_at=spans.since)
    assert listed.days_listed(np.arange(8), at).tolist() == [1.0] * 8


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"items": [0, 5]}, "items reach from 0 to 5"),
        ({"times": [1]}, "one entry per event"),
        ({"listed_at": [1]}, "1 listing times for 2 items"),
        ({"window_days": (3.0, 1.0)}, "must rise"),
        ({"times": [0, 2**61]}, "are the times in seconds"),
    ],
)
def test_bad_input_is_named(options, text):
    given_columns = {"items": [0, 1], "times": [1, 2], **options}
    with pytest.raises(BadInput, match=text):
        ItemActivity(given_columns.pop("items"), given_columns.pop("times"), n_items=2, **given_columns)


def test_unknown_items_and_kinds_that_were_not_given_are_refused():
    activity = ItemActivity([0], [1], n_items=1)
    with pytest.raises(BadInput, match="item 3 is outside"):
        activity.windows([3], NOW)
    with pytest.raises(BadInput, match="no kinds were given"):
        activity.counts([0], NOW, kind=1)
    assert ItemActivity([], [], n_items=2).windows([0, 1], NOW).tolist() == [[0] * 5] * 2
