"""`ListRetriever`: the first stage of a model without vectors: its own lists, which no filter can shorten."""

from dataclasses import replace

import numpy as np

from twotower.protocols import Recommender
from twotower.topk import allowed_lists
from twotower.types import UNKNOWN_USER, Bools, Floats, Queries, TopK

BLOCK_PLACES = 1 << 24
"""Places of lists held at once while a filter asks for longer ones: 200 MiB."""


class ListRetriever:
    """The best allowed items of each query, as a recommender orders them.

    What a filter takes out of a list is made up for by asking for a longer one, in the last resort for the whole
    catalogue.
    """

    vectors: Floats | None = None

    def __init__(self, recommender: Recommender, n_items: int) -> None:
        """Wraps a recommender.

        Args:
            recommender: makes the lists.
            n_items: size of its catalogue.
        """
        self.recommender = recommender
        self.n_items = n_items

    def knows(self, queries: Queries) -> Bools:
        """All queries of known users or with a history; of a model that is the same to everybody, all. Shape [B]."""
        if not getattr(self.recommender, "personal", True):
            return np.ones(len(queries), np.bool_)
        return np.asarray((queries.users != UNKNOWN_USER) | (queries.histories.lengths > 0))

    def available(self, allowed: Bools | None = None) -> Bools | None:
        """All that is allowed. Shape [N]."""
        return allowed

    def retrieve(self, queries: Queries, k: int, allowed: Bools | None = None) -> TopK:
        """The k best allowed items of each query without its exclusions; padded where fewer are left. Shape [B, k]."""
        if allowed is None:
            return self.recommender.recommend(queries, k)
        asked = replace(queries, allowed=allowed)
        blocks = [
            allowed_lists(self.recommender, block, k) for block in asked.blocks(max(1, BLOCK_PLACES // self.n_items))
        ]
        return TopK.concatenate(blocks) if blocks else TopK.nothing(0, k)
