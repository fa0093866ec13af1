"""`Retriever`: the first stage: a user encoder and an index, whose lists no exclusion and no filter can shorten."""

from typing import Protocol, runtime_checkable

import numpy as np

from twotower.ann.exact import ExactIndex
from twotower.errors import BadConfig
from twotower.protocols import VectorIndex
from twotower.topk import row_parts, sieve
from twotower.types import NO_ITEM, UNKNOWN_USER, Array, Bools, Floats, Ids, Queries, Ragged, TopK

SCAN_SHARE = 0.1
"""If a rule leaves less than this share of the catalogue, comparing what is left beats sieving an index's answer."""
USUAL = 0.9
"""Share of the queries whose exclusions the first fetch makes up for; the others are asked again."""

LONG_LISTS = 1 << 27
"""Bytes that asking again for much longer lists may take at once: 128 MiB."""


class UserEncoder(Protocol):
    """Queries in, vectors out."""

    def user_vectors(self, queries: Queries) -> Floats:
        """Vectors that the index's items are compared with. Shape [B, D]."""
        ...


@runtime_checkable
class KnowsQueries(Protocol):
    """An encoder whose vector may say nothing of a user, though there is an id or a history."""

    def knows(self, queries: Queries) -> Bools:
        """Queries whose vectors say something. Shape [B]."""
        ...


