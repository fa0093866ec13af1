"""`ContentKNN` and `ContentRidge` against dense cosines and ridge systems; tokens against counts by hand."""

import numpy as np
import pytest

from twotower.data.tables import Categories, Column, FeatureSchema, FeatureTable, Kind, MultiCategories
from twotower.errors import BadConfig, BadInput
from twotower.models.content.knn import ContentKNN
from twotower.models.content.ridge import ContentRidge
from twotower.models.content.tokens import tf_idf, token_counts
from twotower.testing.data import N_COLD, N_ITEMS, queries_of


def films() -> FeatureTable:
    columns = (
        Column("studio", Kind.CATEGORICAL), Column("tags", Kind.MULTI_CATEGORICAL), Column("plot", Kind.TEXT),
        Column("year", Kind.CONTINUOUS, low=1900), Column("added", Kind.TIMESTAMP),
    )  # fmt: skip
    values = {
        "studio": Categories.of(["A", "B", None, "A"]),
        "tags": MultiCategories.of([["war", "sea"], ["sea"], [], ["new"]], [[4.0, 1.0], [2.0], [], [1.0]]),
        "plot": np.array(["A boat, a boat!", "", "the boat", "unseen"], dtype=object),
        "year": np.array([1990.0, 2000.0, 1800.0, np.nan]),
        "added": np.array([1, 2, 3, np.iinfo(np.int64).min]),
    }
    return FeatureTable(FeatureSchema(columns), values, 4)


SEEN = np.array([True, True, True, False])


def test_tokens_are_values_words_and_bins_and_missing_ones_are_none():
    counts = token_counts(films(), SEEN, n_bins=2, min_count=1, exclude=["added"]).toarray()
    # studio A, B; tags sea, war (order of first sight), plot: a, boat, the; year: at most the median 1995, above
    assert sorted(map(tuple, counts.T)) == sorted(
        [(1, 0, 0, 1), (0, 1, 0, 0), (4, 0, 0, 0), (1, 2, 0, 0), (2, 0, 0, 0), (2, 0, 1, 0), (0, 0, 1, 0),
         (1, 0, 0, 0), (0, 1, 0, 0)]
    )  # fmt: skip


def test_tokens_of_too_few_seen_items_are_left_out():
    counts = token_counts(films(), SEEN, n_bins=2, min_count=2, exclude=["added", "year"]).toarray()
    assert sorted(map(tuple, counts.T)) == [(1, 2, 0, 0), (2, 0, 1, 0)]  # sea and boat


def test_bins_of_a_moment_have_equal_counts_of_seen_items():
    counts = token_counts(films(), SEEN, n_bins=3, min_count=1, exclude=["studio", "tags", "plot", "year"])
    np.testing.assert_array_equal(counts.toarray(), np.vstack([np.eye(3), np.zeros(3)]))


def test_weights_are_those_of_the_definition():
    counts = token_counts(films(), SEEN, n_bins=2, min_count=2, exclude=["added", "year"])
    content = tf_idf(counts, SEEN, tf_power=0.5, idf_power=2.0)
    idf = 1 + np.log(4 / 3)  # two of three seen items have sea, two have boat
    raw = np.sqrt(counts.toarray()) * idf**2
    np.testing.assert_allclose(content.lengths, np.linalg.norm(raw, axis=1), rtol=1e-6)
    np.testing.assert_allclose(
        content.items.toarray()[:3], raw[:3] / np.linalg.norm(raw[:3], axis=1, keepdims=True), rtol=1e-6
    )
    assert content.lengths[3] == 0
    assert not content.items.toarray()[3].any()


def test_neighbours_are_those_of_the_cosine(two_tastes):
    model = ContentKNN(length_power=0.5, popularity_power=0.5, half_life=2.0).fit(two_tastes)
    x, lengths = dense(model)
    known = np.maximum(two_tastes.train.unique_pairs().item_counts(), 1)
    profile = 0.5**1.0 * x[2] / known[2] ** 0.5 + 0.5**0.5 * x[5] / known[5] ** 0.5 + x[7] / known[7] ** 0.5
    cosine = x @ profile / np.linalg.norm(profile) * lengths**0.5
    scores = model.score(queries_of([[2, 5, 7]]))[0]
    np.testing.assert_allclose(scores[cosine > 0], cosine[cosine > 0], rtol=1e-5)
    assert (scores[cosine == 0] < 0).all()


def dense(model):
    """Unit rows and lengths of all items. A bag of a category and a bin: two tokens of weight 1 times their idf."""
    x = model._items.toarray().astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-5)
    return x, model._worth ** (1 / model.length_power) if model.length_power else np.ones(len(x))


@pytest.mark.parametrize("prior", [0.0, 2.0])
@pytest.mark.parametrize("history", [[0, 2, 8], [3], [1, N_ITEMS - 1], [N_ITEMS - 2]])
def test_each_user_has_the_ridge_regression_of_its_history(two_tastes, prior, history):
    model = ContentRidge(l2=3.0, prior=prior).fit(two_tastes)
    np.testing.assert_allclose(
        model.score(queries_of([history]))[0], ridge_scores(model, two_tastes, history), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("history", [[0, 2, 8], [1, N_ITEMS - 1], [N_ITEMS - 2]])
def test_fewer_items_than_tokens_give_the_same_regression(two_tastes, history, monkeypatch):
    by_tokens = ContentRidge(l2=3.0, prior=1.0).fit(two_tastes)
    monkeypatch.setattr(ContentRidge, "_by_tokens", False)
    by_items = ContentRidge(l2=3.0, prior=1.0).fit(two_tastes)
    assert by_items._inverse.shape == (N_ITEMS - N_COLD,) * 2 != by_tokens._inverse.shape
    np.testing.assert_allclose(
        by_items.score(queries_of([history])), ridge_scores(by_tokens, two_tastes, history)[None], rtol=1e-3, atol=1e-4
    )


def ridge_scores(model, split, history):
    """Products with argmin |y - Xw|² + l2 |w - prior w̄|² by the normal equations, w̄ the mean of all users' own."""
    x, seen = dense(model)[0], split.train.item_counts() > 0
    gram = x[seen].T @ x[seen] + model.l2 * np.eye(x.shape[1])
    likes = np.zeros((split.train.n_users, N_ITEMS))
    likes[split.train.user, split.train.item] = 1
    mean = np.linalg.solve(gram, (likes @ x).mean(axis=0))
    return x @ np.linalg.solve(gram, x[history].sum(axis=0) + model.l2 * model.prior * mean)


def test_a_matrix_that_would_not_fit_is_refused_with_the_remedy(two_tastes):
    with pytest.raises(BadConfig, match="more than max_size=3 allows; raise min_count or max_size"):
        ContentRidge(max_size=3).fit(two_tastes)


def test_an_unknown_column_is_refused(two_tastes):
    with pytest.raises(BadInput, match="tste"):
        ContentKNN(exclude=["tste"]).fit(two_tastes)
