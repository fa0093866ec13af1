"""`Sources`: candidates of several models, merged, and what each model says of all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from twotower.models.base import Model
from twotower.models.second_stage.moment import Asked
from twotower.topk import allowed_lists
from twotower.types import NO_ITEM, Floats, Ids, Queries, TopK


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Fitted models that propose candidates.

    Attributes:
        models: name to model.
        n_each: how many each proposes.
    """

    models: Mapping[str, Model]
    n_each: int

    def ask(self, queries: Queries) -> "SourceLists":
        """What each proposes."""
        lists = {name: allowed_lists(model, queries, self.n_each) for name, model in self.models.items()}
        return SourceLists(self, queries, lists)

    def names(self) -> list[str]:
        """Three numbers of each source; two more where it has vectors."""
        names = []
        for name, model in self.models.items():
            names += [f"{name}: score", f"{name}: rank", f"{name}: proposed"]
            names += [f"{name}: nearest cosine", f"{name}: mean cosine"] if model.has_vectors else []
        return names


@dataclass(frozen=True, slots=True, eq=False)
class SourceLists:
    """What the sources propose to some queries.

    Attributes:
        sources: the models.
        queries: who was asked for. B of them.
        lists: name to its list. Shapes [B, n_each].
    """

    sources: Sources
    queries: Queries
    lists: Mapping[str, TopK]

    def candidates(self, k: int = 1) -> TopK:
        """Everything that is proposed, each item once, by the best rank that a source gives it. Shape [B, C].

        Args:
            k: lists of so many items are wanted: sources are asked again for as many, if they proposed fewer.
        """
        if k <= self.sources.n_each:
            return merged(list(self.lists.values()))
        return merged([allowed_lists(model, self.queries, k) for model in self.sources.models.values()])

    def values(self, candidates: TopK, asked: Asked, recent: int = 20) -> Floats:
        """What each source says of candidates, whoever proposed them.

        Its score, over the mean of its own list and in that list's standard deviations, since scores of two fits have
        different scales; the place that the score would have in the list; whether it is among the proposed; and where
        the source has vectors, the largest and mean cosine with the newest items. Shape [B, C, F].
        """
        found: list[Floats] = []
        for name, model in self.sources.models.items():
            scores, own = model.pair_scores(self.queries, candidates), self.lists[name]
            place = places_in(own.scores, scores)
            found += [standardised(scores, own), np.log1p(place), (place < self.sources.n_each).astype(np.float32)]
            if model.has_vectors:
                found += likeness(cast(Any, model).likeness, asked.last(recent), candidates.items)
        return np.stack([np.asarray(f, np.float32) for f in found], axis=-1)


def merged(lists: list[TopK]) -> TopK:
    """Each item once, by its best rank, then by the source's place, then by id. Shape [B, sum of K]."""
    width = sum(top.k for top in lists)
    items = np.concatenate([top.items for top in lists], axis=1)
    place = np.concatenate([np.arange(top.k) * len(lists) + i for i, top in enumerate(lists)])  # by rank, then source
    order = np.argsort(place, kind="stable")
    items = items[:, order]
    by_item = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, by_item, axis=1)
    repeats = np.zeros(items.shape, np.bool_)
    again = np.zeros_like(repeats)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    np.put_along_axis(repeats, by_item, again, axis=1)
    drop = repeats | (items == NO_ITEM)
    kept = np.argsort(drop, axis=1, kind="stable")
    items = np.take_along_axis(np.where(drop, NO_ITEM, items), kept, axis=1)
    scores = np.where(items == NO_ITEM, -np.inf, -np.arange(width, dtype=np.float32))
    return TopK(items, scores.astype(np.float32))


def places_in(lists: Floats, scores: Floats) -> Ids:
    """How many of a row's falling scores are higher than each score. [B, K], [B, C] → [B, C]."""
    falling = -np.where(np.isfinite(lists), lists, -np.inf)  # rising
    place = [np.searchsorted(own, -wanted, side="left") for own, wanted in zip(falling, scores, strict=True)]
    return np.stack(place) if place else np.empty(scores.shape, np.int64)


def standardised(scores: Floats, top: TopK) -> Floats:
    """Scores over the mean of the list, in its standard deviations. Shape [B, C]."""
    real = top.items != NO_ITEM
    n = np.maximum(real.sum(axis=1, keepdims=True), 1)
    listed = np.where(real, top.scores, 0).astype(np.float64)
    mean = listed.sum(axis=1, keepdims=True) / n
    spread = np.sqrt((np.where(real, listed - mean, 0) ** 2).sum(axis=1, keepdims=True) / n)
    return np.asarray(np.clip((scores - mean) / np.where(spread > 1e-9, spread, 1), -1e6, 1e6), np.float32)


def likeness(vectors: Floats, asked: Asked, items: Ids) -> list[Floats]:
    """Largest and mean cosine of the candidates with the newest items of the history. Shapes [B, C]."""
    own, theirs = _unit(vectors[np.maximum(items, 0)]), _unit(vectors[np.maximum(asked.items, 0)])
    real = asked.items >= 0  # [B, L]
    cosine = np.matmul(own, theirs.transpose(0, 2, 1))  # [B, C, L]
    masked = np.where(real[:, None], cosine, -1)
    mean = np.where(real[:, None], cosine, 0).sum(axis=-1) / np.maximum(real.sum(axis=1), 1)[:, None]
    return [masked.max(axis=-1, initial=-1), mean]


def _unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)
