"""Negative samplers: items that a user did not touch, drawn for a training position.

All draw from a seeded generator that the caller gives, and never what the user is known to like, unless that is all.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from twotower.data.interactions import Interactions
from twotower.errors import BadConfig
from twotower.types import Bools, Floats, Ids, Times, distinct

WEEK = 7 * 24 * 3600
MONDAY = 4 * 24 * 3600
"""The first Monday after the epoch: weeks are counted from it."""
REDRAWS = 8
BITS_PER_PAIR = 32
"""Of the bitmap that is asked first: about one unknown pair in so many is looked up for nothing."""
EXACT_BITS = 1 << 28
"""Up to so many possible pairs each has a bit of its own: 32 MB at most."""
MIXER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: multiplying by it spreads neighbouring keys (Knuth, TAOCP 3, section 6.4)."""

SamplerKind = Literal["uniform", "popularity", "same_category"]


class NegativeSampler(Protocol):
    """Draws items for (user, positive item, time) triples."""

    def draw(self, users: Ids, positives: Ids, times: Times, n: int, rng: np.random.Generator) -> Ids:
        """Items that the users did not touch. Shapes [P], [P], [P] -> [P, n]."""
        ...


class KnownPairs:
    """The user-item pairs of some events, sorted: which pairs are among them, and which items a user has left."""

    def __init__(self, events: Interactions) -> None:
        n = events.n_items
        self._keys = distinct(events.pair_keys())
        self._n_items = n
        self._exact = events.n_users * n <= EXACT_BITS
        n_bits = events.n_users * n if self._exact else BITS_PER_PAIR * len(self._keys)
        self._shift = np.uint64(64 - max(3, n_bits.bit_length()))
        self._bitmap = self._marked()
        user = self._keys // n
        self._first = np.searchsorted(user, np.arange(events.n_users + 1))
        known_before = np.arange(len(user)) - self._first[user]
        self._left_before = user * (n + 1) + self._keys % n - known_before  # rises: left items before each known one

    def contains(self, users: Ids, items: Ids) -> Bools:
        """Elementwise, shapes broadcast; a bitmap answers most, the sorted pairs the rest."""
        keys = users * self._n_items + items
        bits = self._bits(keys)
        known: Bools = (self._bitmap[bits >> 3] >> (bits & 7).astype(np.uint8)) & 1 > 0
        if not self._exact:
            suspects = keys[known]
            found = np.minimum(np.searchsorted(self._keys, suspects), len(self._keys) - 1)
            known[known] = self._keys[found] == suspects
        return known

    def _bits(self, keys: Ids) -> Ids:
        """Each pair's place in the bitmap: its key, or the upper bits of its product with `MIXER`. Same shape."""
        if self._exact:
            return keys
        mixed: Ids = ((keys.astype(np.uint64) * MIXER) >> self._shift).astype(np.int64)
        return mixed

    def _marked(self) -> NDArray[np.uint8]:
        """The bitmap with the bits of all known pairs."""
        marked = np.zeros(1 << int(64 - self._shift), bool)
        marked[self._bits(self._keys)] = True
        return np.packbits(marked, bitorder="little")

    def draw_unknown(self, users: Ids, rng: np.random.Generator) -> Ids:
        """For each user one of the items in no known pair, all alike; any item where there is none. Shape [P]."""
        known = self._first[users + 1] - self._first[users]
        left = self._n_items - known
        rank = (rng.random(len(users)) * left).astype(np.int64)
        wanted = users * (self._n_items + 1) + rank
        passed = np.searchsorted(self._left_before, wanted, side="right") - self._first[users]
        return np.where(left > 0, rank + passed, rng.integers(0, self._n_items, len(users)))


class UniformNegatives:
    """Every item of the catalogue that the user does not know is equally likely."""

    def __init__(self, events: Interactions) -> None:
        self.known = KnownPairs(events)

    def draw(self, users: Ids, positives: Ids, times: Times, n: int, rng: np.random.Generator) -> Ids:
        """See `NegativeSampler.draw`."""
        return self.known.draw_unknown(np.repeat(users, n), rng).reshape(-1, n)


class PopularityNegatives:
    """Items in proportion to (number of events)^power.

    Source: Mikolov et al., "Distributed Representations of Words and Phrases", 2013, section 2.2 (power 0.75).
    """

    def __init__(self, events: Interactions, *, power: float = 0.75) -> None:
        self.known = KnownPairs(events)
        counts = events.item_counts()
        self._items = np.flatnonzero(counts)
        self._cumulative = np.cumsum(counts[self._items].astype(np.float64) ** power)
        self._alike = power == 0

    def draw(self, users: Ids, positives: Ids, times: Times, n: int, rng: np.random.Generator) -> Ids:
        """See `NegativeSampler.draw`."""
        return _redrawn(self.known, users, n, lambda rows: self.draw_any(len(rows), rng), rng)

    def draw_any(self, n: int, rng: np.random.Generator) -> Ids:
        """Items for nobody in particular. Shape [n]."""
        if self._alike:
            place = rng.integers(0, len(self._items), n)
        else:
            place = np.searchsorted(self._cumulative, rng.random(n) * self._cumulative[-1], side="right")
        drawn: Ids = self._items[place]
        return drawn


