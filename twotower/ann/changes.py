"""`Changes`: what was added to an index and taken from it since it was built; a frozen value that searches can hold."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from twotower.ann.scan import scan
from twotower.errors import BadInput
from twotower.protocols import Metric
from twotower.topk import rescore
from twotower.types import NO_ITEM, Bools, Floats, Ids, TopK

FILE = "changes.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Items that are compared exactly beside the built ones, and ids that must not be found any more.

    Attributes:
        items: ids of the added or updated items, rising. Shape [M].
        vectors: their vectors, float32. Shape [M, D].
        gone: per id ever given, whether the built vector must not be found: removed or updated. Shape [capacity].
        dead: per id ever given, whether the item is removed. Shape [capacity].
        n_gone: how many are gone; counted once, since every search asks.
        n_dead: how many are dead.
        alive: per id ever given, whether the item is not removed, read-only; None if none is. Shape [capacity].
    """

    items: Ids
    vectors: Floats
    gone: Bools
    dead: Bools
    n_gone: int = field(init=False)
    n_dead: int = field(init=False)
    alive: Bools | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_gone", int(self.gone.sum()))
        object.__setattr__(self, "n_dead", int(self.dead.sum()))
        alive = ~self.dead if self.n_dead else None
        if alive is not None:
            alive.setflags(write=False)
        object.__setattr__(self, "alive", alive)

    @classmethod
    def none(cls, count: int, dim: int) -> Self:
        """An index as it was built, with ids 0..count-1."""
        flags = np.zeros(count, np.bool_)
        return cls(np.empty(0, np.int64), np.empty((0, dim), np.float32), flags, flags)

    @property
    def capacity(self) -> int:
        """One more than the largest id ever given; ids are never given twice."""
        return len(self.dead)

    @property
    def any(self) -> bool:
        """Whether something changed at all."""
        return bool(len(self.items)) or self.n_gone > 0

    def added(self, vectors: Floats) -> Self:
        """With further items, whose ids go on from `capacity`."""
        fresh = np.arange(self.capacity, self.capacity + len(vectors))
        more = np.zeros(len(vectors), np.bool_)
        return replace(
            self,
            items=np.concatenate([self.items, fresh]),
            vectors=np.concatenate([self.vectors, vectors]),
            gone=np.concatenate([self.gone, more]),
            dead=np.concatenate([self.dead, more]),
        )

    def removed(self, items: Ids) -> Self:
        """Without some items, for ever."""
        stays = ~np.isin(self.items, items)
        gone, dead = self.gone.copy(), self.dead.copy()
        gone[items] = dead[items] = True
        return replace(self, items=self.items[stays], vectors=self.vectors[stays], gone=gone, dead=dead)

    def updated(self, items: Ids, vectors: Floats) -> Self:
        """With other vectors for some items, which keep their ids."""
        stays = ~np.isin(self.items, items)
        gone = self.gone.copy()
        gone[items] = True
        every = np.concatenate([self.items[stays], items])
        order = np.argsort(every, kind="stable")
        rows = np.concatenate([self.vectors[stays], vectors])
        return replace(self, items=every[order], vectors=rows[order], gone=gone)

    def checked(self, items: Ids) -> Ids:
        """Ids that can be removed or updated: known, not removed, each once.

        Raises:
            BadInput: one of them is not.
        """
        items = np.asarray(items, np.int64)
        outside = (items < 0) | (items >= self.capacity)
        if outside.any():
            raise BadInput(f"item {items[outside][0]} is not in the index; its ids are 0..{self.capacity - 1}")
        if self.dead[items].any():
            raise BadInput(f"item {items[self.dead[items]][0]} was removed; add it again to get a new id")
        values, counts = np.unique(items, return_counts=True)
        if (counts > 1).any():
            raise BadInput(f"item {values[counts > 1][0]} is named twice; name each item once")
        return items

    def save(self, directory: Path) -> None:
        """Writes `changes.npz`."""
        np.savez_compressed(directory / FILE, items=self.items, vectors=self.vectors, gone=self.gone, dead=self.dead)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Reads what `save` wrote."""
        with np.load(directory / FILE, allow_pickle=False) as file:
            return cls(*(file[name] for name in ("items", "vectors", "gone", "dead")))


def find_remaining(find: Callable[[Floats, int], TopK], queries: Floats, k: int, gone: Bools) -> TopK:
    """The k best built items that are not gone; more are fetched until none is missing or no more are reached.

    Args:
        find: answers queries [B, D] with up to n <= N built items each, padded where it reaches fewer.
        queries: query vectors. Shape [B, D].
        k: wanted items.
        gone: built items that must not be found. Shape [N].
    """
    n, n_gone = len(gone), int(gone.sum())
    fetch = min(n, k + min(n_gone, k))
    answer, rows = TopK.nothing(len(queries), k), np.arange(len(queries))
    while len(rows):
        fetched = find(queries[rows], fetch)
        left = fetched.without(gone[fetched.items])
        left = rescore(left, left.scores, k)
        answer.items[rows], answer.scores[rows] = left.items, left.scores
        short = (left.items != NO_ITEM).sum(axis=1) < min(k, n - n_gone)
        has_more = (fetched.items != NO_ITEM).all(axis=1) & (fetch < n)
        rows = rows[short & has_more]
        fetch = min(n, 4 * fetch)
    return answer


def with_added(found: TopK, queries: Floats, changes: Changes, metric: Metric) -> TopK:
    """The list merged with the added items, which are compared one by one. Shape [B, k]."""
    if not len(changes.items):
        return found
    near = scan(queries, changes.vectors, min(found.k, len(changes.items)), metric)
    items = np.concatenate([found.items, changes.items[near.items]], axis=1)
    scores = np.concatenate([found.scores, near.scores], axis=1)
    return rescore(TopK(items, scores), scores, found.k)
