"""`PairModel`: lists and candidates' scores against brute force, in blocks of any size, for known and unknown ids."""

from dataclasses import dataclass

import numpy as np
import pytest

from twotower.errors import BadInput
from twotower.models import base, pairs
from twotower.models.pairs import PairModel
from twotower.topk import top_k
from twotower.types import NO_ITEM, UNKNOWN_USER, Queries, Ragged, TopK

N_ITEMS = 23


@dataclass(kw_only=True, eq=False, repr=False)
class ByFormula(PairModel):
    """Value = ((7 user + 3 item) mod 11) / 2: many ties."""

    value_range = (1.0, 4.0)

    def fit(self, split, context=None):
        raise NotImplementedError

    def raw_values(self, users, items, at):
        assert len(users) <= pairs.BLOCK_PAIRS
        return ((7 * users + 3 * items) % 11 / 2 + (0 if at is None else at)).astype(np.float32)

    def state(self):
        return {}

    def set_state(self, state):
        pass


@pytest.fixture
def model() -> ByFormula:
    made = ByFormula()
    made.n_items = N_ITEMS
    return made


@pytest.fixture
def queries() -> Queries:
    users = np.array([0, 4, UNKNOWN_USER, 9])
    return Queries.of(users, Ragged.from_lists([[1, 2], [], [NO_ITEM, 5], list(range(20))]))


def by_hand(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    return ((7 * users + 3 * items) % 11 / 2).astype(np.float32)


def test_predictions_are_cut_to_the_range_of_values(model):
    users, items = np.array([0, 0, 0, 0]), np.array([0, 1, 3, 7])
    np.testing.assert_array_equal(by_hand(users, items), [0, 1.5, 4.5, 5])  # 0/2, 3/2, 9/2, 10/2
    np.testing.assert_array_equal(model.predict(users, items), [1, 1.5, 4, 4])
    np.testing.assert_array_equal(model.predict(users, items, np.array([2, 2, 2, 2])), [2, 3.5, 4, 4])


@pytest.mark.parametrize("block", [1, 5, 1 << 18])
@pytest.mark.parametrize("cells", [1, 50, 4_000_000])
def test_lists_are_the_top_k_of_all_values_however_they_are_cut(model, queries, block, cells, monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK_PAIRS", block)
    monkeypatch.setattr(base, "BLOCK_CELLS", cells)
    expected = top_k(by_hand(queries.users[:, None], np.arange(N_ITEMS)), 6, queries.exclusions)
    top = model.recommend(queries, 6)
    np.testing.assert_array_equal(top.items, expected.items)
    np.testing.assert_array_equal(top.scores, expected.scores)
    assert top.items[3, 3:].tolist() == [NO_ITEM] * 3  # 20 of 23 are excluded


def test_values_above_the_range_still_order_a_list(model):
    best = model.recommend(Queries.of(np.array([0])), 4).scores[0]
    np.testing.assert_array_equal(best, [5, 5, 4.5, 4.5])  # cut to 4, all four would tie


def test_candidates_get_the_values_of_their_pairs(model, queries):
    items = np.array([[3, 7, NO_ITEM], [0, 1, 2], [22, 5, 4], [1, NO_ITEM, NO_ITEM]])
    scores = model.pair_scores(queries, TopK(items, np.zeros(items.shape, np.float32)))
    real = items != NO_ITEM
    np.testing.assert_array_equal(scores[real], by_hand(queries.users[:, None], items)[real])


def test_items_beyond_the_catalogue_are_refused(model):
    with pytest.raises(BadInput, match="history of query 0 names item 23"):
        model.recommend(Queries.of(np.array([0]), Ragged.from_lists([[N_ITEMS]])), 3)


def test_no_queries_and_no_pairs_give_nothing(model):
    assert model.recommend(Queries.of(np.empty(0, np.int64)), 3).items.shape == (0, 3)
    assert model.predict(np.empty(0, np.int64), np.empty(0, np.int64)).shape == (0,)
