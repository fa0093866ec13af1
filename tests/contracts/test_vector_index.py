"""The contract of every `VectorIndex` that `conf/index/` names: a new backend is tested the day its YAML appears."""

import numpy as np
import pytest
from omegaconf import OmegaConf

from twotower.ann.exact import ExactIndex
from twotower.ann.recall import recall_of
from twotower.config import group_files, instantiate, locate
from twotower.errors import BadInput, NotFitted
from twotower.types import NO_ITEM

N, D = 400, 16
FILES = group_files("index")


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def options(request):
    return OmegaConf.load(request.param)


@pytest.fixture(scope="module")
def vectors():
    drawn = np.random.default_rng(1).normal(size=(N, D)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def queries():
    drawn = np.random.default_rng(2).normal(size=(30, D)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture
def index(options, vectors):
    return instantiate(options).build(vectors)


def test_there_is_an_exact_index():
    assert "exact" in [file.stem for file in FILES]


def test_states_metric_dimension_and_size(index):
    assert (len(index), index.dim) == (N, D)
    assert index.metric in ("inner_product", "cosine", "euclidean")


def test_best_items_come_first_and_none_twice(index, queries):
    found = index.search(queries, 20)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert all(len(set(row)) == 20 for row in found.items)


def test_finds_what_sorting_all_scores_finds(index, vectors, queries):
    found = index.search(queries, 10)
    truth = ExactIndex(metric=index.metric).build(vectors).search(queries, 10)
    recall = recall_of(found, truth, vectors, queries, index.metric)
    assert recall == 1 if index.exact else recall >= 0.8


def test_an_item_finds_itself(index, vectors):
    found = index.search(vectors[:50], 1).items[:, 0]
    hits = (found == np.arange(50)).mean()
    assert hits == 1 if index.exact else hits >= 0.9


def test_more_results_than_items_are_padded_at_the_end(index, queries):
    found = index.search(queries[:3], N + 5)
    assert found.items.shape == (3, N + 5)
    padding = found.items == NO_ITEM
    assert padding[:, N:].all()
    assert np.isneginf(found.scores[padding]).all()
    assert not padding[:, 0].any()


def test_no_queries_give_no_rows(index):
    assert index.search(np.empty((0, D), np.float32), 7).items.shape == (0, 7)


def test_saved_and_loaded_index_answers_the_same(index, queries, tmp_path):
    index.save(tmp_path)
    loaded = type(index).load(tmp_path)
    assert (len(loaded), loaded.dim, loaded.metric, loaded.exact) == (N, D, index.metric, index.exact)
    before, after = index.search(queries, 10), loaded.search(queries, 10)
    np.testing.assert_array_equal(before.items, after.items)
    np.testing.assert_array_equal(before.scores, after.scores)


def test_saved_index_holds_no_pickle(index, tmp_path):
    index.save(tmp_path)
    names = [path.suffix for path in tmp_path.rglob("*") if path.is_file()]
    assert names
    assert not {".pkl", ".pickle", ".pt"} & set(names)


def test_same_build_gives_the_same_answers(options, vectors, queries):
    first, second = (instantiate(options).build(vectors).search(queries, 10) for _ in range(2))
    np.testing.assert_array_equal(first.items, second.items)


def test_one_query_alone_gets_the_answer_it_gets_in_a_batch(index, queries):
    batch = index.search(queries, 10)
    for row in (0, 7, 29):
        alone = index.search(queries[row : row + 1], 10)
        np.testing.assert_array_equal(alone.items[0], batch.items[row])


def test_progress_hears_of_every_vector(options, vectors):
    heard = []
    instantiate(options).build(vectors, progress=heard.append)
    assert sum(heard) == N


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_query_that_is_not_finite_is_refused(index, queries, bad):
    broken = queries.copy()
    broken[4, 2] = bad
    with pytest.raises(BadInput, match="query vector 4 is not finite"):
        index.search(broken, 5)


def test_query_of_another_dimension_is_refused(index):
    with pytest.raises(BadInput, match=rf"\[B, {D}\], got \(2, 3\)"):
        index.search(np.zeros((2, 3), np.float32), 5)


def test_item_vector_that_is_not_finite_is_refused(options, vectors):
    broken = vectors.copy()
    broken[123, 0] = np.nan
    with pytest.raises(BadInput, match="item 123 is not finite"):
        instantiate(options).build(broken)


@pytest.mark.parametrize("shape", [(0, D), (5, 0), (5,)])
def test_nothing_to_build_from_is_refused(options, shape):
    with pytest.raises(BadInput, match="N, D >= 1"):
        instantiate(options).build(np.zeros(shape, np.float32))


def test_search_before_build_is_refused(options, queries):
    with pytest.raises(NotFitted, match="build or load"):
        instantiate(options).search(queries, 3)


def test_target_is_a_class_with_load(options):
    assert callable(locate(options["_target_"]).load)
