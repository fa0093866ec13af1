"""`Popular`, `ItemKNN`, `EASE` and their sparse helpers, against hand-worked numbers and brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from twotower.data.interactions import Interactions
from twotower.data.split import Holdout, Split
from twotower.errors import BadConfig
from twotower.models.linear import EASE, closed_form
from twotower.models.matrix import history_matrix, largest_per_row, pair_matrix, popularity, row_blocks
from twotower.models.neighbours import ItemKNN, ages, nearest_items
from twotower.models.popular import Popular
from twotower.types import UNKNOWN_USER, Queries, Ragged

DAY = 86_400


def events_of(pairs: list[tuple[int, int, float]], n_items: int) -> Interactions:
    """Events from (user, item, day)."""
    user, item, day = np.array(pairs).T
    return Interactions.of(user, item, day * DAY, n_users=int(user.max()) + 1, n_items=n_items)


def split_of(two_tastes: Split, pairs: list[tuple[int, int, float]], n_items: int) -> Split:
    """A split with these training events and nothing to foresee."""
    train = events_of(pairs, n_items)
    nothing = Holdout(train, train.where(np.empty(0, np.int64)), 0)
    return Split(two_tastes.dataset, train, nothing, nothing, "by hand")


def ask(*history: int) -> Queries:
    return Queries.of(np.array([UNKNOWN_USER]), Ragged.from_lists([list(history)]), exclude_history=False)


# Item 0: users 0, 1 (twice); item 1: users 0, 2; item 2: user 2 on day 10.
PAIRS = [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 0, 3), (2, 1, 4), (2, 2, 10)]


def test_popular_counts_users_or_events(two_tastes):
    split = split_of(two_tastes, PAIRS, 4)
    np.testing.assert_array_equal(Popular().fit(split).score(ask())[0], [2, 2, 1, 0])
    np.testing.assert_array_equal(Popular(unique_users=False).fit(split).score(ask())[0], [3, 2, 1, 0])


def test_popular_counts_the_newest_days_only(two_tastes):
    split = split_of(two_tastes, PAIRS, 4)
    np.testing.assert_array_equal(Popular(window_days=7).fit(split).score(ask())[0], [0, 1, 1, 0])  # days 4 and 10


def test_a_pair_matrix_holds_counts():
    np.testing.assert_array_equal(pair_matrix(events_of(PAIRS, 3)).toarray(), [[1, 1, 0], [2, 0, 0], [0, 1, 1]])


def test_popularity_counts_users_once():
    np.testing.assert_array_equal(popularity(events_of(PAIRS, 3)), [2, 2, 1])


def test_a_history_matrix_adds_repeats_and_skips_unknown_items():
    histories = Ragged.from_lists([[2, 0, 2], [-1], []])
    np.testing.assert_array_equal(history_matrix(histories, 3).toarray(), [[1, 0, 2], [0, 0, 0], [0, 0, 0]])


def test_ages_count_newer_events():
    np.testing.assert_array_equal(ages(Ragged.from_lists([[5, 6, 7], [], [8]])), [2, 1, 0, 0])


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 50))
def test_row_blocks_cover_all_rows_in_order_within_the_limit(work, limit):
    blocks = row_blocks(np.array(work, np.int64), limit)
    assert [i for b in blocks for i in range(b.start, b.stop)] == list(range(len(work)))
    assert all(sum(work[b]) <= limit or b.stop - b.start == 1 for b in blocks)


@given(st.integers(1, 4), st.integers(0, 10_000))
def test_largest_per_row_agrees_with_a_full_sort(n, seed):
    dense = np.random.default_rng(seed).integers(-1, 4, (5, 7)).astype(np.float32)
    kept = largest_per_row(sparse.csr_array(dense), n).toarray()
    for row in range(5):
        best = [c for c in np.argsort(-dense[row], kind="stable")[:n] if dense[row, c] > 0]
        expected = np.zeros(7)
        expected[best] = dense[row, best]
        np.testing.assert_array_equal(kept[row], expected)


def test_similarity_is_the_shrunk_cosine(two_tastes):
    # Columns: item 0 = (1, 1, 0), item 1 = (1, 0, 1), item 2 = (0, 0, 1); |x| = √2, √2, 1; shrinkage 1.
    model = ItemKNN(weighting="binary", shrinkage=1.0, n_neighbours=5).fit(split_of(two_tastes, PAIRS, 3))
    s01, s12 = 1 / (2 + 1), 1 / (np.sqrt(2) + 1)
    np.testing.assert_allclose(model.score(ask(1))[0, [0, 2]], [s01, s12], rtol=1e-6)
    # Nothing is similar to itself: item 1 follows as a popular one. Popularity 2 of at most 2: 2 / 3 - 1.
    np.testing.assert_allclose(model.score(ask(1))[0, 1], 2 / 3 - 1, rtol=1e-6)
    np.testing.assert_allclose(model.score(ask(0, 2))[0, 1], s01 + s12, rtol=1e-6)


def test_older_events_of_a_history_count_less(two_tastes):
    split = split_of(two_tastes, PAIRS, 3)
    plain = ItemKNN(weighting="binary", shrinkage=1.0).fit(split).score(ask(0))[0, 1]
    faded = ItemKNN(weighting="binary", shrinkage=1.0, half_life=2).fit(split).score(ask(0, -1, -1))[0, 1]
    np.testing.assert_allclose(faded, plain / 2, rtol=1e-6)  # two newer events, half life 2


def test_weightings_make_busy_users_count_less(two_tastes):
    # User 0 touched items 0 and 1 only; user 1 touched 0 and 2, and ten more.
    pairs = [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 2, 0), *((1, i, 0) for i in range(3, 13))]
    split = split_of(two_tastes, pairs, 13)
    for weighting in ("tfidf", "bm25"):
        score = ItemKNN(weighting=weighting, shrinkage=0.0).fit(split).score(ask(0))[0]
        assert score[1] > score[2], weighting
    plain = ItemKNN(weighting="binary", shrinkage=0.0).fit(split).score(ask(0))[0]
    assert plain[1] == plain[2]


def test_neighbours_do_not_depend_on_the_blocks(two_tastes, monkeypatch):
    users = pair_matrix(two_tastes.train)
    whole = nearest_items(users, 5, 1.0).toarray()
    monkeypatch.setattr("twotower.models.neighbours.row_blocks", lambda work: row_blocks(work, 100))
    np.testing.assert_array_equal(nearest_items(users, 5, 1.0).toarray(), whole)
    assert ((whole > 0).sum(axis=1) <= 5).all()


def test_ease_is_the_constrained_least_squares_solution():
    x = np.random.default_rng(0).integers(0, 2, (30, 6)).astype(np.float64)
    weights = closed_form(x.T @ x, 3.0)
    for j in range(6):  # column j: ridge regression of x_j on the other columns
        others = np.delete(np.arange(6), j)
        ridge = np.linalg.solve(x[:, others].T @ x[:, others] + 3.0 * np.eye(5), x[:, others].T @ x[:, j])
        np.testing.assert_allclose(weights[others, j], ridge, rtol=1e-5, atol=1e-7)
        assert weights[j, j] == 0


def test_ease_counts_an_item_of_the_history_once(two_tastes):
    model = EASE(l2=1.0).fit(two_tastes)
    np.testing.assert_array_equal(model.score(ask(3, 3, 5)), model.score(ask(3, 5)))


def test_ease_refuses_a_catalogue_whose_square_is_too_large(two_tastes):
    with pytest.raises(BadConfig, match=r"50² numbers .* take ItemKNN or ALS"):
        EASE(max_items=49).fit(two_tastes)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (Popular, {"window_days": 0}),
        (ItemKNN, {"weighting": "idf"}),
        (ItemKNN, {"n_neighbours": 0}),
        (ItemKNN, {"half_life": 0}),
        (EASE, {"l2": 0}),
    ],
)
def test_impossible_options_are_refused(model, options):
    with pytest.raises(BadConfig, match=str(next(iter(options)))):
        model(**options)
