"""Recall of an index against exact search, worked out by hand."""

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.ann.measuring.recall import GroundTruth, recall_of
from twotower.errors import BadInput
from twotower.types import NO_ITEM, TopK

LINE = np.float32([[1.0], [0.9], [0.8], [0.7], [0.7]])  # item 0 is nearest to +1; 3 and 4 tie
ONE = np.float32([[1.0]])


def answer(*items):
    return TopK(np.array([items]), np.array([[9.0 if i != NO_ITEM else -np.inf for i in items]], np.float32))


def truth(k):
    return ExactIndex().build(LINE).search(ONE, k)


def test_share_of_the_true_best_that_was_found():
    assert recall_of(answer(0, 3, 2), truth(3), LINE, ONE, "inner_product") == pytest.approx(2 / 3)


def test_an_item_as_good_as_the_exact_kth_counts():
    assert truth(4).items[0].tolist() == [0, 1, 2, 3]
    assert recall_of(answer(0, 1, 2, 4), truth(4), LINE, ONE, "inner_product") == 1  # 4 ties with 3


def test_padding_is_not_found():
    assert recall_of(answer(0, NO_ITEM, NO_ITEM), truth(3), LINE, ONE, "inner_product") == pytest.approx(1 / 3)


def test_an_item_named_twice_is_found_once():
    assert recall_of(answer(0, 0, 0), truth(3), LINE, ONE, "inner_product") == pytest.approx(1 / 3)


def test_the_scores_that_an_index_claims_do_not_count():
    assert recall_of(answer(4, 3), truth(2), LINE, ONE, "inner_product") == 0  # claims 9.0, is 0.7 < 0.9


def test_k_above_the_catalogue_divides_by_the_catalogue():
    found = ExactIndex().build(LINE).search(ONE, 8)
    assert recall_of(found, truth(8), LINE, ONE, "inner_product") == 1  # 5 of min(8, 5)


@pytest.mark.parametrize("metric", ["inner_product", "cosine", "euclidean"])
def test_exact_search_has_recall_one(metric):
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(500, 8)).astype(np.float32), rng.normal(size=(40, 8)).astype(np.float32)
    index = ExactIndex(metric=metric).build(vectors)
    assert GroundTruth(vectors, queries, [1, 10, 100], index.metric).recall(index) == {1: 1.0, 10: 1.0, 100: 1.0}


def test_an_index_that_knows_half_the_catalogue_finds_about_half():
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(1000, 8)).astype(np.float32), rng.normal(size=(200, 8)).astype(np.float32)
    half = ExactIndex().build(vectors[:500])  # rows 0..499 keep their ids
    assert GroundTruth(vectors, queries, [20], half.metric).recall(half)[20] == pytest.approx(0.5, abs=0.05)


def test_no_queries_are_refused():
    with pytest.raises(BadInput, match="at least one query"):
        GroundTruth(LINE, np.empty((0, 1), np.float32), [1], "inner_product")
