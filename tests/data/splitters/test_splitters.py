"""Splits: who goes where, by hand and by property; known positives, repeats, short time lines, empty parts."""

import inspect
import time
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data import splitters as splits
from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.splitters import (
    ByTime,
    ByWeek,
    ColdItems,
    ColdUsers,
    LeaveLast,
    PerUserRatio,
    RandomSplit,
    Rolling,
    SampledNegatives,
    TimeQuantile,
    UserHeldOut,
)
from twotower.data.tables import FeatureTable
from twotower.errors import BadConfig, BadInput

DAY = 86_400
MONDAY_W18 = 1_493_596_800  # 2017-05-01T00:00Z, `date -ud 2017-05-01 +%s`


def dataset(*events: tuple[int, int, int], n_users: int = 6, n_items: int = 12) -> Dataset:
    user, item, time = np.asarray(events, np.int64).reshape(-1, 3).T
    log = Interactions.of(user, item, time, n_users=n_users, n_items=n_items)
    users, items = IdMap.of(range(n_users), "user"), IdMap.of(range(n_items), "item")
    return Dataset("toy", log, FeatureTable.empty(n_users), FeatureTable.empty(n_items), users, items)


def triples(events: Interactions) -> list[tuple[int, int, int]]:
    return list(zip(events.user.tolist(), events.item.tolist(), events.time.tolist(), strict=True))


def pairs(events: Interactions) -> set[tuple[int, int]]:
    return {(user, item) for user, item, _ in triples(events)}


@pytest.fixture(scope="module")
def busy() -> Dataset:
    """40 users with 2 to 60 events on 50 items, many repeats and equal times."""
    rng = np.random.default_rng(5)
    user = np.repeat(np.arange(40), rng.integers(2, 60, 40))
    return dataset(
        *zip(user, rng.integers(0, 50, len(user)), rng.integers(0, 400, len(user)), strict=True), n_users=40, n_items=50
    )


EVERY = [
    ByTime(validation=250, test=330),
    TimeQuantile(validation=0.15, test=0.2),
    LeaveLast(n=2),
    PerUserRatio(validation=0.2, test=0.2),
    RandomSplit(seed=3),
    UserHeldOut(n_validation=5, n_test=0.2, seed=3),
    ColdItems(share=0.2, seed=3),
    ColdUsers(share=0.2, shown=1, seed=3),
    SampledNegatives(split=LeaveLast(n=2), n=5),
    Rolling(split=ByTime(validation=250, test=330), every_days=20 / DAY),
]


@pytest.mark.parametrize("splitter", EVERY, ids=lambda s: type(s).__name__)
def test_every_split_keeps_each_pair_on_one_side_and_invents_nothing(splitter, busy):
    split = splitter.split(busy)
    train, validation, test = split.train, split.validation.target, split.test.target
    for known, unknown in ((train, validation), (train, test), (validation, test)):
        assert not pairs(known) & pairs(unknown)
    assert len(pairs(validation)) == len(validation) > 0
    assert len(pairs(test)) == len(test) > 0
    every = set(triples(busy.interactions))
    assert set(triples(train)) | set(triples(validation)) | set(triples(test)) <= every
    assert split.name == splitter.name


@pytest.mark.parametrize("splitter", EVERY, ids=lambda s: type(s).__name__)
def test_the_test_may_show_training_and_validation_events_of_the_users_asked(splitter, busy):
    split = splitter.split(busy)
    asked = set(split.test.users().tolist())
    for part in (split.train, split.validation.target):
        shown_of_asked = {event for event in triples(part) if event[0] in asked}
        assert shown_of_asked <= set(triples(split.test.history))


@pytest.mark.parametrize("splitter", EVERY, ids=lambda s: type(s).__name__)
def test_a_refit_learns_all_events_before_the_test_and_no_test_pair(splitter, busy):
    split = splitter.split(busy)
    learnt = split.refit().train
    assert set(triples(split.train)) | set(triples(split.validation.target)) <= set(triples(learnt))
    assert not pairs(learnt) & pairs(split.test.target)
    if not isinstance(splitter, UserHeldOut | ColdUsers):  # there, the shown events of test users stay out
        assert triples(learnt) == triples(split.test.history)


