"""`VectorModel`: the contract of models whose score is a product of a query's and an item's vector."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from twotower.models.base import BLOCK_QUERIES, ScoringModel
from twotower.models.best_products import ItemVectors, best_products, pair_products
from twotower.models.matrix import all_zero, products, with_fallback
from twotower.topk import places_among, top_k_of_shared
from twotower.types import NO_ITEM, Array, Bools, Floats, Ids, Queries, TopK


class VectorModel(ScoringModel):
    """Score = query vector · item vector, plus the item's bias where its vector is one number longer.

    A query whose vector is 0 throughout says nothing of the user and gets the popular list.
    Lists are made without the scores of the whole catalogue (`best_products`) and are those that `score` defines.
    """

    has_vectors = True
    has_biases: ClassVar[bool] = False
    """Whether the item vectors end with the items' biases."""

    _item_vectors: Floats
    """float32, a bias last. Shape [N, D] or [N, D + 1]."""
    _popular: Floats
    """Scores where nothing is known of the user. Shape [N]."""
    _measured: tuple[Array, ItemVectors] | None = None
    _last: tuple[Queries, Floats, Floats] | None = None
    _last_allowed: tuple[Bools, Floats, Ids, ItemVectors] | None = None

    @property
    def item_vectors(self) -> Floats:
        """What an index holds: item vectors, the bias last where there is one. Shape [N, D] or [N, D + 1]."""
        self._check_fitted()
        return self._item_vectors

    @property
    def likeness(self) -> Floats:
        """Item vectors whose cosine says how alike items are: without the bias. Shape [N, D]."""
        vectors = self.item_vectors
        return vectors[:, :-1] if self.has_biases else vectors

    def user_vectors(self, queries: Queries) -> Floats:
        """What an index is asked with: query vectors, as long as the items'. Shape [B, D] or [B, D + 1]."""
        return self._extended(self._asked(queries))

    def knows(self, queries: Queries) -> Bools:
        """Queries whose vector says something; the others get popular items. Shape [B]."""
        return ~all_zero(self._asked(queries))

    def _asked(self, queries: Queries) -> Floats:
        """Query vectors; those of the queries that were asked for last are kept, for two stages ask for them twice."""
        last = self._last
        if last is None or last[0] is not queries or last[1] is not self._item_vectors:
            self._last = last = (queries, self._item_vectors, self.query_vectors(queries))
        return last[2]

    @abstractmethod
    def query_vectors(self, queries: Queries) -> Floats:
        """float32, the same for a query alone and among others; 0 for a user of whom nothing is known. Shape [B, D]."""

    def score(self, queries: Queries) -> Floats:
        """Products and biases; the popular list for users of whom nothing is known. Shape [B, N]."""
        vectors = self.query_vectors(queries)
        return with_fallback(products(self._extended(vectors), self._item_vectors), self._popular, all_zero(vectors))

    def _best(self, queries: Queries, k: int) -> TopK:
        vectors = self.query_vectors(queries)
        unknown = all_zero(vectors)
        if not unknown.any():
            return self._nearest(vectors, queries, k)
        answer = TopK.nothing(len(queries), k)
        rows, others = np.flatnonzero(~unknown), np.flatnonzero(unknown)
        known = self._nearest(vectors[rows], queries.take(rows), k)
        popular = top_k_of_shared(self._popular, k, queries.exclusions.take(others), queries.allowed)
        for chosen, best in ((rows, known), (others, popular)):
            answer.items[chosen], answer.scores[chosen] = best.items, best.scores
        return answer

    def _nearest(self, vectors: Floats, queries: Queries, k: int) -> TopK:
        """The allowed items of the largest products. Shape [B, k]."""
        if queries.allowed is None:
            return best_products(self._extended(vectors), self._items(), queries.exclusions, k)
        places, vectors_of = self._allowed_items(queries.allowed)
        best = best_products(self._extended(vectors), vectors_of, places_among(queries.exclusions, places), k)
        return TopK(np.where(best.items == NO_ITEM, NO_ITEM, places[best.items]), best.scores)

    def _allowed_items(self, allowed: Bools) -> tuple[Ids, ItemVectors]:
        """Allowed items and their vectors; kept while the same mask is asked for. Shapes [n], [n, D]."""
        last = self._last_allowed
        if last is None or last[0] is not allowed or last[1] is not self._item_vectors:
            places = np.flatnonzero(allowed)
            self._last_allowed = last = (
                allowed,
                self._item_vectors,
                places,
                ItemVectors.of(self._item_vectors[places]),
            )
        return last[2], last[3]

    def pair_scores(self, queries: Queries, candidates: TopK) -> Floats:
        """Products of the candidates alone, whatever the size of the catalogue. Shape [B, C]."""
        self._check(queries)
        vectors = self.query_vectors(queries)
        scores = pair_products(self._extended(vectors), candidates.items, self._item_vectors)
        unknown = all_zero(vectors)
        scores[unknown] = self._popular[np.maximum(candidates.items[unknown], 0)]
        return scores

    def _block_size(self) -> int:
        return BLOCK_QUERIES

    def _extended(self, vectors: Floats) -> Floats:
        """Query vectors with the 1 that meets an item's bias, if there are biases. Shape as the items'."""
        missing = self._item_vectors.shape[1] - vectors.shape[1]
        return np.pad(vectors, ((0, 0), (0, missing)), constant_values=1)

    def _items(self) -> ItemVectors:
        """The item vectors, measured once for as long as they stay the same array."""
        if self._measured is None or self._measured[0] is not self._item_vectors:
            self._measured = (self._item_vectors, ItemVectors.of(self._item_vectors))
        return self._measured[1]
