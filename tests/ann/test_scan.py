"""`scan` is a stable sort of all scores, however many of them are equal or nearly so; chosen pairs alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.ann.cells import Cells, sample
from twotower.ann.faiss_products import nearest, pair_scores_of
from twotower.ann.scan import scan
from twotower.ann.vectors import METRICS
from twotower.types import NO_ITEM, Ragged

WHOLE = st.lists(st.lists(st.integers(-2, 2), min_size=2, max_size=2), min_size=1, max_size=120)
"""Few different vectors, so that ties are many; their products and squared distances are exact."""


def exact_scores(queries, vectors, metric):
    if metric == "euclidean":
        return -np.sqrt(((queries[:, None] - vectors[None]) ** 2).sum(axis=2))
    return queries @ vectors.T


@pytest.mark.parametrize("metric", ["inner_product", "euclidean"])
@given(rows=WHOLE, k=st.integers(1, 120))
def test_ties_go_by_row_however_many_there_are(metric, rows, k):
    vectors, queries = np.array(rows, np.float32), np.array([[1, -2], [0, 0], [2, 1]], np.float32)
    k = min(k, len(vectors))
    found = scan(queries, vectors, k, metric)
    order = np.argsort(-exact_scores(queries, vectors, metric), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.items, order)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_equal", [1, 20, 100, 700])
def test_vectors_as_good_as_the_last_one_are_not_lost_where_more_of_them_were_not_fetched(metric, n_equal):
    """700 equal ones exceed the 26 and 208 that the two rounds fetch."""
    vectors = np.tile(np.array([[0.6, 0.8]], np.float32), (1000, 1))
    vectors[n_equal:] = [0.8, -0.6]
    vectors[-3:] = [1, 0]  # products with the query: 1, 0 and, for these, .6
    query = np.array([[0.6, 0.8]], np.float32)
    found = scan(query, vectors, 10, metric).items[0].tolist()
    assert found == [*range(n_equal), 997, 998, 999, *range(n_equal, 997)][:10]


@pytest.mark.parametrize("metric", METRICS)
def test_chosen_pairs_score_as_their_definition_and_padding_scores_nothing(metric):
    rng = np.random.default_rng(4)
    queries, vectors = rng.normal(size=(6, 5)).astype(np.float32), rng.normal(size=(30, 5)).astype(np.float32)
    items = rng.integers(NO_ITEM, 30, (6, 9))
    scores = pair_scores_of(queries, items, vectors, metric)
    truth = np.take_along_axis(exact_scores(queries.astype(float), vectors.astype(float), metric), items % 30, axis=1)
    np.testing.assert_allclose(scores[items != NO_ITEM], truth[items != NO_ITEM], rtol=1e-5, atol=1e-5)
    assert np.isneginf(scores[items == NO_ITEM]).all()
    halves = pair_scores_of(queries, items, vectors.astype(np.float16), metric)
    np.testing.assert_allclose(halves[items != NO_ITEM], truth[items != NO_ITEM], atol=0.02)


@pytest.mark.parametrize("metric", METRICS)
def test_nearest_holds_the_best_scores_in_falling_order(metric):
    rng = np.random.default_rng(4)
    queries, vectors = rng.normal(size=(6, 5)).astype(np.float32), rng.normal(size=(30, 5)).astype(np.float32)
    truth = -np.sort(-exact_scores(queries.astype(float), vectors.astype(float), metric), axis=1)[:, :7]
    np.testing.assert_allclose(nearest(queries, vectors, 7, metric).scores, truth, rtol=1e-5, atol=1e-5)


@given(n=st.integers(0, 40), wanted=st.integers(0, 50), seed=st.integers(0, 5))
def test_a_sample_is_of_different_rows_in_their_order(n, wanted, seed):
    rows = np.arange(n, dtype=np.float32)[:, None]
    drawn = sample(rows, wanted, seed)[:, 0].tolist()
    assert len(drawn) == min(n, wanted)
    assert drawn == sorted(set(drawn))


def test_candidates_are_the_members_of_the_nearest_cells_nearest_first(tmp_path):
    members = Ragged.from_lists([[4, 5], [0, 1, 2], [], [3]])
    cells = Cells(np.array([[0], [10], [20], [30]], np.float32), members, "euclidean")
    queries = np.array([[9], [29]], np.float32)
    assert cells.probed(queries, 2).tolist() == [[1, 0], [3, 2]]
    assert [row.tolist() for row in cells.candidates(queries, 2)] == [[0, 1, 2, 4, 5], [3]]
    assert cells.candidates(queries, 99).lengths.tolist() == [6, 6]
    cells.save(tmp_path)
    loaded = Cells.load(tmp_path, "euclidean", memory_map=True)
    assert [row.tolist() for row in loaded.candidates(queries, 3)] == [[0, 1, 2, 4, 5], [3, 0, 1, 2]]
