"""`Retriever`: the first stage: a user encoder and an index, whose lists no exclusion and no filter can shorten."""

from typing import Protocol

import numpy as np

from twotower.ann.exact import ExactIndex
from twotower.errors import BadConfig
from twotower.protocols import VectorIndex
from twotower.types import NO_ITEM, Array, Bools, Floats, Ids, Queries, Ragged, TopK

SCAN_SHARE = 0.1
"""If a rule leaves less than this share of the catalogue, comparing what is left beats sieving an index's answer."""


class UserEncoder(Protocol):
    """Queries in, vectors out."""

    def user_vectors(self, queries: Queries) -> Floats:
        """Vectors that the index's items are compared with. Shape [B, D]."""
        ...


class Retriever:
    """Nearest items to each query's vector, over the whole catalogue.

    Items that must not be returned are made up for: more is fetched, and in the last resort everything is compared.
    """

    def __init__(self, encoder: UserEncoder, index: VectorIndex, vectors: Floats | None = None) -> None:
        """Joins the two halves.

        Args:
            encoder: makes user vectors.
            index: holds the item vectors.
            vectors: the item vectors themselves, for narrow rules and for indexes that cannot reach every item;
                without them such lists may come out short. Shape [N, D].
        """
        self.encoder = encoder
        self.index = index
        self.vectors = vectors

    def retrieve(self, queries: Queries, k: int, allowed: Bools | None = None) -> TopK:
        """The k nearest allowed items of each query, without its exclusions.

        Args:
            queries: whom to serve. B of them.
            k: wanted items.
            allowed: items that may be returned at all; None allows all. Shape [N].

        Returns:
            `TopK` [B, k] with the index's scores; padded only where nothing allowed is left.
        """
        return self.search(self.encoder.user_vectors(queries), queries.exclusions, k, allowed)

    def search(self, vectors: Floats, exclusions: Ragged, k: int, allowed: Bools | None = None) -> TopK:
        """As `retrieve`, for user vectors that are already there. Shape [B, D]."""
        if allowed is not None and self.vectors is not None and allowed.mean() < SCAN_SHARE:
            return self.scan(vectors, exclusions, k, allowed)
        n = len(self.index)
        share = 1.0 if allowed is None else max(float(allowed.mean()), 1 / n)
        usual = np.quantile(exclusions.lengths, 0.9) if len(exclusions) else 0
        fetch = min(n, int((k + usual) / share) + 1)
        found = sieve(self.index.search(vectors, fetch), exclusions, k, allowed)
        short = self._short(found, exclusions, k, allowed)
        while len(short) and fetch < n:
            fetch = min(n, 4 * fetch)
            again = sieve(self.index.search(vectors[short], fetch), exclusions.take(short), k, allowed)
            found = _replaced(found, short, again)
            short = self._short(found, exclusions, k, allowed)
        if len(short) and self.vectors is not None:
            return _replaced(found, short, self.scan(vectors[short], exclusions.take(short), k, allowed))
        return found

    def scan(self, vectors: Floats, exclusions: Ragged, k: int, allowed: Bools | None = None) -> TopK:
        """As `search`, by exact comparison with the allowed items, whatever the index is.

        Raises:
            BadConfig: the retriever was made without item vectors.
        """
        if self.vectors is None:
            raise BadConfig("exact comparison needs the item vectors: Retriever(encoder, index, vectors)")
        items = np.arange(len(self.vectors)) if allowed is None else np.flatnonzero(allowed)
        if not len(items):
            return TopK.nothing(len(vectors), k)
        part = ExactIndex(metric=self.index.metric).build(np.asarray(self.vectors[items]))
        most = int(exclusions.lengths.max(initial=0))
        found = part.search(vectors, min(len(items), k + most))
        named = TopK(np.where(found.items == NO_ITEM, NO_ITEM, items[found.items]), found.scores)
        return sieve(named, exclusions, k)

    def _short(self, found: TopK, exclusions: Ragged, k: int, allowed: Bools | None) -> Array:
        """Rows that hold fewer items than are left for them."""
        n = len(self.index)
        filled = (found.items != NO_ITEM).sum(axis=1)
        suspects = np.flatnonzero(filled < k)
        open_to = np.ones(n, np.bool_) if allowed is None else allowed
        keys = np.unique(_pairs(exclusions.take(suspects), n))
        lost = np.bincount((keys // n)[open_to[keys % n]], minlength=len(suspects))
        return np.asarray(suspects[filled[suspects] < np.minimum(k, open_to.sum() - lost)])


def sieve(found: TopK, exclusions: Ragged, k: int, allowed: Bools | None = None) -> TopK:
    """The k best of what is found that are allowed and not excluded, in the order in which they were found. [B, k]."""
    keep = kept(found, exclusions) & (True if allowed is None else allowed[found.items])
    order = np.argsort(~keep, axis=1, kind="stable")[:, :k]
    left = found.without(~keep)
    return TopK(np.take_along_axis(left.items, order, axis=1), np.take_along_axis(left.scores, order, axis=1)).padded(k)


def kept(found: TopK, exclusions: Ragged) -> Bools:
    """False where an item is excluded for its query or is padding. Shape [B, K]."""
    n = max(int(found.items.max(initial=0)), int(exclusions.values.max(initial=0))) + 1
    keys = np.arange(len(found))[:, None] * n + found.items
    return np.asarray(~np.isin(keys, _pairs(exclusions, n)) & (found.items != NO_ITEM))


def _pairs(exclusions: Ragged, n: int) -> Ids:
    """One number per excluded pair: row * n + item; padding is left out."""
    real = exclusions.values != NO_ITEM
    return np.asarray(exclusions.row_ids()[real] * n + exclusions.values[real])


def _replaced(found: TopK, rows: Array, by: TopK) -> TopK:
    items, scores = found.items.copy(), found.scores.copy()
    items[rows], scores[rows] = by.items, by.scores
    return TopK(items, scores)
