"""`KMeansIndex` and its `Cells`: every item in its nearest cell, all cells together are exact search."""

import numpy as np
import pytest

from twotower.ann.cells import cells_for
from twotower.ann.exact import ExactIndex
from twotower.ann.kmeans import KMeansIndex
from twotower.ann.measuring.recall import GroundTruth
from twotower.ann.vectors import METRICS


@pytest.fixture(scope="module")
def vectors():
    """Twenty clusters of a hundred, of lengths other than one."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(20, 12)), 100, axis=0)
    return (centres + 0.3 * rng.normal(size=centres.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(1).normal(size=(100, 12)).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_all_cells_together_are_exact_search(vectors, queries, metric):
    index = KMeansIndex(metric=metric, cells=20, nprobe=20).build(vectors)
    truth = ExactIndex(metric=metric).build(vectors).search(queries, 15)
    found = index.search(queries, 15)
    np.testing.assert_array_equal(found.items, truth.items)
    np.testing.assert_array_equal(found.scores, truth.scores)


def test_every_item_is_in_one_cell_the_nearest(vectors):
    cells = KMeansIndex(metric="euclidean", cells=20).build(vectors).partition
    assert np.sort(cells.members.values).tolist() == list(range(2000))
    distances = ((vectors[:, None, :] - cells.centroids[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(distances[np.arange(2000), cells.owners()], distances.min(axis=1), rtol=1e-4)


def test_centroids_have_unit_length_where_inner_products_choose_the_cell(vectors):
    for metric in ("inner_product", "cosine"):
        centroids = KMeansIndex(metric=metric, cells=20).build(vectors).partition.centroids
        np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, rtol=1e-4)


def test_recall_grows_with_the_cells_looked_into(vectors, queries):
    ground_truth = GroundTruth(vectors, queries, [10], "cosine")
    index = KMeansIndex(metric="cosine", cells=40).build(vectors)
    recalls = [ground_truth.recall(index.with_options(nprobe=nprobe))[10] for nprobe in (1, 4, 40)]
    assert recalls[0] < recalls[1] < recalls[2] == 1


def test_items_of_the_cells_that_are_looked_into_are_all_that_is_found(vectors, queries):
    index = KMeansIndex(metric="cosine", cells=20, nprobe=2).build(vectors)
    found = index.search(queries[:5], 2000).items
    for row, cells in zip(found, index.partition.probed(queries[:5], 2), strict=True):
        expected = np.flatnonzero(np.isin(index.partition.owners(), cells))
        assert sorted(row[row >= 0]) == expected.tolist()


def test_same_seed_gives_the_same_cells_and_another_seed_others(vectors):
    first, second, other = (KMeansIndex(cells=20, seed=seed).build(vectors).partition for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.centroids, second.centroids)
    assert not np.array_equal(first.centroids, other.centroids)


@pytest.mark.parametrize(("count", "cells"), [(5, 1), (40, 1), (10_000, 256), (1_000_000, 4096)])
def test_about_four_roots_of_cells_with_enough_items_each(count, cells):
    """4 · √10,000 = 400, but 10,000 / 39 = 256 with 39 items each; 4 · √1,000,000 = 4,000, next to 4,096 = 2¹²."""
    assert cells_for(count) == cells


def test_more_cells_than_items_become_as_many_as_items(vectors, queries):
    index = KMeansIndex(cells=50).build(vectors[:7])
    assert len(index.partition) == 7
    assert sorted(index.search(queries[:1], 7).items[0].tolist()) == list(range(7))
