"""`Covisitation`: how often the candidate was touched by the users who touched the items of the history."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from twotower.models.matrix import pair_matrix
from twotower.models.neighbours import nearest_items
from twotower.models.second_stage.columns import ItemColumns
from twotower.models.second_stage.moment import Asked, Moment
from twotower.models.second_stage.pair_feature import PairFeature, Tables
from twotower.types import Floats, Ids, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Covisitation(PairFeature):
    """Cosines between the candidate's users and those of the newest events: the strongest, and the decayed sum.

    Attributes:
        recent: newest events that are compared.
        half_life: days after which an event counts half in the sum.
        n_neighbours: neighbours kept for each item; others count as 0.
        shrinkage: added to the cosine's denominator, so that chance meetings of few users count little.
    """

    name: ClassVar[str] = "covisitation"
    recent: int = 40
    half_life: float = 7.0
    n_neighbours: int = 100
    shrinkage: float = 3.0

    def tables(self, moment: Moment, columns: ItemColumns) -> Tables:
        """Neighbour lists of all items, each list rising by item."""
        users = pair_matrix(moment.events)
        users.data = np.ones_like(users.data)
        near = nearest_items(users, self.n_neighbours, self.shrinkage)
        near.sort_indices()
        return {"starts": near.indptr.astype(np.int64), "near": near.indices.astype(np.int32), "cosine": near.data}

    def names(self, columns: ItemColumns) -> list[str]:
        """The strongest and the sum."""
        return ["covisitation: most", "covisitation: sum"]

    def values(self, asked: Asked, items: Ids, columns: ItemColumns, tables: Any) -> Floats:
        """Cosines, 0 where no neighbour was touched. Shape [B, C, 2]."""
        part = asked.last(self.recent)
        worth = part.weights(self.half_life)
        row, column = np.nonzero(part.items >= 0)
        touched = part.items[row, column]
        starts, lengths = tables["starts"][touched], np.diff(tables["starts"])[touched]
        entry = runs(starts, lengths)
        query, weight = np.repeat(row, lengths), np.repeat(worth[row, column], lengths)
        n = len(tables["starts"])
        keys = query * n + tables["near"][entry]
        order = np.argsort(keys, kind="stable")
        keys, cosine = keys[order], tables["cosine"][entry][order]
        weighted = np.concatenate([[0.0], np.cumsum(cosine.astype(np.float64) * weight[order])])
        first = np.flatnonzero(np.diff(keys, prepend=-1))  # where the entries of another query and item begin
        most = np.maximum.reduceat(cosine, first) if len(first) else cosine
        distinct, ends = keys[first], np.append(first[1:], len(keys))
        total = weighted[ends] - weighted[first] if len(first) else most
        wanted = np.arange(len(items))[:, None] * n + items
        place = np.minimum(np.searchsorted(distinct, wanted), max(0, len(distinct) - 1))
        if not len(distinct):
            return np.zeros((*items.shape, 2), np.float32)
        hit = distinct[place] == wanted
        return np.stack([np.where(hit, most[place], 0), np.where(hit, total[place], 0)], axis=-1).astype(np.float32)
