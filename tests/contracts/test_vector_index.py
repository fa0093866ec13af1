"""The contract of every index that `conf/index/` names, and of every kind of faiss index, for every metric."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from omegaconf import OmegaConf

from twotower.ann.exact import ExactIndex
from twotower.ann.measuring.recall import recall_of
from twotower.ann.vectors import METRICS
from twotower.config.compose import group_files, instantiate, locate
from twotower.errors import BadConfig, BadInput, NotFitted
from twotower.types import NO_ITEM

N, D = 400, 16
FILES = group_files("index")
FACTORIES = [
    "Flat", "IVF{cells},Flat", "IVF{cells},SQ8", "IVF{cells},SQfp16", "IVF{cells},PQ8x4", "OPQ8,IVF{cells},PQ8x4",
    "OPQ8,IVF{cells},PQ8x4fsr", "IVF{cells},PQ{dim}x4fs", "HNSW16",
]  # fmt: skip
LISTED = {file.stem: dict(OmegaConf.load(file)) for file in FILES}
CASES = LISTED | {factory: LISTED["faiss"] | {"factory": factory} for factory in FACTORIES}
CASES |= {
    "narrowed": LISTED["faiss"] | {"store": "float16"},
    "codes alone": LISTED["faiss"] | {"factory": "IVF{cells},SQfp16", "k_factor": 0},
}


@pytest.fixture(params=METRICS)
def metric(request):
    return request.param


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def options(request, metric):
    return request.param | {"metric": metric}


@pytest.fixture(scope="module")
def vectors():
    drawn = np.random.default_rng(1).normal(size=(N, D)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def queries():
    drawn = np.random.default_rng(2).normal(size=(30, D)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def shelf():
    """Indexes that were built once; changes are frozen values, so that a copy's do not reach the others."""
    return {}


@pytest.fixture
def index(options, vectors, shelf):
    case = str(sorted(options.items(), key=str))
    if case not in shelf:
        shelf[case] = instantiate(options).build(vectors)
    return shelf[case].with_options()


def test_there_is_an_exact_index():
    assert "exact" in [file.stem for file in FILES]


def test_states_metric_dimension_and_size(index):
    assert (len(index), index.dim) == (N, D)
    assert index.metric in ("inner_product", "cosine", "euclidean")


def test_best_items_come_first_and_none_twice(index, queries):
    found = index.search(queries, 20)
    assert (found.scores[:, 1:] <= found.scores[:, :-1]).all()
    for row in found.items:
        filled = row[row != NO_ITEM].tolist()
        assert len(filled) >= 10
        assert len(set(filled)) == len(filled)


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


# Changes after building


def test_added_items_are_found_at_once_under_new_ids(index, vectors, queries):
    new = index.add(queries[:3])
    assert new.tolist() == [N, N + 1, N + 2]
    assert len(index) == N + 3
    assert index.search(queries[:3], 1).items[:, 0].tolist() == new.tolist()


def test_removed_items_are_found_no_more_and_others_take_their_place(index, queries):
    before = index.search(queries, 30)
    best = np.unique(before.items[:, :5])
    index.remove(best)
    assert len(index) == N - len(best)
    after = index.search(queries, 10)
    assert not np.isin(after.items, best).any()
    for old, new in zip(before.items, after.items, strict=True):
        expected = [item for item in old if item not in best and item != NO_ITEM][:10]
        assert len(set(new.tolist()) & set(expected)) >= 0.8 * len(expected)


def test_everything_but_one_item_can_be_removed(index, vectors):
    index.remove(np.delete(np.arange(N), 7))
    found = index.search(vectors[7:8], 5).items[0]
    assert found.tolist() == [7, NO_ITEM, NO_ITEM, NO_ITEM, NO_ITEM]


def test_removed_ids_are_never_given_again(index, queries):
    first = index.add(queries[:2])
    index.remove(first)
    assert index.add(queries[:2]).tolist() == [N + 2, N + 3]
    assert not np.isin(index.search(queries[:2], N).items, first).any()


def test_updated_item_is_found_where_it_is_now(index, vectors, queries):
    index.update(np.array([5]), queries[:1])
    assert index.search(queries[:1], 1).items.tolist() == [[5]]
    assert index.search(vectors[5:6], 1).items.tolist() != [[5]]
    assert len(index) == N


@pytest.mark.parametrize(
    ("items", "says"), [([N], "item 400 is not in the index"), ([-1], "item -1 is not"), ([3, 3], "named twice")]
)
def test_unknown_and_repeated_ids_are_refused(index, items, says):
    with pytest.raises(BadInput, match=says):
        index.remove(np.array(items))


def test_removed_item_cannot_be_removed_or_updated(index, queries):
    index.remove(np.array([9]))
    with pytest.raises(BadInput, match="item 9 was removed"):
        index.remove(np.array([9]))
    with pytest.raises(BadInput, match="item 9 was removed"):
        index.update(np.array([9]), queries[:1])


def test_changes_are_saved_and_loaded(index, queries, tmp_path):
    index.remove(np.array([0, 1, 2]))
    index.add(queries[:2])
    index.update(np.array([50]), queries[2:3])
    index.save(tmp_path)
    loaded = type(index).load(tmp_path)
    assert len(loaded) == N - 1
    np.testing.assert_array_equal(index.search(queries, 15).items, loaded.search(queries, 15).items)
    assert loaded.add(queries[:1]).tolist() == [N + 2]


def test_searches_during_changes_see_the_index_before_or_after_them(index, queries):
    truth = {None: index.search(queries, 5).items}
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(lambda: [index.search(queries, 5).items for _ in range(8)]) for _ in range(3)]
        added = index.add(queries)
        answers = [found for job in running for found in job.result()]
    truth["added"] = index.search(queries, 5).items
    assert truth["added"][:, 0].tolist() == added.tolist()
    for found in answers:
        assert any(np.array_equal(found, one) for one in truth.values())


def test_options_of_searching_change_without_building_again(index, queries):
    if index.effort is None:
        pytest.skip("nothing trades time for recall")
    low, high = index.effort_range()
    little, much = (index.with_options(**{index.effort: value}) for value in (low, high))
    counts = [(one.search(queries, 50).items != NO_ITEM).sum() for one in (little, much)]
    assert counts[0] <= counts[1]
    with pytest.raises(BadConfig, match="cannot be changed after building"):
        index.with_options(metric="cosine")


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
