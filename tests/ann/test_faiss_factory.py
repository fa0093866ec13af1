"""`FaissIndex`: factory strings, what refuses to train, inner products of any length, exact second looks."""

import faiss
import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.ann.faiss_factory import FaissIndex
from twotower.ann.measuring.recall import GroundTruth
from twotower.errors import BadConfig, BadInput, BundleError


@pytest.fixture(scope="module")
def vectors():
    """3,000 vectors whose lengths spread over a factor of ten."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(3000, 16)) * rng.lognormal(0, 0.6, size=(3000, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(1).normal(size=(100, 16)).astype(np.float32)


@pytest.mark.parametrize("factory", ["IVF", "Flatt", "IVF{cells},PQ5x8", "HNSWx"])
def test_factory_that_faiss_does_not_know_is_named(vectors, factory):
    written = factory.format(cells=8, dim=16)
    with pytest.raises(BadConfig, match=f"factory '{written}' is not one that faiss knows for 16 dimensions"):
        FaissIndex(factory=factory, cells=8).build(vectors)


@pytest.mark.parametrize("factory", ["IVF{cells},PQ16x4fs,Refine(SQfp16)", "PQ8,RFlat"])
def test_refinement_in_the_factory_is_refused_with_the_option_for_it(factory):
    with pytest.raises(BadConfig, match="say k_factor, which reuses the vectors"):
        FaissIndex(factory=factory)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"store": "int8"}, "store 'int8': choose one of float32, float16"), ({"k_factor": -1}, "at least 0, got -1"),
     ({"metric": "jaccard"}, "metric 'jaccard'")],
)  # fmt: skip
def test_options_out_of_range_are_refused(options, says):
    with pytest.raises(BadConfig, match=says):
        FaissIndex(**options)


def test_too_few_vectors_for_the_codebook_are_said_with_the_number(vectors):
    """256 words of 8 bits need 256 vectors."""
    with pytest.raises(BadInput, match=r"100 vectors cannot train 'IVF\{cells\},PQ4x8np'.*take index=exact"):
        FaissIndex(factory="IVF{cells},PQ4x8np", cells=4).build(vectors[:100])


@pytest.mark.parametrize("factory", ["Flat", "IVF{cells},Flat", "IVF{cells},SQfp16", "IVF{cells},PQ{dim}x4fsr"])
def test_inner_products_of_vectors_that_are_not_unit_are_found_and_true(vectors, queries, factory):
    index = FaissIndex(factory=factory, cells=32, nprobe=32).build(vectors)
    found = index.search(queries, 20)
    truth = GroundTruth(vectors, queries, [20], "inner_product")
    assert truth.recall(index)[20] >= 0.98
    expected = np.einsum("bd,bkd->bk", queries, vectors[found.items])
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5, atol=1e-5)


def test_second_looks_make_coarse_codes_good(vectors, queries):
    """Eight bytes' worth of 4-bit codes alone against the same codes with exact second looks."""
    ground_truth = GroundTruth(vectors, queries, [20], "inner_product")
    coarse, good = (
        ground_truth.recall(FaissIndex(factory="IVF{cells},PQ8x4", cells=32, nprobe=32, k_factor=factor).build(vectors))
        for factor in (0, 10)
    )
    assert coarse[20] + 0.1 < good[20]


def test_vectors_kept_in_half_precision_cost_half_and_find_the_same(vectors, queries):
    wide, narrow = (FaissIndex(cells=32, nprobe=32, store=store).build(vectors) for store in ("float32", "float16"))
    assert 2 * narrow._vectors.nbytes == wide._vectors.nbytes
    one, other = wide.search(queries, 10), narrow.search(queries, 10)
    assert (one.items == other.items).mean() > 0.98
    np.testing.assert_allclose(one.scores, other.scores, rtol=5e-3)


def test_index_without_vectors_cannot_look_twice(vectors):
    index = FaissIndex(factory="IVF{cells},SQfp16", cells=8, k_factor=0).build(vectors)
    assert index._vectors is None
    with pytest.raises(BadConfig, match="kept no vectors; build it again"):
        index.with_options(k_factor=5)


def test_nothing_of_the_shared_index_is_changed_by_other_options(vectors, queries):
    index = FaissIndex(factory="IVF{cells},Flat", cells=32, nprobe=2).build(vectors)
    before = index.search(queries, 10).items
    index.with_options(nprobe=32).search(queries, 10)
    np.testing.assert_array_equal(index.search(queries, 10).items, before)
    assert faiss.extract_index_ivf(index._index).nprobe == 1  # faiss's own, which no search uses


@pytest.mark.parametrize(
    ("factory", "effort", "least", "most"), [("IVF{cells},Flat", "nprobe", 1, 32), ("HNSW16", "ef_search", 16, 2048)]
)
def test_what_trades_time_for_recall_depends_on_the_factory(vectors, queries, factory, effort, least, most):
    index = FaissIndex(factory=factory, cells=32, metric="euclidean").build(vectors)
    assert (index.effort, *index.effort_range()) == (effort, least, most)
    ground_truth = GroundTruth(vectors, queries, [10], "euclidean")
    low, high = (
        ground_truth.recall(index.with_options(**{effort: value, "k_factor": 1}))[10] for value in (least, most)
    )
    assert low <= high
    assert high >= 0.99


def test_small_catalogues_have_fewer_cells_than_asked_for(vectors, queries):
    index = FaissIndex(factory="IVF{cells},Flat", cells=500, nprobe=500).build(vectors[:60])
    assert index.cells == 60
    truth = ExactIndex().build(vectors[:60]).search(queries, 10)
    np.testing.assert_array_equal(index.search(queries, 10).items, truth.items)


def test_file_of_another_number_of_vectors_is_refused(vectors, tmp_path):
    index = FaissIndex(factory="Flat").build(vectors)
    index.save(tmp_path)
    faiss.write_index(FaissIndex(factory="Flat").build(vectors[:99])._index, str(tmp_path / "index.faiss"))
    with pytest.raises(BundleError, match=r"holds vectors of shape \(99, 16\), saved were \(3000, 16\)"):
        FaissIndex.load(tmp_path, check=False)
