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
