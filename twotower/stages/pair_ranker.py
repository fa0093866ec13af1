"""`PairRanker`: a second stage out of anything that scores pairs of a query and an item."""

from typing import Protocol

from twotower.topk import rescore
from twotower.types import Floats, Queries, TopK


class ScoresPairs(Protocol):
    """Scores candidates of queries; every model of `models/` does."""

    def pair_scores(self, queries: Queries, candidates: TopK) -> Floats:
        """The score of every candidate; what stands at padding means nothing. Shape [B, C]."""
        ...


class PairRanker:
    """A `Ranker`: the same candidates in the order of a model's scores.

    Args:
        model: scores pairs.
    """

    def __init__(self, model: ScoresPairs) -> None:
        self.model = model

    def rank(self, queries: Queries, candidates: TopK) -> TopK:
        """Candidates [B, C] with the model's scores, best first, ties by item id; padding stays last."""
        if not candidates.k or not len(queries):
            return candidates
        return rescore(candidates, self.model.pair_scores(queries, candidates), candidates.k)
