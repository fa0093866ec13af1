"""Negative samplers: never a known pair, right category and week, right proportions."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.interactions import Interactions
from twotower.errors import BadConfig
from twotower.training import negatives
from twotower.training.negatives import (
    WEEK,
    KnownPairs,
    PopularityNegatives,
    SameCategoryNegatives,
    UniformNegatives,
    expected_counts,
    negative_sampler,
    some_of,
)

N_USERS, N_ITEMS = 6, 24
CATEGORY = np.arange(N_ITEMS) % 3
MONDAY = int(dt.datetime(2017, 4, 3, tzinfo=dt.UTC).timestamp())


@pytest.fixture
def events() -> Interactions:
    """Users 0 to 4 touch 10 items in each of two weeks; user 5 knows all but item 7."""
    rng = np.random.default_rng(0)
    user = np.concatenate([np.repeat(np.arange(5), 20), np.full(N_ITEMS - 1, 5)])
    item = np.concatenate([rng.integers(0, N_ITEMS, 100), np.delete(np.arange(N_ITEMS), 7)])
    week = np.concatenate([np.tile(np.repeat([0, 1], 10), 5), np.zeros(N_ITEMS - 1, int)])
    time = MONDAY + week * WEEK + rng.integers(0, WEEK, len(user))
    return Interactions.of(user, item, time, n_users=N_USERS, n_items=N_ITEMS)


def drawn(sampler, events: Interactions, n: int, seed: int = 0) -> np.ndarray:
    """Negatives for every event. Shape [E, n]."""
    columns = (events.user.astype(np.int64), events.item.astype(np.int64), events.time)
    return sampler.draw(*columns, n, np.random.default_rng(seed))


SAMPLERS = {
    "uniform": UniformNegatives,
    "popularity": PopularityNegatives,
    "same_category": lambda events: SameCategoryNegatives(events, CATEGORY),
}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_no_known_pair_is_drawn_even_where_one_item_is_left(kind, events):
    known = {(int(u), int(i)) for u, i in zip(events.user, events.item, strict=True)}
    items = drawn(SAMPLERS[kind](events), events, 40)
    assert items.shape == (len(events), 40)
    assert not known & {(int(u), int(i)) for u, row in zip(events.user, items, strict=True) for i in row}
    assert (items[events.user == 5] == 7).all()


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_user_who_knows_everything_still_gets_items(kind):
    events = Interactions.of(np.zeros(9, int), np.arange(9), np.arange(9), n_users=1, n_items=9)
    items = drawn(negative_sampler(kind, events, np.zeros(9, np.int64)), events, 5)
    assert ((items >= 0) & (items < 9)).all()


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_generator_decides(kind, events):
    sampler = SAMPLERS[kind](events)
    np.testing.assert_array_equal(drawn(sampler, events, 8, seed=1), drawn(sampler, events, 8, seed=1))
    assert (drawn(sampler, events, 8, seed=1) != drawn(sampler, events, 8, seed=2)).any()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), min_size=1, max_size=25),
    st.sampled_from([negatives.EXACT_BITS, 0]),
)
def test_known_pairs_are_the_pairs_of_the_events(pairs, exact_bits):
    user, item = np.array(pairs).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(negatives, "EXACT_BITS", exact_bits)  # 0: pairs share the bits of the bitmap
        known = KnownPairs(Interactions.of(user, item, np.zeros(len(user)), n_users=4, n_items=8))
    grid = known.contains(np.arange(4)[:, None], np.arange(8)[None, :])
    expected = np.zeros((4, 8), bool)
    expected[user, item] = True
    np.testing.assert_array_equal(grid, expected)
    for asked in range(4):
        left = set(np.flatnonzero(~expected[asked])) or set(range(8))
        found = known.draw_unknown(np.full(400, asked), np.random.default_rng(0))
        assert set(found.tolist()) == left  # each of at most eight items shows up in 400 draws


def test_uniform_negatives_are_uniform_over_what_is_left():
    events = Interactions.of(np.zeros(2, int), np.array([1, 3]), np.arange(2), n_users=1, n_items=6)
    counts = np.bincount(drawn(UniformNegatives(events), events, 10_000).ravel(), minlength=6)
    assert counts[[1, 3]].sum() == 0
    np.testing.assert_allclose(counts[[0, 2, 4, 5]] / 20_000, 1 / 4, atol=0.015)  # sd of a share: .003


def test_popularity_negatives_follow_the_power_of_the_counts():
    """Items 0 to 3 were touched 16, 4, 1 and 0 times: with power ½ they are drawn as 4 : 2 : 1 : 0."""
    item = np.repeat([0, 1, 2], [16, 4, 1])
    events = Interactions.of(np.zeros(21, int), item, np.arange(21), n_users=2, n_items=4)
    users = np.ones(1000, np.int64)  # user 1 knows nothing
    items = PopularityNegatives(events, power=0.5).draw(users, users, users, 20, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(items.ravel(), minlength=4) / 20_000, [4 / 7, 2 / 7, 1 / 7, 0], atol=0.015)


def calendar_week(time: int) -> tuple[int, int]:
    return dt.datetime.fromtimestamp(int(time), dt.UTC).isocalendar()[:2]


def test_same_category_negatives_were_touched_in_the_week_of_the_positive(events):
    touched = {(calendar_week(t), int(CATEGORY[i]), int(i)) for i, t in zip(events.item, events.time, strict=True)}
    users = np.full(len(events), 4)  # user 4 knows few items
    sampler = SameCategoryNegatives(events, CATEGORY)
    items = sampler.draw(users, events.item.astype(np.int64), events.time, 5, np.random.default_rng(0))
    found = 0
    for item, time, row in zip(events.item, events.time, items, strict=True):
        fits = [(calendar_week(time), int(CATEGORY[item]), int(i)) in touched for i in row]
        found += sum(fits)
    assert found >= 0.95 * items.size  # the rest fell back
    assert (CATEGORY[items] == CATEGORY[events.item][:, None]).mean() >= 0.95


def test_where_the_group_is_known_the_whole_catalogue_is_drawn_from():
    """In category 1 only item 1 was touched, by the user herself: nothing of the group can be a negative."""
    category = np.array([0, 1, 0, 0, 1])
    events = Interactions.of(np.zeros(2, int), np.array([0, 1]), np.full(2, MONDAY), n_users=1, n_items=5)
    items = drawn(SameCategoryNegatives(events, category), events, 200)
    assert set(items.ravel().tolist()) == {2, 3, 4}


def test_items_without_a_category_are_a_group_of_their_own():
    category = np.array([-1, -1, 0, 0])
    events = Interactions.of(np.arange(4), np.arange(4), np.full(4, MONDAY), n_users=4, n_items=4)
    items = drawn(SameCategoryNegatives(events, category), events, 50)
    assert (items == np.array([[1], [0], [3], [2]])).mean() > 0.98  # 9 draws all hit the known one: (1/2)^9 fall back


def test_same_category_without_a_category_column_is_refused(events):
    with pytest.raises(BadConfig, match="needs a data set with a category column"):
        negative_sampler("same_category", events, None)


def test_an_unknown_sampler_is_refused(events):
    with pytest.raises(BadConfig, match="negatives='nearest' is unknown; use uniform, popularity, same_category or ha"):
        negative_sampler("nearest", events, None)


def test_expected_counts_by_hand():
    """Shares 3/4, 1/4, 0; two positives and two of three items drawn uniformly.

    In the batch: 1 - (1/4)² = .9375, 1 - (3/4)² = .4375, 0. Among the draws: 1 - (2/3)² = 5/9.
    """
    expected = [0.9375 + 0.0625 * 5 / 9, 0.4375 + 0.5625 * 5 / 9, 5 / 9]
    np.testing.assert_allclose(expected_counts(np.array([3, 1, 0]), 2, 2), expected, rtol=1e-6)


def test_expected_counts_agree_with_drawing():
    counts, rng = np.array([50, 30, 15, 5, 0]), np.random.default_rng(0)
    held = np.zeros(5)
    for _ in range(4000):
        pool = [*rng.choice(5, 3, p=counts / 100), *rng.integers(0, 5, 2)]
        held[np.unique(pool)] += 1
    np.testing.assert_allclose(expected_counts(counts, 3, 2), held / 4000, atol=0.025)


def test_some_of_draws_usable_columns_and_repeats_them_only_when_it_must():
    usable = np.array([[True, True, True, True], [False, True, False, True], [False, False, False, False]])
    columns = some_of(usable, 3, np.random.default_rng(0))
    assert len(set(columns[0])) == 3
    assert set(columns[1]) == {1, 3}
    assert columns.shape == (3, 3)