def test_the_list_above_names_every_splitter_but_those_with_tests_of_their_own():
    made = {name for name, cls in vars(splits).items() if inspect.isclass(cls) and name != "Splitter"}
    assert {type(splitter).__name__ for splitter in EVERY} | {"ByWeek", "Published"} == made


def test_by_time_cuts_at_the_moment_itself_and_leaves_out_what_lies_outside():
    data = dataset((0, 0, 4), (0, 1, 5), (0, 2, 9), (0, 3, 10), (0, 4, 19), (0, 5, 20), (0, 6, 29), (0, 7, 30))
    split = ByTime(start=5, validation=10, test=20, end=30).split(data)
    assert split.train.item.tolist() == [1, 2]
    assert split.validation.target.item.tolist() == [3, 4]
    assert split.test.target.item.tolist() == [5, 6]
    assert (split.validation.at, split.test.at) == (10, 20)


def test_by_time_never_asks_for_what_the_user_already_knows_and_asks_once_for_the_rest():
    data = dataset((0, 1, 1), (0, 2, 11), (0, 1, 12), (0, 1, 21), (0, 2, 22), (0, 3, 23), (0, 3, 24), (1, 1, 25))
    split = ByTime(validation=10, test=20).split(data)
    assert triples(split.validation.target) == [(0, 2, 11)]  # item 1 was seen in train
    assert triples(split.test.target) == [(0, 3, 23), (1, 1, 25)]  # item 2 was seen in validation, 3 comes twice
    assert [row.tolist() for row in split.test.queries().exclusions] == [[1, 2, 1], []]  # user 1 is cold


def test_moments_are_read_as_utc_dates_or_seconds():
    by_date = ByTime(validation="2017-04-28", test="2017-05-01T00:00:00+00:00")
    assert (by_date.validation, by_date.test) == (MONDAY_W18 - 3 * DAY, MONDAY_W18)
    assert by_date.name == "by_time(validation=2017-04-28, test=2017-05-01)"


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        ({"validation": "soon", "test": 5}, "'soon' is no moment"),
        ({"validation": 5, "test": 5}, "start < validation < test < end must hold"),
        ({"validation": 5, "test": 9, "end": 9}, "must hold"),
        ({"validation": 5, "test": 9, "start": 7}, "must hold"),
    ],
)
def test_moments_that_cannot_be_read_or_do_not_rise_are_refused(moments, message):
    with pytest.raises(BadConfig, match=message):
        ByTime(**moments)


def test_a_cut_outside_the_data_is_refused_with_the_times_there_are():
    data = dataset((0, 0, MONDAY_W18), (0, 1, MONDAY_W18 + DAY), (0, 2, MONDAY_W18 + 2 * DAY))
    with pytest.raises(BadInput, match=r"toy: no training events; .* between 2017-05-01 and 2017-05-03"):
        ByTime(validation="2015-01-01", test="2016-01-01").split(data)
    with pytest.raises(BadInput, match=r"the test part is empty \(no event falls into it\)"):
        ByTime(validation="2017-05-02", test="2018-01-01").split(data)
    known = dataset((0, 0, 1), (0, 1, 11), (0, 0, 21))
    with pytest.raises(BadInput, match=r"the test part is empty \(all its pairs are already known\)"):
        ByTime(validation=10, test=20).split(known)


def test_week_18_is_the_test_its_last_three_days_before_are_validation_and_four_weeks_are_used():
    start = MONDAY_W18 - 28 * DAY
    data = dataset(
        (0, 0, start - 1), (0, 1, start), (0, 2, MONDAY_W18 - 3 * DAY - 1), (0, 3, MONDAY_W18 - 3 * DAY),
        (0, 4, MONDAY_W18 - 1), (0, 5, MONDAY_W18), (0, 6, MONDAY_W18 + 7 * DAY - 1), (0, 7, MONDAY_W18 + 7 * DAY),
    )  # fmt: skip
    split = ByWeek(test_week="2017-W18", validation_days=3, train_weeks=4).split(data)
    assert split.train.item.tolist() == [1, 2]
    assert split.validation.target.item.tolist() == [3, 4]
    assert split.test.target.item.tolist() == [5, 6]
    assert split.name == "by_week(test=2017-W18, validation_days=3, train_weeks=4)"
    assert ByWeek(test_week="2017-W18").split(data).train.item.tolist() == [0, 1, 2]


