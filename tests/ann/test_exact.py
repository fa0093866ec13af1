"""`ExactIndex` against sorting in float64: all metrics, ties, block sizes, saving."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.ann.exact import ExactIndex
from twotower.ann.vectors import METRICS
from twotower.errors import BadConfig, BadInput, BundleError
from twotower.types import TopK


def brute_force(vectors, queries, metric):
    vectors, queries = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "cosine":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    if metric == "euclidean":
        return -np.sqrt(((queries[:, None] - vectors[None]) ** 2).sum(axis=2))
    return queries @ vectors.T


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(1).normal(size=(17, 12)).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 10, 300])
def test_agrees_with_sorting_all_scores(vectors, queries, metric, k):
    found = ExactIndex(metric=metric).build(vectors).search(queries, k)
    scores = brute_force(vectors, queries, metric)
    np.testing.assert_array_equal(found.items, np.argsort(-scores, axis=1, kind="stable")[:, :k])
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :k], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [1, 2, 5, 16])
def test_batch_size_changes_nothing(vectors, queries, metric, rows):
    index = ExactIndex(metric=metric).build(vectors)
    whole = index.search(queries, 25)
    parts = TopK.concatenate([index.search(queries[i : i + rows], 25) for i in range(0, len(queries), rows)])
    np.testing.assert_array_equal(whole.items, parts.items)
    np.testing.assert_array_equal(whole.scores, parts.scores)


@pytest.mark.parametrize("n_twins", [3, 30, 290])
def test_ties_at_the_border_go_by_id_however_many_there_are(vectors, queries, n_twins):
    twins = np.concatenate([vectors[:10], np.repeat(queries[:1] * 9, n_twins, 0), vectors])
    found = ExactIndex().build(twins).search(queries[:1], 2)
    assert found.items.tolist() == [[10, 11]]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_queries", [1, 2, 5, 40])
def test_equal_vectors_come_in_the_order_of_their_ids(vectors, queries, metric, n_queries):
    twins = vectors.copy()
    twins[[299, 150, 11]] = twins[42]  # 11, 42, 150 and 299 are one vector, at different places in BLAS's blocks
    found = ExactIndex(metric=metric).build(twins).search(np.repeat(twins[42:43], n_queries, 0), 300)
    for row in found.items:
        assert [item for item in row if item in (11, 42, 150, 299)] == [11, 42, 150, 299]


def test_euclidean_score_is_the_negated_distance():
    found = ExactIndex(metric="euclidean").build(np.float32([[0, 0], [3, 4]])).search(np.float32([[0, 0]]), 2)
    assert found.items.tolist() == [[0, 1]]
    assert found.scores.tolist() == [[0.0, -5.0]]  # sqrt(3² + 4²) = 5


def test_distances_of_close_vectors_keep_their_precision():
    far = np.float32([[1000, 0], [1000, 0.125], [1000, 0.25]])  # |q|² - 2qv + |v|² alone would lose 0.125² in 10⁶
    found = ExactIndex(metric="euclidean").build(far).search(np.float32([[1000, 0.125]]), 3)
    np.testing.assert_allclose(found.scores, [[0, -0.125, -0.125]])


def test_cosine_ignores_length_and_a_zero_vector_scores_zero():
    found = ExactIndex(metric="cosine").build(np.float32([[0, 0], [9, 9], [-1, 0]])).search(np.float32([[2, 2]]), 3)
    assert found.items.tolist() == [[1, 0, 2]]
    np.testing.assert_allclose(found.scores, [[1, 0, -np.sqrt(0.5)]], rtol=1e-6)


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 80), st.integers(0, 2**32 - 1))
def test_small_integers_are_sorted_exactly_with_their_ties(n, d, k, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (n, d)).astype(np.float32)
    queries = rng.integers(-2, 3, (3, d)).astype(np.float32)
    found = ExactIndex().build(vectors).search(queries, k)
    order = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.items[:, : min(k, n)], order)


def test_memory_mapped_and_loaded_vectors_answer_alike(vectors, queries, tmp_path):
    ExactIndex(metric="cosine").build(vectors).save(tmp_path)
    mapped, loaded = (ExactIndex.load(tmp_path, memory_map=flag) for flag in (True, False))
    assert isinstance(mapped._vectors, np.memmap)
    assert not isinstance(loaded._vectors, np.memmap)
    np.testing.assert_array_equal(mapped.search(queries, 9).items, loaded.search(queries, 9).items)


def test_pickled_vectors_are_refused(vectors, tmp_path):
    ExactIndex().build(vectors).save(tmp_path)
    np.save(tmp_path / "vectors.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BundleError, match="bytes, saved were"):
        ExactIndex.load(tmp_path)
    with pytest.raises(ValueError, match="Python objects"):
        ExactIndex.load(tmp_path, check=False)


def test_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(BadConfig, match="'dot': choose one of inner_product, cosine, euclidean"):
        ExactIndex(metric="dot")


def test_float64_vectors_are_refused_with_the_remedy():
    with pytest.raises(BadInput, match="astype"):
        ExactIndex().build(np.zeros((3, 2)))


def test_k_below_one_is_refused(vectors, queries):
    with pytest.raises(BadInput, match="k must be at least 1"):
        ExactIndex().build(vectors).search(queries, 0)
