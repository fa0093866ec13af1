"""Hard negatives: wrong items that the current towers would retrieve, found by search over the current item vectors."""

import numpy as np
import torch
from torch import Tensor

from twotower.training.negatives import some_of
from twotower.types import Ids, Ragged

POOL = 8192
"""Items searched for a batch: all of a small catalogue, a fresh random part of a large one, so that cost is bounded."""
ROUNDING = 1e-5
"""The border's own item, whose cosine is computed anew and comes out a little different, counts as hard."""


@torch.no_grad()
def hard_negatives(
    users: Tensor, index: Tensor, known: Ragged, *, n: int, n_hard: int, rng: np.random.Generator
) -> tuple[Ids, Tensor]:
    """Draws negatives from each user's best wrong items.

    Of a catalogue larger than `POOL`, the best of a random part are taken, in proportion fewer of them: the same ranks
    of the whole catalogue at a bounded price.

    Args:
        users: unit vectors of positions. Shape [P, D].
        index: unit vectors of the catalogue. Shape [N, D].
        known: items that each position's user is known to like. P rows.
        n: negatives per position.
        n_hard: they are drawn from about this many best wrong items of the catalogue.
        rng: decides the part and the draw.

    Returns:
        Internal item ids [P, n], and the cosine that an item needs to be among the best [P].
    """
    n_items = len(index)
    pool = np.arange(n_items) if n_items <= POOL else np.sort(rng.choice(n_items, POOL, replace=False))
    part = index if n_items <= POOL else index[torch.as_tensor(pool, device=index.device)]
    with torch.autocast(users.device.type, enabled=False):  # the border must be comparable with cosines in float32
        scores = users.float() @ part.float().T  # [P, pool]
    column = np.minimum(np.searchsorted(pool, known.values), len(pool) - 1)
    inside = pool[column] == known.values
    rows = torch.as_tensor(known.row_ids()[inside], device=scores.device)
    scores[rows, torch.as_tensor(column[inside], device=scores.device)] = -torch.inf
    width = min(max(n, n_hard * len(pool) // n_items), len(pool))
    best = scores.topk(width, dim=1)
    drawn = some_of(best.values.isfinite().cpu().numpy(), n, rng)  # few items: some of the best are known ones
    items: Ids = pool[np.take_along_axis(best.indices.cpu().numpy(), drawn, axis=1)]
    return items, best.values[:, -1]


@torch.no_grad()
def log_draw_rate(
    cosine: Tensor, border: Tensor, *, n_hard: int, drawn_hard: int, n_items: int, drawn_uniform: int
) -> Tensor:
    """Log of how often each item is expected among a position's negatives, hard and uniform ones together.

    RankNet's softmax subtracts it (logQ correction). Without, RankNet would learn how much likelier an item is than it
    is drawn, and the towers' favourites, drawn most, would sink below items that are hardly ever drawn.

    Args:
        cosine: of positions and items. Shape [P, C].
        border: cosine from which an item counts as hard. Shape [P].
        n_hard: items that the hard negatives are drawn from.
        drawn_hard: hard negatives per position.
        n_items: items that the uniform negatives are drawn from.
        drawn_uniform: uniform negatives per position.

    Returns:
        Shape [P, C].
    """
    hard = (cosine >= border[:, None] - ROUNDING).float() * (drawn_hard / min(n_hard, n_items))
    return (hard + drawn_uniform / n_items).log()