@pytest.mark.parametrize("week", ["2017-W54", "2017-18", "18", "2017-W00"])
def test_a_week_that_does_not_exist_is_refused(week):
    with pytest.raises(BadConfig, match="no ISO calendar week"):
        ByWeek(test_week=week)


def test_validation_that_swallows_the_training_weeks_is_refused():
    with pytest.raises(BadConfig, match=r"validation_days=7 must be .* shorter"):
        ByWeek(test_week="2017-W18", validation_days=7, train_weeks=1)


def test_quantiles_take_the_newest_tenths_and_keep_equal_times_together():
    data = dataset(*((0, item, item) for item in range(10)))
    split = TimeQuantile(validation=0.2, test=0.1).split(data)
    assert split.validation.target.item.tolist() == [7, 8]
    assert split.test.target.item.tolist() == [9]
    tied = dataset(*((0, item, min(item, 8)) for item in range(10)))  # items 8 and 9 at the same time
    assert TimeQuantile(validation=0.2, test=0.1).split(tied).test.target.item.tolist() == [8, 9]


def test_quantiles_of_a_single_moment_are_refused():
    with pytest.raises(BadInput, match="too many of them share a moment"):
        TimeQuantile().split(dataset(*((0, item, 7) for item in range(10))))


def test_leave_last_takes_the_last_new_items_and_never_a_repeat():
    data = dataset((0, 0, 1), (0, 1, 2), (0, 0, 3), (0, 2, 4), (0, 1, 5), (0, 3, 6), (0, 2, 7))
    split = LeaveLast(n=1).split(data)
    assert triples(split.train) == [(0, 0, 1), (0, 1, 2), (0, 0, 3)]
    assert triples(split.validation.target) == [(0, 2, 4)]
    assert triples(split.test.target) == [(0, 3, 6)]
    assert [row.tolist() for row in split.test.queries().histories] == [[0, 1, 0, 2, 1]]


def test_leave_last_keeps_users_with_fewer_than_three_distinct_items_for_training_only():
    data = dataset((0, 0, 1), (0, 1, 2), (0, 0, 3), (0, 1, 9), (1, 0, 1), (1, 1, 2), (1, 2, 3))
    split = LeaveLast(n=1).split(data)
    assert split.test.users().tolist() == split.validation.users().tolist() == [1]
    assert (split.train.user == 0).sum() == 4
    with pytest.raises(BadInput, match="no user has 5 distinct items"):
        LeaveLast(n=2).split(data)


def test_at_equal_times_leave_last_goes_by_the_order_of_the_source():
    split = LeaveLast(n=1).split(dataset((0, 5, 1), (0, 9, 1), (0, 3, 1), (0, 7, 1)))
    assert split.train.item.tolist() == [5, 9]
    assert (split.validation.target.item.tolist(), split.test.target.item.tolist()) == ([3], [7])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 11), st.integers(0, 30)), max_size=80), st.integers(1, 3))
def test_leave_last_is_the_loop_over_users_that_it_replaces(events, n):
    timelines = defaultdict(list)
    for user, item, _ in sorted(events, key=lambda event: (event[0], event[2])):
        if item not in timelines[user]:
            timelines[user].append(item)
    held = {user: items for user, items in timelines.items() if len(items) >= 2 * n + 1}
    if not held:
        with pytest.raises(BadInput):
            LeaveLast(n=n).split(dataset(*events))
        return
    split = LeaveLast(n=n).split(dataset(*events))
    assert pairs(split.test.target) == {(user, item) for user, items in held.items() for item in items[-n:]}
    assert pairs(split.validation.target) == {(u, item) for u, items in held.items() for item in items[-2 * n : -n]}


def test_per_user_ratio_rounds_half_up_and_leaves_one_item_to_learn_from():
    data = dataset(
        *((0, item, item) for item in range(10)),  # 10 * .25 = 2.5 -> 3 and 3
        *((1, item, item) for item in range(5)),  # 5 * .25 = 1.25 -> 1 and 1
        *((2, item, item) for item in range(2)),  # 2 * .25 = .5 -> 1 test; the other item must stay in train
        (3, 0, 0),  # .25 -> 0
    )
    split = PerUserRatio(validation=0.25, test=0.25).split(data)
    assert np.bincount(split.test.target.user, minlength=4).tolist() == [3, 1, 1, 0]
    assert np.bincount(split.validation.target.user, minlength=4).tolist() == [3, 1, 0, 0]
    assert np.bincount(split.train.user, minlength=4).tolist() == [4, 3, 1, 1]


