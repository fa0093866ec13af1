"""`best_products`: the items of the largest inner products, exact, the same for every block size and thread count."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from twotower.ann.faiss_products import nearest
from twotower.errors import BadInput
from twotower.topk import best_of_pairs, candidates_of, mask_excluded, rescore, row_parts, sieve
from twotower.types import NO_ITEM, Array, Bools, Floats, Ids, Ragged, TopK

MARGIN = 16
"""Items compared exactly beyond the k wanted ones."""
SHARE = 1 / 16
"""Share of the catalogue up to which a longer list is fetched; beyond it all scores of a query are held at once."""
FEW = 1 / 16
"""Share of the catalogue below which what competes is scored pair by pair."""
BLOCK_BYTES = 1 << 25
"""Of the largest array of each step: 32 MiB."""
PAIR_BYTES = 1 << 20
"""Of the vectors that are gathered and widened at once: they stay in the processor's caches."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemVectors:
    """Item vectors that queries are compared with, and the length of the longest.

    Attributes:
        values: float32, rows one after the other. Shape [N, D].
        longest: bounds what rounding does to a product.
    """

    values: Floats
    longest: float

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Measures them."""
        values = np.ascontiguousarray(values, np.float32)
        squares = np.einsum("nd,nd->n", values, values, dtype=np.float64)
        return cls(values, float(np.sqrt(squares.max(initial=0.0))))

    def __len__(self) -> int:
        return len(self.values)

    def slack(self, queries: Floats) -> Floats:
        """How far a float32 product of a query and any item may be from its true value. Shape [B].

        A sum of D products, in whatever order, is off by at most D · 2⁻²⁴ · |x| |y| (Cauchy and Schwarz).
        """
        lengths = np.sqrt(np.einsum("bd,bd->b", queries, queries, dtype=np.float64))
        return np.asarray((queries.shape[1] + 2) * 2.0**-24 * lengths * self.longest, np.float32)


def best_products(queries: Floats, items: ItemVectors, exclude: Ragged, k: int) -> TopK:
    """The k largest products of every query without its exclusions, ties by item. Shape [B, k].

    Float32 products, whose last bits depend on what else is in a block, only find candidates, and so many that nothing
    can be missing; what stands in the list is scored pair by pair (`pair_products`). There are three ways to
    candidates: fetch as many more as are excluded; hold all scores of a few queries; or, where nearly everything is
    excluded as in sampled protocols, take what is left. Which way is taken changes no list.

    Args:
        queries: float32. Shape [B, D].
        items: of the whole catalogue. N of them.
        exclude: items that must not be returned. B rows.
        k: wanted items.

    Raises:
        BadInput: a vector holds NaN or infinite numbers.
    """
    _refuse_nan(queries, items)
    n, answer = len(items), TopK.nothing(len(queries), k)
    fetch = k + MARGIN + exclude.lengths  # [B]
    few, short = exclude.lengths > (1 - FEW) * n, fetch <= SHARE * n
    left = [np.flatnonzero(~few & ~short)]
    for rows, width in _of_like_width(np.flatnonzero(short), fetch):
        best, doubtful = _by_longer_list(queries[rows], items, exclude.take(rows), k, width)
        answer.items[rows], answer.scores[rows] = best.items, best.scores
        left.append(rows[doubtful])
    for rows, way in ((np.flatnonzero(few), _by_what_is_left), (np.concatenate(left), _by_all_scores)):
        for part in row_parts(len(rows), 4 * n, BLOCK_BYTES):
            chosen = rows[part]
            best = way(queries[chosen], items, exclude.take(chosen), k)
            answer.items[chosen], answer.scores[chosen] = best.items, best.scores
    return answer


def pair_products(queries: Floats, items: Ids, vectors: Floats) -> Floats:
    """Products of chosen pairs, each the same whatever stands beside it; padding gets -inf. Shape [B, C].

    Worked out in float64 and rounded once, as `products` of all pairs are; two float32 numbers multiply without error
    there, so that only the order of a sum that is much finer than the result is left open, and here it is fixed.

    Args:
        queries: float32. Shape [B, D].
        items: rows of `vectors`, `NO_ITEM` for none. Shape [B, C].
        vectors: float32. Shape [N, D].
    """
    scores = np.empty(items.shape, np.float32)
    for rows in row_parts(len(queries), 8 * items.shape[1] * queries.shape[1], PAIR_BYTES):
        near = vectors[np.maximum(items[rows], 0)].astype(np.float64)  # [b, C, D]
        scores[rows] = np.vecdot(near, queries[rows, None].astype(np.float64))
    scores[items == NO_ITEM] = -np.inf
    return scores


def _by_longer_list(queries: Floats, items: ItemVectors, exclude: Ragged, k: int, width: int) -> tuple[TopK, Bools]:
    """Best of the `width` largest products; true where something that is not among them may be as good. [B, k], [B]."""
    found = sieve(nearest(queries, items.values, width, "inner_product"), exclude, k + MARGIN)
    best = rescore(found, pair_products(queries, found.items, items.values), k)
    return best, np.asarray(best.scores[:, -1] - found.scores[:, -1] <= items.slack(queries))


def _by_all_scores(queries: Floats, items: ItemVectors, exclude: Ragged, k: int) -> TopK:
    """Best of all products that come near the k-th largest. Shape [B, k]."""
    scores = queries @ items.values.T  # [B, N]
    mask_excluded(scores, exclude, slice(0, len(queries)))
    row, item = candidates_of(scores, k, 2 * items.slack(queries))
    return _best_of(queries, items, row, item, k)


def _by_what_is_left(queries: Floats, items: ItemVectors, exclude: Ragged, k: int) -> TopK:
    """Best of what is not excluded, each scored. Shape [B, k]."""
    competes = np.ones((len(queries), len(items)), np.bool_)
    known = exclude.values != NO_ITEM
    competes[exclude.row_ids()[known], exclude.values[known]] = False
    row, item = np.nonzero(competes)
    return _best_of(queries, items, row, item, k)


def _best_of(queries: Floats, items: ItemVectors, row: Ids, item: Ids, k: int) -> TopK:
    """The k best of candidates, given as pairs [P]. Shape [B, k]."""
    scores = np.empty(len(row), np.float32)
    for part in row_parts(len(row), 16 * queries.shape[1], BLOCK_BYTES):
        scores[part] = pair_products(queries[row[part]], item[part, None], items.values)[:, 0]
    return best_of_pairs(row, item, scores, k, len(queries))


def _of_like_width(rows: Ids, width: Array) -> Iterator[tuple[Ids, int]]:
    """Rows in groups that are fetched together, so that a user of many exclusions costs the others nothing."""
    rung = np.ceil(np.log2(width[rows]) * 2).astype(np.int64)  # within a group widths differ by at most √2
    for own in np.unique(rung):
        group = rows[rung == own]
        widest = int(width[group].max())
        yield from ((group[part], widest) for part in row_parts(len(group), 64 * widest, BLOCK_BYTES))


def _refuse_nan(queries: Floats, items: ItemVectors) -> None:
    if not np.isfinite(items.longest):
        raise BadInput("item vectors hold NaN or infinite numbers; check the model's input and weights")
    broken = ~np.isfinite(queries).all(axis=1)
    if broken.any():
        raise BadInput(f"scores of query {int(broken.argmax())} hold NaN; check the model's input and weights")