class Retriever:
    """Nearest items to each query's vector, over the whole catalogue.

    Items that must not be returned are made up for: more is fetched, and in the last resort everything is compared.
    Items that were removed from the index are neither returned nor counted as something that could be.
    N counts the ids that the index ever gave, removed ones too.
    """

    def __init__(self, encoder: UserEncoder, index: VectorIndex, vectors: Floats | None = None) -> None:
        """Joins the two halves.

        Args:
            encoder: makes user vectors.
            index: holds the item vectors.
            vectors: the item vectors themselves, for narrow rules and for indexes that cannot reach every item;
                without them such lists may come out short. Shape [N, D].

        Raises:
            BadConfig: there are more or fewer vectors than ids.
        """
        self.encoder = encoder
        self.index = index
        self.vectors = vectors
        self._last_share: tuple[Bools, float] | None = None
        self._check_sizes(None)

    @property
    def n_items(self) -> int:
        """Ids that the index ever gave, removed ones too: 0..N-1."""
        alive = _alive(self.index)
        return len(self.index) if alive is None else len(alive)

    def knows(self, queries: Queries) -> Bools:
        """Queries that can be answered by a vector: of a user or with a history, and the encoder knows them. [B]."""
        named = (queries.users != UNKNOWN_USER) | (queries.histories.lengths > 0)
        if isinstance(self.encoder, KnowsQueries):
            named &= self.encoder.knows(queries)
        return np.asarray(named)

    def available(self, allowed: Bools | None = None) -> Bools | None:
        """Allowed items that are still in the index; None if that is all of them. Shape [N].

        Raises:
            BadConfig: `allowed` does not say of every id whether it is.
        """
        self._check_sizes(allowed)
        alive = _alive(self.index)
        if alive is None or allowed is None:
            return allowed if alive is None else alive
        return alive & allowed

    def retrieve(self, queries: Queries, k: int, allowed: Bools | None = None) -> TopK:
        """The k nearest allowed items of each query, without its exclusions.

        Args:
            queries: whom to serve. B of them.
            k: wanted items.
            allowed: items that may be returned at all; None allows all. Shape [N].

        Returns:
            `TopK` [B, k] with the index's scores; padded only where nothing allowed is left.

        Raises:
            BadConfig: `allowed` or the item vectors do not fit the index.
        """
        return self.search(self.encoder.user_vectors(queries), queries.exclusions, k, allowed)

    def search(self, vectors: Floats, exclusions: Ragged, k: int, allowed: Bools | None = None) -> TopK:
        """As `retrieve`, for user vectors that are already there. Shape [B, D]."""
        self._check_sizes(allowed)
        share = self._share(allowed)
        if self.vectors is not None and share < SCAN_SHARE:
            return self.scan(vectors, exclusions, k, allowed)
        n = self.n_items
        fetch = _first_fetch(k + _usual(exclusions), share, n)
        top = sieve(self.index.search(vectors, fetch), exclusions, k, allowed)
        short = self._short(top, exclusions, k, allowed)
        while len(short) and fetch < n:
            fetch = min(n, 4 * fetch)
            parts = [short[part] for part in row_parts(len(short), 64 * fetch, LONG_LISTS)]
            lists = [
                sieve(self.index.search(vectors[rows], fetch), exclusions.take(rows), k, allowed) for rows in parts
            ]
            top = _replaced(top, short, TopK.concatenate(lists))
            short = self._short(top, exclusions, k, allowed)
        if len(short) and self.vectors is not None:
            return _replaced(top, short, self.scan(vectors[short], exclusions.take(short), k, allowed))
        return top

    def scan(self, vectors: Floats, exclusions: Ragged, k: int, allowed: Bools | None = None) -> TopK:
        """As `search`, by exact comparison with the allowed items, whatever the index is.

        Raises:
            BadConfig: the retriever was made without item vectors.
        """
        if self.vectors is None:
            raise BadConfig("exact comparison needs the item vectors: Retriever(encoder, index, vectors)")
        usable = self.available(allowed)
        items = np.arange(len(self.vectors)) if usable is None else np.flatnonzero(usable)
        if not len(items):
            return TopK.nothing(len(vectors), k)
        part = ExactIndex(metric=self.index.metric).build(np.asarray(self.vectors[items]))
        most = int(exclusions.lengths.max(initial=0))
        best = part.search(vectors, min(len(items), k + most))
        named = TopK(np.where(best.items == NO_ITEM, NO_ITEM, items[best.items]), best.scores)
        return sieve(named, exclusions, k)

    def exactly(self) -> "Retriever":
        """The same over an exact index of the same items, to see what the index loses.

        Raises:
            BadConfig: the retriever was made without item vectors.
        """
        if self.vectors is None:
            raise BadConfig("exact retrieval needs the item vectors: Retriever(encoder, index, vectors)")
        exact = ExactIndex(metric=self.index.metric).build(self.vectors)
        alive = _alive(self.index)
        if alive is not None:
            exact.remove(np.flatnonzero(~alive))
        return Retriever(self.encoder, exact, self.vectors)

    def _share(self, allowed: Bools | None) -> float:
        """The share of the catalogue that is allowed, counted again only for another mask: it guides effort alone."""
        if allowed is None:
            return 1.0
        last = self._last_share
        if last is None or last[0] is not allowed:
            self._last_share = last = (allowed, float(allowed.mean()))
        return last[1]

    def _short(self, found: TopK, exclusions: Ragged, k: int, allowed: Bools | None) -> Array:
        """Rows that hold fewer items than are left for them; looks at the catalogue only if a row is not full."""
        filled = (found.items != NO_ITEM).sum(axis=1)
        suspects = np.flatnonzero(filled < k)
        if not len(suspects):
            return suspects
        n, usable = self.n_items, self.available(allowed)
        open_to = np.ones(n, np.bool_) if usable is None else usable
        keys = np.unique(_pairs(exclusions.take(suspects), n))
        lost = np.bincount((keys // n)[open_to[keys % n]], minlength=len(suspects))
        return np.asarray(suspects[filled[suspects] < np.minimum(k, open_to.sum() - lost)])

    def _check_sizes(self, allowed: Bools | None) -> None:
        """Also before every search, since an index may have grown."""
        if self.vectors is None and allowed is None:
            return
        n = self.n_items
        if self.vectors is not None and len(self.vectors) != n:
            raise BadConfig(
                f"the index gave ids 0..{n - 1}, but there are {len(self.vectors)} item vectors; "
                "make the Retriever with one vector for each id, those of removed items included"
            )
        if allowed is not None and len(allowed) != n:
            raise BadConfig(
                f"the index gave ids 0..{n - 1}, but `allowed` speaks of {len(allowed)} items; it must of all"
            )


def _alive(index: VectorIndex) -> Bools | None:
    """Which ids can be found, None if all can or if the index is of a kind that cannot change. Shape [N]."""
    alive: Bools | None = getattr(index, "alive", None)
    return alive


def _first_fetch(wanted: int, share: float, n: int) -> int:
    """How many of n items to ask for, so that `wanted` of them are nearly always allowed if a share of all is.

    Three standard deviations of a binomial count more than the mean: else every other list would be asked for again.
    """
    margin = 3 * (wanted * (1 - share)) ** 0.5
    return min(n, int((wanted + margin) / max(share, 1 / n)) + 1)


def _usual(exclusions: Ragged) -> int:
    """How many exclusions most queries have at most."""
    lengths = np.sort(exclusions.lengths)
    return int(lengths[int(USUAL * (len(lengths) - 1))]) if len(lengths) else 0


def _pairs(exclusions: Ragged, n: int) -> Ids:
    """One number per excluded pair: row * n + item; padding is left out."""
    real = exclusions.values != NO_ITEM
    return np.asarray(exclusions.row_ids()[real] * n + exclusions.values[real])


def _replaced(found: TopK, rows: Array, by: TopK) -> TopK:
    items, scores = found.items.copy(), found.scores.copy()
    items[rows], scores[rows] = by.items, by.scores
    return TopK(items, scores)
