"""The profile learner: hand-worked profiles, a loop as oracle, no event ever sees itself or what comes later."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twotower.data.dataset import ItemVersions
from twotower.data.interactions import Interactions
from twotower.errors import BadConfig, BadInput
from twotower.features import profiles as profiles_module
from twotower.features.encoded import EncodedTable, as_matrix
from twotower.features.encoders import FeatureEncoder
from twotower.features.item_states import ItemStates
from twotower.features.markov import MarkovWeights
from twotower.features.profiles import ProfileLearner, Profiles
from twotower.features.windows import DAY
from twotower.types import UNKNOWN_USER, Ragged

AT_ZERO = {"origin": 0, "refresh_days": 10}


def events_of(*rows: tuple[int, int, float], n_items: int = 4) -> Interactions:
    """Events (user, item, day) of users 0-2."""
    user, item, day = zip(*rows, strict=True)
    return Interactions.of(
        np.array(user), np.array(item), (np.array(day) * DAY).astype(np.int64), n_users=3, n_items=n_items
    )


def dense(table: EncodedTable, field: str) -> np.ndarray:
    return as_matrix(table.codes[field], table.sizes[field]).toarray()


def same(ours: EncodedTable, theirs: EncodedTable) -> bool:
    """Equal to the last bit."""
    return (
        ours.continuous_names == theirs.continuous_names
        and dict(ours.sizes) == dict(theirs.sizes)
        and ours.continuous.tobytes() == theirs.continuous.tobytes()
        and all(np.array_equal(dense(ours, f), dense(theirs, f)) for f in ours.sizes)
    )


@pytest.fixture(scope="module")
def learnt(cars, make_dataset) -> Profiles:
    """User 0 touches cars 0, 1, 3, 2 on days 1, 2, 3, 12; user 1 car 2 on day 4."""
    events = events_of((0, 0, 1), (0, 1, 2), (0, 3, 3), (0, 2, 12), (1, 2, 4))
    learner = ProfileLearner(window_days=15, min_events=1, **AT_ZERO)
    return learner.fit(make_dataset(cars, events), events, FeatureEncoder.fit(cars))


def test_a_profile_is_the_distribution_mean_and_deviation_of_what_was_touched(learnt):
    row = learnt.rows(np.array([0]), 10 * DAY)[0]
    # makes b, a, a; extras {x, y} {} {z}: x 1/2, y 1/2, z 1, the car without extras is no denominator: / 2
    assert dense(learnt.table, "make")[row] == pytest.approx([0, 2 / 3, 1 / 3])
    assert dense(learnt.table, "extras")[row] == pytest.approx([0, 0.25, 0.25, 0.5])
    # catalogue prices 100, 300, 900: mean 1300/3, sd sqrt(173333.33...); known prices touched: 100 and 900
    mean, sd = 1300 / 3, np.std([100, 300, 900], ddof=1)
    assert learnt.table.continuous_names == ("price:mean", "price:sd", "log_events")
    assert learnt.table.continuous[row] == pytest.approx([(500 - mean) / sd, 400 / sd, np.log(1 + 3)])


def test_a_missing_value_is_left_out_of_the_denominator(learnt):
    row = learnt.rows(np.array([0]), 20 * DAY)[0]
    # [day 5, day 20) holds car 2 only: its make is missing
    assert not dense(learnt.table, "make")[row].any()
    assert dense(learnt.table, "extras")[row].tolist() == [0, 0, 1, 0]


def test_the_newest_profile_that_is_not_too_old_is_used(learnt):
    moments = list(zip(learnt.user.tolist(), (learnt.as_of // DAY).tolist(), strict=True))
    assert moments == [(UNKNOWN_USER, 0), (0, 10), (0, 20), (1, 10)]
    days = np.array([9.99, 10, 19.99, 20, 35, 35.01])
    assert learnt.rows(np.zeros(6), (days * DAY).astype(np.int64)).tolist() == [0, 1, 1, 2, 2, 0]


def test_users_without_a_profile_get_the_empty_one(learnt):
    assert learnt.rows(np.array([2, UNKNOWN_USER, 1]), 11 * DAY).tolist() == [0, 0, 3]
    assert learnt.at(11 * DAY).tolist() == [1, 3, 0]
    assert not learnt.table.continuous[0].any()
    assert all(len(bags.codes[0]) == 0 for bags in learnt.table.codes.values())


def test_items_count_as_they_were_when_touched(cars, make_dataset, make_prices):
    versions = ItemVersions(np.array([0]), np.array([5 * DAY]), make_prices([900]))
    events = events_of((0, 0, 4), (0, 0, 6))  # at 100, then at 900
    dataset = make_dataset(cars, events, versions)
    learner = ProfileLearner(min_events=2, **AT_ZERO)
    profiles = learner.fit(dataset, events, FeatureEncoder.fit(cars))
    mean, sd = 1300 / 3, np.std([100, 300, 900], ddof=1)
    assert profiles.table.continuous[1, :2] == pytest.approx([(500 - mean) / sd, 400 / sd])


def test_rare_kinds_of_events_count_more(cars, make_dataset):
    kinds = ("view", "contact")
    events = Interactions.of(
        np.zeros(9), np.array([0] * 8 + [3]), np.arange(9), kind=np.array([0] * 8 + [1]), kinds=kinds,
        n_users=1, n_items=4,
    )  # fmt: skip
    weights = MarkovWeights()
    learner = ProfileLearner(weights=weights, **AT_ZERO)
    profiles = learner.fit(make_dataset(cars, events), events, FeatureEncoder.fit(cars))
    view, contact = 1 / weights.stationary
    assert contact > view
    total = 8 * view + contact  # 8 views of a "b", one contact for an "a"
    assert dense(profiles.table, "make")[1] == pytest.approx([0, contact / total, 8 * view / total], rel=1e-6)


def test_an_extra_moment_sees_all_events_before_it_and_none_at_it(cars, make_dataset):
    events = events_of((0, 0, 1), (0, 3, 2))
    learner = ProfileLearner(min_events=1, **AT_ZERO)
    dataset, encoder = make_dataset(cars, events), FeatureEncoder.fit(cars)
    at = 2 * DAY
    profiles = learner.fit(dataset, events, encoder, extra_moments=(at, at + 1))
    assert dense(profiles.table, "make")[profiles.at(at)[0]].tolist() == [0, 0, 1]
    assert dense(profiles.table, "make")[profiles.at(at + 1)[0]].tolist() == [0, 0.5, 0.5]


def test_without_a_window_all_events_count_and_no_profile_is_too_old(cars, make_dataset):
    events = events_of((0, 0, 1), (0, 3, 500), (1, 1, 2))
    learner = ProfileLearner(window_days=None, min_events=1, **AT_ZERO)
    profiles = learner.fit(make_dataset(cars, events), events, FeatureEncoder.fit(cars))
    assert (profiles.as_of // DAY).tolist() == [0, 10, 510, 10]  # made again only after something happened
    assert np.exp(profiles.table.continuous[profiles.at(9999 * DAY), -1]) - 1 == pytest.approx([2, 1, 0])


def test_saved_profiles_are_loaded_unchanged(learnt, tmp_path):
    learnt.save(tmp_path / "profiles")
    loaded = Profiles.load(tmp_path / "profiles")
    assert same(loaded.table, learnt.table)
    assert (loaded.user.tolist(), loaded.as_of.tolist()) == (learnt.user.tolist(), learnt.as_of.tolist())
    assert (loaded.n_users, loaded.window) == (3, 15 * DAY)


def test_no_events_give_the_empty_profile_only(cars, make_dataset):
    events = events_of((0, 0, 1)).where(np.zeros(1, bool))
    profiles = ProfileLearner().fit(make_dataset(cars, events), events, FeatureEncoder.fit(cars))
    assert len(profiles) == 1
    assert profiles.rows(np.array([0, 1]), 5).tolist() == [0, 0]


def test_aggregating_in_blocks_changes_nothing(random_market, monkeypatch):
    dataset, encoder = random_market(1)
    whole = ProfileLearner().fit(dataset, dataset.interactions, encoder)
    monkeypatch.setattr(profiles_module, "BLOCK_EVENTS", 7)
    assert same(ProfileLearner().fit(dataset, dataset.interactions, encoder).table, whole.table)


def test_a_history_shorter_than_the_minimum_has_the_empty_profile(cars):
    states = ItemStates.of(FeatureEncoder.fit(cars), cars)
    table = ProfileLearner(min_events=2).profile_of(Ragged.from_lists([[3], [3, 3], []]), states)
    assert dense(table, "make").tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert table.continuous[:, -1] == pytest.approx([0, np.log(3), 0])


def test_a_history_with_an_unknown_item_or_a_bad_weight_is_refused(cars):
    states = ItemStates.of(FeatureEncoder.fit(cars), cars)
    with pytest.raises(BadInput, match="item 77 is not in the catalogue"):
        ProfileLearner().profile_of(Ragged.from_lists([[0, 77]]), states)
    with pytest.raises(BadInput, match="weights must be finite"):
        ProfileLearner().profile_of(Ragged.from_lists([[0, 1]]), states, weights=np.array([1, np.nan]))


@pytest.mark.parametrize("options", [{"window_days": 0}, {"refresh_days": 0}, {"min_events": 0}])
def test_senseless_options_are_refused(options):
    with pytest.raises(BadConfig, match=next(iter(options))):
        ProfileLearner(**options)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_a_brought_history_has_exactly_the_profile_of_a_known_user_with_the_same_events(random_market, seed):
    dataset, encoder = random_market(seed)
    events = dataset.interactions
    learner = ProfileLearner(weights=MarkovWeights("user"))
    profiles = learner.fit(dataset, events, encoder)
    weights = learner.weights.weights(events)
    states = ItemStates.of(encoder, dataset.items, dataset.versions)
    inside = [
        np.flatnonzero((events.user == u) & (events.time < t) & (events.time >= t - 30 * DAY))
        for u, t in zip(profiles.user, profiles.as_of, strict=True)
    ]
    chosen = Ragged.from_lists(inside)
    histories = Ragged(events.item[chosen.values].astype(np.int64), chosen.offsets)
    brought = learner.profile_of(histories, states, times=events.time[chosen.values], weights=weights[chosen.values])
    assert same(brought, profiles.table)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_profiles_agree_with_a_loop_over_their_events(random_market, seed):
    dataset, encoder = random_market(seed)
    events = dataset.interactions
    profiles = ProfileLearner(min_events=1).fit(dataset, events, encoder)
    table = profiles.table
    for row in range(1, len(profiles)):
        age = profiles.as_of[row] - events.time
        mine = np.flatnonzero((events.user == profiles.user[row]) & (age > 0) & (age <= 30 * DAY))
        touched = [encoder.transform(dataset.items_at(int(events.time[e])).take([events.item[e]])) for e in mine]
        prices = [t.continuous[0, 0] for t in touched if "price?" not in t.continuous_names or not t.continuous[0, 1]]
        expected = (np.mean(prices), np.std(prices)) if prices else (0, 0)
        assert table.continuous[row, :2] == pytest.approx(expected, abs=1e-5)
        for field in table.sizes:
            total = sum(dense(t, field)[0] for t in touched)
            assert dense(table, field)[row] == pytest.approx(total / max(total.sum(), 1e-9), abs=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 110))
def test_what_happens_at_or_after_a_moment_never_changes_its_profile(random_market, seed, day):
    dataset, encoder = random_market(seed)
    events, at = dataset.interactions, day * DAY
    learner = ProfileLearner(min_events=1)
    before = events.where(events.time < at)
    rng = np.random.default_rng(seed)
    other = Interactions.of(
        rng.integers(0, 5, 40), rng.integers(0, 8, 40), at + rng.integers(0, 9 * DAY, 40), kinds=events.kinds,
        n_users=5, n_items=8,
    )  # fmt: skip
    with_future = learner.fit(dataset, before.concat(other), encoder, extra_moments=(at,))
    without = learner.fit(dataset, before, encoder, extra_moments=(at,))
    assert same(with_future.table.take(with_future.at(at)), without.table.take(without.at(at)))


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_the_profile_given_to_an_event_holds_older_events_only(random_market, seed):
    dataset, encoder = random_market(seed)
    events = dataset.interactions
    profiles = ProfileLearner(min_events=1).fit(dataset, events, encoder)
    row = profiles.rows(events.user, events.time)
    assert (profiles.as_of[row] <= events.time).all()
    for event in np.flatnonzero(row):
        as_of = profiles.as_of[row[event]]
        older = (events.user == events.user[event]) & (events.time < as_of) & (events.time >= as_of - 30 * DAY)
        assert profiles.table.continuous[row[event], -1] == pytest.approx(np.log1p(older.sum()))
        assert (events.time[older] < events.time[event]).all()
