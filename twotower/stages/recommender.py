"""`TwoStageRecommender`: retrieve, filter, rank, select; its `Trace` keeps what each stage removed and said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from twotower.errors import BadConfig, BadInput
from twotower.protocols import Ranker
from twotower.stages.filters import all_of
from twotower.topk import not_excluded, places_among, rescore, top_k, top_k_of_shared
from twotower.types import NO_ITEM, UNKNOWN_USER, Array, Bools, Floats, Ids, Queries, Ragged, TopK

How = Literal["known user", "from the given history", "popular items"]
"""Which way a query is answered."""
Stage = Callable[[Queries, int], TopK]
Select = Callable[[TopK, int], TopK]
SEEN = "seen before"
_BLOCK_QUERIES = 1024
_GOLD_PAIRS = 1 << 25
"""Scores of a gold standard held at once: 128 MiB."""


@runtime_checkable
class EveryItemRanker(Protocol):
    """A ranker that has a fast way to score the same items for every query."""

    def scores_everywhere(self, queries: Queries, items: Ids) -> Floats:
        """Scores [B, len(items)]."""
        ...


class FirstStage(Protocol):
    """What finds candidates: a `Retriever`, or a `ListRetriever` where there are no vectors."""

    @property
    def n_items(self) -> int:
        """Ids that candidates may have: 0..N-1."""
        ...

    @property
    def vectors(self) -> Floats | None:
        """Item vectors, if there are any. Shape [N, D]."""
        ...

    def knows(self, queries: Queries) -> Bools:
        """Queries that it can answer; the others get popular items. Shape [B]."""
        ...

    def available(self, allowed: Bools | None = None) -> Bools | None:
        """Allowed items that can be found at all; None if that is all. Shape [N]."""
        ...

    def retrieve(self, queries: Queries, k: int, allowed: Bools | None = None) -> TopK:
        """The k best allowed items of each query without its exclusions. Shape [B, k]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Everything that happened to a batch of queries.

    Attributes:
        how: the way each query was answered. B entries.
        retrieved: what the first stage found before any filter; None if that was not asked for. Shape [B, C].
        removed: rule to the number of retrieved items that it was the first to remove, per query; empty if `retrieved`
            is None. Shapes [B].
        candidates: what was ranked: allowed items, scored by the first stage. Shape [B, C].
        ranked: the same items, scored by the second stage. Shape [B, C].
        top: the answer. Shape [B, k].
    """

    how: tuple[How, ...]
    retrieved: TopK | None
    removed: Mapping[str, Ids]
    candidates: TopK
    ranked: TopK
    top: TopK


class TwoStageRecommender:
    """A `Recommender` of two stages: a retriever over the whole catalogue, a ranker over its candidates.

    A query without user and history gets popular items. Nothing is changed by answering: one object serves all threads.
    """

    def __init__(
        self,
        retriever: FirstStage,
        ranker: Ranker | None = None,
        *,
        n_candidates: int = 500,
        rules: Mapping[str, Bools] | None = None,
        popularity: Floats | None = None,
    ) -> None:
        """Joins the stages.

        Args:
            retriever: the first stage.
            ranker: the second stage; None leaves the order of the first.
            n_candidates: how many retrieved items are ranked.
            rules: name to the items that it allows; an item must meet all. Shapes [N].
            popularity: for queries of which nothing is known; None gives them no items. Shape [N].

        Raises:
            BadConfig: n_candidates < 1.
        """
        if n_candidates < 1:
            raise BadConfig(f"n_candidates must be at least 1, got {n_candidates}")
        self.retriever = retriever
        self.ranker = ranker
        self.n_candidates = min(n_candidates, retriever.n_items)
        self.rules = dict(rules or {})
        self.allowed = all_of(self.rules.values())
        self._last_allowed: tuple[Bools, Bools] | None = None
        self.popularity = np.full(retriever.n_items, -np.inf, np.float32) if popularity is None else popularity

    def recommend(self, queries: Queries, k: int, select: Select = TopK.head) -> TopK:
        """Ranked lists [B, k] without excluded or disallowed items; `select` chooses k of the ranked candidates."""
        if k < 1:
            raise BadInput(f"k must be at least 1, got {k}")
        ranked = (self._rank(block, self._candidates(block, k)) for block in queries.blocks(_BLOCK_QUERIES))
        blocks = [select(candidates, k) for candidates in ranked]
        return TopK.concatenate(blocks) if blocks else TopK.nothing(0, k)

    def trace(self, queries: Queries, k: int, *, unfiltered: bool = True) -> Trace:
        """The answer with all that led to it.

        Args:
            queries: whom to serve.
            k: wanted items.
            unfiltered: also retrieve without any filter, to count what each removes; costs one more search.
        """
        if k < 1:
            raise BadInput(f"k must be at least 1, got {k}")
        candidates = self._candidates(queries, k)
        ranked = self._rank(queries, candidates)
        retrieved, removed = self._before_filters(queries, k) if unfiltered else (None, {})
        return Trace(ways(queries), retrieved, removed, candidates, ranked, ranked.head(k))

    def gold_standard(self, queries: Queries, k: int) -> TopK:
        """The ranker over every allowed item, in blocks: what the lists would be if retrieval lost nothing.

        Shape [B, k].

        Raises:
            BadConfig: there is no ranker, or the retriever was made without item vectors.
        """
        if self.ranker is None:
            raise BadConfig("gold_standard: there is no ranker")
        lists = [
            self._by_way(block, k, self._rank_everything, lambda q, n: self._popular(q, n, self._allowed(q)))
            for block in queries.blocks(_BLOCK_QUERIES)
        ]
        return TopK.concatenate(lists) if lists else TopK.nothing(0, k)

    def _rank_everything(self, queries: Queries, k: int) -> TopK:
        """The ranker's k best of all allowed items, part of the catalogue by part. Shape [B, k]."""
        n, usable = self.retriever.n_items, self.retriever.available(self._allowed(queries))
        items = np.arange(n) if usable is None else np.flatnonzero(usable)
        score = (
            self.ranker.scores_everywhere if isinstance(self.ranker, EveryItemRanker) else self._scores_of_candidates
        )
        best = TopK.nothing(len(queries), k)
        n_parts = min(len(items), -(-len(items) * len(queries) // _GOLD_PAIRS))
        for part in np.array_split(items, n_parts) if n_parts else ():
            of_part = top_k(score(queries, part), k, places_among(queries.exclusions, part))
            named = TopK(np.where(of_part.items == NO_ITEM, NO_ITEM, part[of_part.items]), of_part.scores)
            best = _merged(best, named, k)
        return best

    def _scores_of_candidates(self, queries: Queries, items: Ids) -> Floats:
        """The scores that a ranker gives to the same items for every query. Shape [B, len(items)]."""
        assert self.ranker is not None
        every = TopK(np.tile(items, (len(queries), 1)), np.zeros((len(queries), len(items)), np.float32))
        ranked = self.ranker.rank(queries, every)
        scores = np.empty(every.scores.shape, np.float32)
        np.put_along_axis(scores, np.searchsorted(items, ranked.items), ranked.scores, axis=1)
        return scores

    def _candidates(self, queries: Queries, k: int, *, unfiltered: bool = False) -> TopK:
        """First stage of every query, popular items for those of which nothing is known. Shape [B, C]."""
        allowed = None if unfiltered else self._allowed(queries)
        return self._by_way(
            queries,
            max(k, self.n_candidates),
            lambda known, width: self.retriever.retrieve(known, width, allowed),
            lambda unknown, width: self._popular(unknown, width, allowed),
        )

    def _allowed(self, queries: Queries) -> Bools | None:
        """What both the rules and the queries allow; the same array for the same mask of the queries. Shape [N]."""
        if queries.allowed is None or self.allowed is None:
            return self.allowed if queries.allowed is None else queries.allowed
        last = self._last_allowed
        if last is None or last[0] is not queries.allowed:
            self._last_allowed = last = (queries.allowed, queries.allowed & self.allowed)
        return last[1]

    def _by_way(self, queries: Queries, k: int, known: Stage, unknown: Stage) -> TopK:
        """Answers the queries that the first stage knows by one stage and the others by another. Shape [B, k]."""
        is_known = self.retriever.knows(queries)
        if is_known.all():  # the very same object, so that an encoder can tell that the ranker asks for it again
            return known(queries, k)
        answer = TopK.nothing(len(queries), k)
        for rows, stage in ((np.flatnonzero(is_known), known), (np.flatnonzero(~is_known), unknown)):
            if len(rows):
                top = stage(queries.take(rows), k)
                answer.items[rows], answer.scores[rows] = top.items, top.scores
        return answer

    def _popular(self, queries: Queries, k: int, allowed: Bools | None) -> TopK:
        usable = self.retriever.available(allowed)
        return top_k_of_shared(self.popularity, k, queries.exclusions, usable)

    def _rank(self, queries: Queries, candidates: TopK) -> TopK:
        """Second stage; popular items keep their order. Shape [B, C]."""
        rows = np.flatnonzero(self.retriever.knows(queries))
        if self.ranker is None or not len(rows):
            return candidates
        if len(rows) == len(queries):
            return self.ranker.rank(queries, candidates)
        chosen = TopK(candidates.items[rows], candidates.scores[rows])
        ranked = self.ranker.rank(queries.take(rows), chosen)
        items, scores = candidates.items.copy(), candidates.scores.copy()
        items[rows], scores[rows] = ranked.items, ranked.scores
        return TopK(items, scores)

    def _before_filters(self, queries: Queries, k: int) -> tuple[TopK, dict[str, Ids]]:
        """What the first stage finds without any filter, and how much of it each filter removes."""
        free = replace(queries, exclusions=Ragged.empty(len(queries)))
        retrieved = self._candidates(free, k, unfiltered=True)
        return retrieved, self._removed(retrieved, queries)

    def _removed(self, retrieved: TopK, queries: Queries) -> dict[str, Ids]:
        """Rule by rule, how many retrieved items of each query it was the first to remove."""
        left: Bools = retrieved.items != NO_ITEM
        removed = {}
        for name, keep in (
            (SEEN, not_excluded(retrieved, queries.exclusions)),
            *((name, mask[retrieved.items]) for name, mask in self.rules.items()),
        ):
            removed[name] = (left & ~keep).sum(axis=1)
            left = left & keep
        return removed


class GoldStandard:
    """A `Recommender`: the ranker over the whole catalogue, for measuring what retrieval loses; slow by design."""

    def __init__(self, stages: TwoStageRecommender) -> None:
        self.stages = stages

    def recommend(self, queries: Queries, k: int) -> TopK:
        """Ranked lists [B, k]."""
        return self.stages.gold_standard(queries, k)


def ways(queries: Queries) -> tuple[How, ...]:
    """How each query can be answered."""
    known: Array = queries.users != UNKNOWN_USER
    shown = queries.histories.lengths > 0
    return tuple(
        "known user" if k else "from the given history" if h else "popular items"
        for k, h in zip(known, shown, strict=True)
    )


def _merged(a: TopK, b: TopK, k: int) -> TopK:
    """The k best of two lists per query."""
    both = TopK(np.concatenate([a.items, b.items], axis=1), np.concatenate([a.scores, b.scores], axis=1))
    return rescore(both, both.scores, k)
