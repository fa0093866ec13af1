"""What vectors say of items: which are most alike, and what of a history speaks for an item."""

from dataclasses import dataclass

import numpy as np

from twotower.ann.vectors import unit
from twotower.topk import top_k
from twotower.types import Bools, Floats, Ids, Ragged, TopK

BLOCK_ROWS = 1 << 18
"""Item vectors compared at once: 64 MiB at 64 dimensions."""


@dataclass(frozen=True, slots=True)
class Because:
    """An item of a history that speaks for a recommended one, by the cosine of their vectors."""

    item: int
    cosine: float


def similar_items(vectors: Floats, items: Ids, k: int, allowed: Bools | None = None) -> TopK:
    """The k items most like each of some items, themselves left out, ties by id.

    Args:
        vectors: of the catalogue; may be mapped from a file. Shape [N, D].
        items: internal ids. Shape [B].
        k: wanted items.
        allowed: items that may be returned; None: all. Shape [N].

    Returns:
        `TopK` [B, k] with cosines.
    """
    asked = unit(np.asarray(vectors[items], np.float32))
    scores = np.concatenate(
        [
            asked @ unit(np.asarray(vectors[start : start + BLOCK_ROWS])).T
            for start in range(0, len(vectors), BLOCK_ROWS)
        ],
        axis=1,
    )  # [B, N]
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    return top_k(scores, k, Ragged.from_lists([[item] for item in items]))


def vectors_of_histories(histories: Ragged, n_items: int, dim: int = 64) -> Floats:
    """Item vectors whose cosine says by how much the same users touched two items: a truncated SVD of who touched what.

    For models that have no vectors of their own. Users count the less, the more they touched.

    Args:
        histories: internal ids of every user.
        n_items: size of the catalogue.
        dim: most numbers of a vector.

    Returns:
        float32; 0 for items that nobody touched. Shape [N, at most dim].
    """
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    once = histories.first_occurrences()
    weights = 1 / np.sqrt(np.maximum(once.lengths, 1))[once.row_ids()]
    touched = sparse.csr_array((weights, (once.values, once.row_ids())), shape=(n_items, max(1, len(once))))
    if touched.shape[1] <= dim:
        return np.asarray(touched.todense(), np.float32)
    if n_items <= dim:
        values, left = np.linalg.eigh(np.asarray((touched @ touched.T).todense()))
        return np.asarray(left * np.sqrt(np.maximum(values, 0)), np.float32)
    left, values, _ = randomized_svd(touched, dim, random_state=0)
    return np.asarray(left * values, np.float32)


def because(vectors: Floats, item: int, history: Ids, n: int = 3) -> list[Because]:
    """The n items of a history whose vectors are most like an item's, best first, each once.

    Args:
        vectors: of the catalogue. Shape [N, D].
        item: internal id.
        history: internal ids.
        n: how many at most.
    """
    past = np.unique(history)
    likeness = unit(vectors[past]) @ unit(vectors[item])
    order = np.argsort(-likeness, kind="stable")[:n]
    return [Because(int(past[i]), float(likeness[i])) for i in order]
