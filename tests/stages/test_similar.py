"""Items most alike by their vectors, and what of a history speaks for an item."""

import numpy as np
import pytest

from twotower.stages.similar import because, similar_items
from twotower.types import NO_ITEM

RNG = np.random.default_rng(3)
VECTORS = RNG.standard_normal((70, 6)).astype(np.float32)
UNITS = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)


def test_the_most_similar_items_are_those_of_largest_cosine_without_the_item_itself():
    top = similar_items(VECTORS, np.array([9, 30]), 5)
    cosines = UNITS @ UNITS[[9, 30]].T
    cosines[[9, 30], [0, 1]] = -2
    np.testing.assert_array_equal(top.items, np.argsort(-cosines, axis=0, kind="stable")[:5].T)
    np.testing.assert_allclose(top.scores, -np.sort(-cosines, axis=0)[:5].T, rtol=1e-5)


def test_the_length_of_a_vector_does_not_matter_and_blocks_change_nothing(monkeypatch):
    expected = similar_items(VECTORS, np.arange(70), 10)
    monkeypatch.setattr("twotower.stages.similar.BLOCK_ROWS", 7)
    scaled = similar_items(VECTORS * RNG.uniform(0.5, 4, (70, 1)).astype(np.float32), np.arange(70), 10)
    np.testing.assert_array_equal(scaled.items, expected.items)


def test_only_allowed_items_are_returned_and_too_few_are_padded():
    allowed = np.zeros(70, bool)
    allowed[[3, 9, 40]] = True
    top = similar_items(VECTORS, np.array([9]), 4, allowed)
    assert set(top.items[0, :2]) == {3, 40}
    assert top.items[0, 2:].tolist() == [NO_ITEM, NO_ITEM]


def test_items_that_speak_for_an_item_are_those_most_like_it():
    reasons = because(VECTORS, 9, np.array([5, 9, 5, 60]), 2)
    assert reasons[0].item == 9
    assert reasons[0].cosine == pytest.approx(1)
    other = max((5, 60), key=lambda item: UNITS[item] @ UNITS[9])
    assert (reasons[1].item, reasons[1].cosine) == (other, pytest.approx(UNITS[other] @ UNITS[9], abs=1e-6))


def test_an_empty_history_speaks_for_nothing():
    assert because(VECTORS, 9, np.empty(0, np.int64)) == []
