"""`PairRanker`: a model's scores order candidates, ties by id, padding last."""

import numpy as np

from twotower.protocols import Ranker
from twotower.stages.pair_ranker import PairRanker
from twotower.types import NO_ITEM, Queries, TopK


class Parity:
    """Even items before odd ones, and nonsense where there is padding."""

    def pair_scores(self, queries, candidates):
        return np.where(candidates.items == NO_ITEM, 99, 1 - candidates.items % 2).astype(np.float32)


def test_candidates_come_in_the_order_of_the_models_scores():
    items = np.array([[5, 8, 2, 3], [7, NO_ITEM, NO_ITEM, NO_ITEM]])
    given = TopK(items, np.where(items == NO_ITEM, -np.inf, 0.5).astype(np.float32))
    ranked = PairRanker(Parity()).rank(Queries.of(np.array([0, 1])), given)
    assert ranked.items.tolist() == [[2, 8, 3, 5], [7, NO_ITEM, NO_ITEM, NO_ITEM]]
    assert ranked.scores.tolist() == [[1, 1, 0, 0], [0, *[-np.inf] * 3]]


def test_where_nothing_is_to_be_ranked_the_model_is_not_asked():
    ranker = PairRanker(None)
    assert isinstance(ranker, Ranker)
    assert ranker.rank(Queries.of(np.empty(0, np.int64)), TopK.nothing(0, 3)).items.shape == (0, 3)
    assert ranker.rank(Queries.of(np.array([0])), TopK.nothing(1, 0)).items.shape == (1, 0)
