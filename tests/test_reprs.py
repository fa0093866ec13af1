"""Values print as one line of a notebook, whatever they hold."""

import pytest

from twotower import Popular, examine
from twotower.testing import two_tastes
from twotower.tuning.blind_split import BlindSplit

SPLIT = two_tastes()
POPULAR = Popular().fit(SPLIT)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (SPLIT, "<Split leave_last(n=1) of two-tastes: 640 train, 80 validation, 80 test>"),
        (BlindSplit.of(SPLIT), "<BlindSplit leave_last(n=1) of two-tastes: 640 train, the test is closed>"),
        (SPLIT.refit(), "<Split leave_last(n=1) of two-tastes: 720 train, 80 validation, 80 test>"),
        (SPLIT.test, "<Holdout: 80 targets of 80 users>"),
        (SPLIT.train, "<Interactions: 640 events (event), 80 users, 50 items>"),
        (SPLIT.dataset, "<Dataset two-tastes: 80 users, 50 items, 800 events>"),
        (SPLIT.dataset.items, "<FeatureTable: 50 rows, taste, price>"),
        (SPLIT.dataset.user_ids, "<IdMap: 80 user ids: 0, 1, 2, …>"),
        (SPLIT.test.queries(), "<Queries: 80 users (80 known), 720 events of history>"),
        (SPLIT.test.relevant(), "<Ragged: 80 rows, 80 values>"),
        (POPULAR, "<Popular(), fitted on 50 items>"),
        (Popular(window_days=3), "<Popular(window_days=3), not fitted>"),
        (POPULAR.recommend(SPLIT.test.queries(), 3), "<TopK: 80 lists of 3>"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_value_prints_as_one_line_that_says_its_sizes(value, says):
    assert repr(value) == says


def test_an_examination_prints_its_first_figures():
    shown = repr(examine(POPULAR, SPLIT.test, ks=(5,)))
    assert shown.startswith("<Evaluation of 80 users: map@5 0.")
    assert "\n" not in shown
