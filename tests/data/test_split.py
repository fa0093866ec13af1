"""`Holdout` and `Split`: what is asked, what counts as right, and the leaks that are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.split import FinalSplit, Holdout, Split
from twotower.data.tables import FeatureTable
from twotower.errors import BadInput, LeakError

N_USERS, N_ITEMS = 3, 6
Event = tuple[int, int, int]
"""User, item, time."""


def log(*events: Event) -> Interactions:
    user, item, time = np.asarray(events, np.int64).reshape(-1, 3).T
    return Interactions.of(user, item, time, n_users=N_USERS, n_items=N_ITEMS)


def split_of(
    train: list[Event],
    validation: list[Event],
    test: list[Event],
    *,
    shown: list[Event] | None = None,
    ordered_by_time: bool = True,
) -> Split:
    """Validation is asked after train, the test after both (or after the events `shown`)."""
    learnt, held = log(*train), log(*validation)
    history = learnt.concat(held) if shown is None else log(*shown)
    everything = log(*train, *validation, *test)
    dataset = Dataset(
        "toy", everything, FeatureTable.empty(N_USERS), FeatureTable.empty(N_ITEMS),
        IdMap.of(range(N_USERS), "user"), IdMap.of(range(N_ITEMS), "item"),
    )  # fmt: skip
    return Split(
        dataset, learnt, Holdout(learnt, held, 10), Holdout(history, log(*test), 20), "by hand", ordered_by_time
    )


events = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 9)), max_size=20)


@given(events, events)
def test_targets_are_new_pairs_of_each_user_once(history, target):
    holdout = Holdout.of(log(*history), log(*target), at=10)
    known = {e[:2] for e in history}
    expected = {e[:2] for e in target} - known
    assert sorted(zip(holdout.target.user.tolist(), holdout.target.item.tolist(), strict=True)) == sorted(expected)
    assert holdout.users().tolist() == sorted({user for user, _ in expected})
    relevant = dict(zip(holdout.users().tolist(), (set(r.tolist()) for r in holdout.relevant()), strict=True))
    assert relevant == {user: {i for u, i in expected if u == user} for user, _ in expected}


def test_queries_show_the_history_and_exclude_it():
    holdout = Holdout.of(log((0, 1, 1), (2, 4, 2), (2, 3, 1)), log((2, 5, 7), (1, 0, 8)), at=5)
    queries = holdout.queries()
    assert queries.users.tolist() == [1, 2]
    assert [h.tolist() for h in queries.histories] == [[], [3, 4]]
    assert [e.tolist() for e in queries.exclusions] == [[], [3, 4]]
    assert [r.tolist() for r in holdout.relevant()] == [[0], [5]]


def test_an_honest_split_is_accepted_and_refit_joins_train_and_validation():
    split = split_of([(0, 0, 1), (1, 1, 2)], [(0, 2, 3)], [(0, 3, 4), (1, 2, 4)])
    final = split.refit()
    assert isinstance(final, FinalSplit)
    assert final.train.item.tolist() == [0, 2, 1]  # user 0: items 0 and 2; user 1: item 1
    assert final.test is split.test
    assert final.dataset is split.dataset


@pytest.mark.parametrize(
    ("train", "validation", "test", "message"),
    [
        ([(0, 0, 1), (0, 2, 2)], [(0, 2, 3)], [(0, 3, 4)], "already in the validation history"),
        ([(0, 0, 1)], [(0, 2, 3)], [(0, 0, 4)], "already in the test history"),
        ([(0, 0, 5)], [(0, 2, 3)], [(0, 3, 6)], "validation event of user 0 at 3 is older .* at 5"),
        ([(0, 0, 1)], [(0, 2, 3)], [(0, 3, 2)], "test event of user 0 at 2 is older .* at 3"),
    ],
)
def test_a_target_that_was_seen_or_is_older_than_what_is_known_is_a_leak(train, validation, test, message):
    with pytest.raises(LeakError, match=message):
        split_of(train, validation, test)


def test_a_test_pair_in_train_is_a_leak_even_if_the_shown_history_hides_it():
    with pytest.raises(LeakError, match=r"test pair \(user 0, item 0\) is also in train"):
        split_of([(0, 0, 1)], [], [(0, 0, 4)], shown=[])


def test_validation_after_the_test_is_a_leak_even_if_the_shown_history_hides_it():
    with pytest.raises(LeakError, match=r"test event of user 0 at 4 is older .* at 9"):
        split_of([(0, 0, 1)], [(0, 2, 9)], [(0, 3, 4)], shown=[(0, 0, 1)])


def test_a_random_split_may_ask_for_old_events_but_not_for_known_pairs():
    split = split_of([(0, 0, 5)], [(0, 2, 3)], [(0, 3, 1)], ordered_by_time=False)
    assert len(split.test.target) == 1
    with pytest.raises(LeakError, match="already in the test history"):
        split_of([(0, 0, 5)], [], [(0, 0, 6)], ordered_by_time=False)


def test_one_users_late_events_do_not_accuse_another():
    split = split_of([(0, 0, 1), (1, 1, 100)], [], [(0, 3, 4)])
    assert split.test.users().tolist() == [0]


def test_a_split_without_training_events_is_refused():
    with pytest.raises(BadInput, match="split by hand: no training events"):
        split_of([], [(0, 1, 1)], [(0, 2, 2)])


def test_a_refit_split_still_refuses_test_pairs():
    split = split_of([(0, 0, 1)], [(0, 2, 3)], [(0, 3, 4)])
    with pytest.raises(LeakError, match="test pair is in the joined train part"):
        FinalSplit(split.dataset, log((0, 3, 1)), split.validation, split.test, "by hand")
