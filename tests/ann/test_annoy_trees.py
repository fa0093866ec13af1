"""`AnnoyIndex`: padding where Annoy falls short, inner products by one more dimension, equal builds."""

import annoy
import numpy as np
import pytest

from twotower.ann.annoy_trees import AnnoyIndex
from twotower.ann.measuring.recall import GroundTruth
from twotower.errors import BundleError
from twotower.types import NO_ITEM, TopK


@pytest.fixture(scope="module")
def of_many_lengths():
    """3,000 vectors whose lengths spread over a factor of ten: popular items are long ones."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(3000, 24)) * rng.lognormal(0, 0.6, size=(3000, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(1).normal(size=(200, 24)).astype(np.float32)


class ByAnnoysOwnDot:
    """What Annoy's `dot` finds with the same trees and nodes, as an index that recall can be measured of."""

    metric, dim, exact = "inner_product", 24, False

    def __init__(self, vectors, n_trees, search_k):
        self.vectors, self.search_k = vectors, search_k
        self.trees = annoy.AnnoyIndex(24, "dot")
        self.trees.set_seed(1)  # as `AnnoyIndex` with seed 0
        for item, vector in enumerate(vectors):
            self.trees.add_item(item, vector.tolist())
        self.trees.build(n_trees, n_jobs=1)

    def search(self, queries, k):
        found = np.full((len(queries), k), NO_ITEM)
        for row, query in enumerate(queries):
            items = self.trees.get_nns_by_vector(query.tolist(), k, self.search_k)
            found[row, : len(items)] = items
        return TopK(found, np.zeros(found.shape, np.float32))


def recalls(spread, queries, seed):
    """Recall@20 by one more dimension and by Annoy's own dot; lengths spread by a factor of about e^spread."""
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(3000, 24)) * rng.lognormal(0, spread, size=(3000, 1))).astype(np.float32)
    ground_truth = GroundTruth(vectors, queries, [20], "inner_product")
    ours = AnnoyIndex(n_trees=20, search_k=300).build(vectors)
    return ground_truth.recall(ours)[20], ground_truth.recall(ByAnnoysOwnDot(vectors, 20, 300))[20]


@pytest.mark.parametrize("seed", range(3))
def test_one_more_dimension_finds_more_than_annoys_own_dot_where_lengths_are_similar(queries, seed):
    ours, own = recalls(0.2, queries, seed)
    assert ours > own + 0.05


@pytest.mark.parametrize("seed", range(3))
def test_one_more_dimension_finds_less_where_a_few_items_are_far_longer(queries, seed):
    """The limit that the class names: if this fails, it has gone, and the class may say so."""
    ours, own = recalls(1.0, queries, seed)
    assert ours < own - 0.05


def test_scores_are_true_inner_products_of_vectors_that_are_not_unit(of_many_lengths, queries):
    found = AnnoyIndex().build(of_many_lengths).search(queries[:9], 10)
    expected = np.einsum("bd,bkd->bk", queries[:9], of_many_lengths[found.items])
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4, atol=1e-4)


def test_fewer_found_than_wanted_are_padded(of_many_lengths, queries):
    """One tree and one node: Annoy returns some of the 500 wanted items and says nothing."""
    index = AnnoyIndex(n_trees=1, search_k=1).build(of_many_lengths)
    raw = index._trees.get_nns_by_vector([*queries[0].tolist(), 0.0], 500, 1)
    assert 0 < len(raw) < 500
    found = index.search(queries[:1], 500)
    assert (found.items[0] != NO_ITEM).sum() == len(raw)
    assert sorted(found.items[0, : len(raw)]) == sorted(raw)
    assert np.isneginf(found.scores[0, len(raw) :]).all()


def test_more_nodes_find_more(of_many_lengths, queries):
    ground_truth = GroundTruth(of_many_lengths, queries, [20], "inner_product")
    index = AnnoyIndex(n_trees=10).build(of_many_lengths)
    few, many = (ground_truth.recall(index.with_options(search_k=nodes))[20] for nodes in (100, 5000))
    assert few + 0.2 < many


def test_built_index_can_be_saved_twice_and_a_loaded_one_again(of_many_lengths, queries, tmp_path):
    index, folders = AnnoyIndex(n_trees=5).build(of_many_lengths), [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    truth = index.search(queries, 5).items
    index.save(folders[0])
    index.save(folders[1])
    AnnoyIndex.load(folders[0]).save(folders[2])
    for folder in folders:
        np.testing.assert_array_equal(AnnoyIndex.load(folder).search(queries, 5).items, truth)


def test_trees_of_another_number_of_items_are_refused(of_many_lengths, tmp_path):
    """As Annoy opens a file that ends between two nodes: only the number of items shows it."""
    AnnoyIndex(n_trees=5).build(of_many_lengths).save(tmp_path)
    fewer = annoy.AnnoyIndex(25, "angular")
    for item, vector in enumerate(of_many_lengths[:100]):
        fewer.add_item(item, [*vector.tolist(), 0.0])
    fewer.build(5, n_jobs=1)
    fewer.save(str(tmp_path / "trees.annoy"))
    with pytest.raises(BundleError, match="holds 100 items, saved were 3000"):
        AnnoyIndex.load(tmp_path, check=False)
