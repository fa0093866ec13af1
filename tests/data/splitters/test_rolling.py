"""`Rolling`: who is asked on which day, with which history, among which items; nobody sees a later event."""

import numpy as np
import pytest

from twotower.config.build import make_split
from twotower.config.compose import compose, plain
from twotower.data.dataset import Dataset, Lifetimes
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.rolling import DAY, RollingHoldout
from twotower.data.splitters import ByTime, LeaveLast, Rolling, SampledNegatives
from twotower.data.tables import FeatureTable
from twotower.errors import BadConfig, BadInput

START = 100 * DAY
"""The test begins on a midnight."""
MORNING = DAY // 4
EVENTS = (
    (0, 0, START - 9 * DAY), (1, 1, START - 9 * DAY), (2, 0, START - 9 * DAY),
    (0, 1, START - DAY), (1, 0, START - DAY),
    (0, 2, START + MORNING),  # day 0: new to user 0
    (0, 0, START + MORNING + 1),  # day 0: known from training, no target
    (1, 2, START + MORNING),  # day 0
    (0, 2, START + DAY + MORNING),  # day 1: known since yesterday, no target
    (0, 3, START + DAY + MORNING),  # day 1
    (2, 4, START + 3 * DAY),  # day 3, at its very beginning; nobody acts on day 2
    (0, 4, START + 3 * DAY + MORNING),  # day 3
)  # fmt: skip
"""User, item, time."""


def dataset(lifetimes: Lifetimes | None = None, events=EVENTS) -> Dataset:
    user, item, time = np.array(events, np.int64).T
    log = Interactions.of(user, item, time, n_users=3, n_items=5)
    ids = IdMap.of(["a", "b", "c"], "user"), IdMap.of(list("vwxyz"), "item")
    return Dataset("days", log, FeatureTable.empty(3), FeatureTable.empty(5), *ids, lifetimes=lifetimes)


def cut(lifetimes: Lifetimes | None = None, events=EVENTS, **options):
    return Rolling(split=ByTime(validation=START - 2 * DAY, test=START), **options).split(dataset(lifetimes, events))


def asked(split) -> dict[int, dict[int, tuple[list[int], list[int]]]]:
    """Day to user to history and targets."""
    return {
        (part.at - START) // DAY: {
            int(user): (history.tolist(), relevant.tolist())
            for user, history, relevant in zip(
                part.users(), part.queries().histories, part.relevant(), strict=True
            )
        }
        for part in split.test.rounds()
    }  # fmt: skip


def test_each_day_asks_who_acts_then_with_all_that_is_known_by_then():
    assert asked(cut()) == {
        0: {0: ([0, 1], [2]), 1: ([1, 0], [2])},
        1: {0: ([0, 1, 2, 0], [3])},
        3: {0: ([0, 1, 2, 0, 2, 3], [4]), 2: ([0], [4])},
    }


def test_the_days_together_hold_every_target_once_and_the_whole_is_that_of_one_question():
    split, once = cut(), ByTime(validation=START - 2 * DAY, test=START).split(dataset())
    days = [part.target.pair_keys() for part in split.test.rounds()]
    assert sorted(np.concatenate(days)) == sorted(once.test.target.pair_keys())
    assert [len(day) for day in days] == [2, 1, 2]
    assert split.test.n_questions == 5  # two users on day 0, one on day 1, two on day 3
    assert split.train is not None
    np.testing.assert_array_equal(split.train.pair_keys(), once.train.pair_keys())
    assert split.name == f"rolling({once.name}, every_days=1)"