@pytest.mark.parametrize("splitter", [PerUserRatio, TimeQuantile, RandomSplit])
def test_shares_that_leave_nothing_to_learn_from_are_refused(splitter):
    with pytest.raises(BadConfig, match="leaves nothing for train"):
        splitter(validation=0.5, test=0.5)
    with pytest.raises(BadConfig, match="test=0 must lie between 0 and 1"):
        splitter(test=0)


def test_random_split_takes_the_shares_and_moves_all_events_of_a_pair_together(busy):
    split = RandomSplit(validation=0.1, test=0.3, seed=1).split(busy)
    n = len(busy.interactions.unique_pairs())
    assert (len(split.validation.target), len(split.test.target)) == (round(0.1 * n), round(0.3 * n))
    assert len(pairs(split.train)) == n - round(0.1 * n) - round(0.3 * n)
    assert not split.ordered_by_time


@pytest.mark.parametrize("splitter", [RandomSplit, UserHeldOut, ColdItems])
def test_the_seed_decides_the_draw(splitter, busy):
    def drawn(seed: int) -> list[tuple[int, int, int]]:
        return triples(splitter(seed=seed).split(busy).test.target)

    assert drawn(0) == drawn(0) != drawn(1)


def test_held_out_users_are_never_learnt_and_show_their_first_items(busy):
    split = UserHeldOut(n_validation=4, n_test=6, fold_in=0.75, seed=2).split(busy)
    validation, test = set(split.validation.users().tolist()), set(split.test.users().tolist())
    assert (len(validation), len(test)) == (4, 6)
    assert not (validation | test) & set(split.train.user.tolist())
    assert not validation & test
    assert not test & set(split.refit().train.user.tolist())
    for user, shown, asked in zip(
        split.test.users(), split.test.queries().histories, split.test.relevant(), strict=True
    ):
        distinct = len(set(busy.interactions.by_user()[int(user)].tolist()))
        assert len(set(shown.tolist())) == min(int(0.75 * distinct + 0.5), distinct - 1)
        assert len(asked) == distinct - len(set(shown.tolist()))


def test_users_with_one_item_are_not_held_out_and_too_many_are_refused():
    data = dataset((0, 0, 1), (1, 0, 1), (1, 1, 2), (2, 0, 1), (2, 1, 2), (3, 1, 2))
    split = UserHeldOut(n_validation=1, n_test=1).split(data)
    assert {*split.validation.users().tolist(), *split.test.users().tolist()} == {1, 2}
    with pytest.raises(BadInput, match=r"2 \+ 1 users are wanted, but only 2 of 6 have two distinct items"):
        UserHeldOut(n_validation=2, n_test=1).split(data)
    with pytest.raises(BadConfig, match=r"n_test=1\.5"):
        UserHeldOut(n_test=1.5)


def test_cold_items_are_never_learnt_nor_shown(busy):
    split = ColdItems(share=0.2, seed=4).split(busy)
    validation, test = set(split.validation.target.item.tolist()), set(split.test.target.item.tolist())
    assert len(validation) == len(test) == 10  # 20 % of 50 items, all of which have events
    assert not validation & test
    assert not (validation | test) & set(split.train.item.tolist())
    assert not test & set(split.test.history.item.tolist())


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_cold_items_must_leave_warm_ones(share):
    with pytest.raises(BadConfig, match=r"must lie between 0 and 0\.5"):
        ColdItems(share=share)


@pytest.mark.parametrize("splitter", EVERY, ids=lambda s: type(s).__name__)
def test_a_data_set_without_events_is_refused(splitter):
    with pytest.raises(BadInput):
        splitter.split(dataset())


@pytest.mark.slow
def test_eight_million_events_are_split_in_seconds():
    rng = np.random.default_rng(0)
    n, n_users, n_items = 8_000_000, 100_000, 50_000
    columns = rng.integers(0, n_users, n), rng.integers(0, n_items, n), rng.integers(0, 35 * DAY, n)
    log = Interactions.of(*columns, n_users=n_users, n_items=n_items)
    empty = dataset(n_users=n_users, n_items=n_items)
    started = time.process_time()
    LeaveLast(n=1).split(empty.with_interactions(log))
    assert time.process_time() - started < 15  # takes about 2 s; the generous limit is for busy machines
