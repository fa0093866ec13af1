"""What early stopping watches: a sample of the validation users."""

import numpy as np

from twotower.data.split import Split
from twotower.types import Queries, Ragged

WATCHED_USERS, WATCHED_PAIRS = 5_000, 4_000_000_000
"""Validation users, at most, whose MAP@10 decides when to stop; in large catalogues fewer, by user-item pairs."""


def watched_users(split: Split, seed: int) -> tuple[Queries, Ragged]:
    """Validation queries and their targets, a seeded sample of them if there are many."""
    queries, relevant = split.validation.queries(), split.validation.relevant()
    most = min(WATCHED_USERS, max(1, WATCHED_PAIRS // split.train.n_items))
    if len(queries) <= most:
        return queries, relevant
    rows = np.sort(np.random.default_rng(seed).choice(len(queries), most, replace=False))
    return queries.take(rows), relevant.take(rows)