class SameCategoryNegatives:
    """Items of the positive's category that somebody touched in the positive's calendar week.

    Falls back to the whole catalogue for the few draws whose group offers (nearly) nothing that the user does not know.

    Source: Kurovski (2017), negative sampling.

    Args:
        events: training events.
        category: code of every item's category. Shape [N].
    """

    def __init__(self, events: Interactions, category: Ids) -> None:
        self.known = KnownPairs(events)
        self.category = category
        self._n_categories = int(category.max()) + 2  # codes may be -1 (missing)
        item: Ids = events.item.astype(np.int64)
        group = self._group(item, events.time)
        base = int(group.min(initial=0))
        pairs = distinct((group - base) * events.n_items + item)  # one sort of integers, by group, then item
        self._groups, first = np.unique(pairs // events.n_items + base, return_index=True)
        self._items = pairs % events.n_items
        self._bounds = np.append(first, len(self._items))

    def draw(self, users: Ids, positives: Ids, times: Times, n: int, rng: np.random.Generator) -> Ids:
        """See `NegativeSampler.draw`."""
        group = np.searchsorted(self._groups, self._group(positives, times))
        low = np.repeat(self._bounds[group], n)
        high = np.repeat(self._bounds[group + 1], n)

        def some(rows: Ids) -> Ids:
            drawn: Ids = self._items[low[rows] + (rng.random(len(rows)) * (high - low)[rows]).astype(np.int64)]
            return drawn

        return _redrawn(self.known, users, n, some, rng)

    def _group(self, items: Ids, times: Times) -> Ids:
        week = (times - MONDAY) // WEEK
        group: Ids = week * self._n_categories + self.category[items] + 1
        return group


def _redrawn(known: KnownPairs, users: Ids, n: int, draw: Callable[[Ids], Ids], rng: np.random.Generator) -> Ids:
    """Fills [P, n], redrawing known pairs a few times; what is still known becomes any item that the user has left."""
    owner = np.repeat(users, n)
    rows = np.arange(len(owner))
    items = draw(rows)
    for _ in range(REDRAWS):
        rows = rows[known.contains(owner[rows], items[rows])]
        if not len(rows):
            return items.reshape(-1, n)
        items[rows] = draw(rows)
    rows = rows[known.contains(owner[rows], items[rows])]
    items[rows] = known.draw_unknown(owner[rows], rng)
    return items.reshape(-1, n)


def some_of(usable: Bools, n: int, rng: np.random.Generator) -> Ids:
    """Draws n random usable columns of each row, none twice while there are enough. Shape [P, C] -> [P, n]."""
    order = (rng.random(usable.shape) + ~usable).argsort(axis=1)
    enough = np.maximum(usable.sum(axis=1, keepdims=True), 1)
    return np.take_along_axis(order, np.arange(n) % enough, axis=1)


def negative_sampler(kind: SamplerKind, events: Interactions, category: Ids | None) -> NegativeSampler:
    """A sampler by name.

    Raises:
        BadConfig: an unknown name, or `same_category` for a data set without a category column.
    """
    if kind == "uniform":
        return UniformNegatives(events)
    if kind == "popularity":
        return PopularityNegatives(events)
    if kind == "same_category":
        if category is None:
            raise BadConfig(
                "negatives=same_category needs a data set with a category column (Dataset.category); "
                "use uniform or popularity"
            )
        return SameCategoryNegatives(events, category)
    raise BadConfig(f"negatives={kind!r} is unknown; use uniform, popularity, same_category or hard")


def expected_counts(item_counts: Ids, n_positives: int, n_uniform: int) -> Floats:
    """How often each item is expected among a batch's candidates: in-batch positives plus mixed uniform negatives. [N].

    Source: Yang et al., "Mixed Negative Sampling for Learning Two-Tower Neural Networks in Recommendations", 2020.
    """
    share = item_counts / max(1, int(item_counts.sum()))
    in_batch = 1 - (1 - share) ** n_positives  # the pool holds an item once, however often it was drawn
    uniform = 1 - (1 - 1 / len(item_counts)) ** n_uniform
    return np.maximum(in_batch + (1 - in_batch) * uniform, 1e-12).astype(np.float32)