def test_what_can_be_had_on_the_day_competes():
    """Item 3 is listed at noon of day 0; item 2 is sold in the night before day 1."""
    lives = Lifetimes(np.array([0, 0, 0, START + DAY // 2, 0]), np.array([10**9, 10**9, START + DAY, 10**9, 10**9]))
    split = cut(lives)
    there = {(part.at - START) // DAY: np.flatnonzero(part.available).tolist() for part in split.test.rounds()}
    assert there == {0: [0, 1, 2, 4], 1: [0, 1, 3, 4], 3: [0, 1, 3, 4]}
    assert split.test.competitors == "4 to 4 of 5 items, available when asked"
    whole = split.over_whole_catalogue().test
    assert isinstance(whole, RollingHoldout)
    assert all(part.available is None for part in whole.rounds())


def test_no_event_of_a_day_or_later_is_in_what_is_known_or_learnt_that_day():
    """Every event is moved one by one to another item: days before and of the event must not notice it."""
    for moved in range(5, len(EVENTS)):
        user, item, time = EVENTS[moved]
        planted = [*EVENTS[:moved], (user, (item + 1) % 5, time), *EVENTS[moved + 1 :]]
        for before, after in zip(*(list(cut(events=e).test.moments) for e in (EVENTS, planted)), strict=True):
            assert before == after
        for at in cut().test.moments.tolist():
            same = [cut(events=e).test.known_at(at).pair_keys().tolist() for e in (EVENTS, planted)]
            assert (same[0] == same[1]) == (time >= at)


def test_what_may_be_learnt_and_the_data_that_models_get_end_before_the_moment():
    holdout = cut().test
    for part in holdout.rounds():
        learnt, data = holdout.split_at(part), holdout.data_at(part)
        for events in (data.interactions, learnt.dataset.interactions, learnt.refit().train, learnt.test.history):
            assert events.time.max() < part.at
            assert len(events) == len(part.history)
        assert not len(learnt.test.target)
        assert learnt.validation.at == part.at - 2 * DAY  # as long as the split's own validation
        assert learnt.train.time.max() < learnt.validation.at


def test_a_test_that_begins_within_a_day_goes_on_at_midnight():
    split = Rolling(split=ByTime(validation=START - DAY, test=START + MORNING), every_days=1).split(dataset())
    assert [(at - START) / DAY for at in split.test.moments.tolist()] == [0.25, 1, 2, 3]


def test_parts_of_a_day_and_several_days():
    assert [(at - START) / DAY for at in cut(every_days=2).test.moments.tolist()] == [0, 2]
    quarter = cut(every_days=0.25).test
    assert len(quarter.moments) == 3 * 4 + 2  # three days of four, then midnight and six o'clock of the fourth
    assert quarter.n_questions == 5


def test_who_says_nothing_gets_at_most_31_moments():
    events = [*EVENTS, (1, 4, START + 100 * DAY)]
    split = cut(events=events)
    assert split.name.endswith("every_days=4)")  # 101 days begin; 101 / 31 = 3.3
    assert len(split.test.moments) == 26


@pytest.mark.parametrize("options", [{"every_days": 0}, {"refit_days": -1}])
def test_options_must_be_above_zero(options):
    with pytest.raises(BadConfig, match="must be above 0 days"):
        Rolling(**options)


def test_too_many_moments_are_refused_with_a_number_that_works():
    # 3.25 days and a second, in steps of 86 s (0.001 days, rounded): 280,801 / 86 = 3,265.1
    with pytest.raises(BadConfig, match=r"makes 3,266 moments; give protocol.every_days=1 or"):
        cut(every_days=0.001)


def test_a_split_without_one_moment_gives_way_to_quantiles_of_time():
    assert (
        Rolling(split=LeaveLast(n=1), every_days=1).split(dataset_of_many()).name.startswith("rolling(time_quantile(")
    )


def dataset_of_many() -> Dataset:
    rng = np.random.default_rng(0)
    user, item, time = rng.integers(0, [[20], [50], [10 * DAY]], (3, 300))
    log = Interactions.of(user, item, time, n_users=20, n_items=50)
    ids = IdMap.of(range(20), "user"), IdMap.of(range(50), "item")
    return Dataset("many", log, FeatureTable.empty(20), FeatureTable.empty(50), *ids)


def test_competitors_are_not_drawn_for_several_moments():
    with pytest.raises(BadInput, match="a rolling test has no drawn competitors"):
        SampledNegatives(split=Rolling(split=ByTime(validation=START - DAY, test=START)), n=1).split(dataset())


def test_the_protocol_takes_the_data_sets_own_split():
    own = plain(compose(["data=marketplace", "protocol=rolling", "protocol.every_days=1"]))
    own["data"]["split"] = {
        "_target_": "twotower.data.splitters.ByTime", "validation": START - 2 * DAY, "test": START,
    }  # fmt: skip
    assert make_split(own, dataset()).name.startswith("rolling(by_time(")
    own["protocol"]["split"] = {"_target_": "twotower.data.splitters.ByTime", "validation": START - DAY, "test": START}
    assert make_split(own, dataset()).validation.at == START - DAY
