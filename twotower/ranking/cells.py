"""`RankNetCells`: RankNet over the cells of a catalogue, each as the item that its members are on average."""

import numpy as np
import torch

from twotower.ann.cells import Cells
from twotower.ann.vectors import unit
from twotower.ranking.ranker import RankNetRanker
from twotower.types import Floats, Queries


class RankNetCells:
    """A `CellScorer` (`retrieval.cluster`).

    The deep part reads the centroid, at unit length like every item vector. The wide part is linear in the one-hot
    values of an item, so its sum for a cell's mean values (what one-many encoding gives) is the mean of its members'
    sums: that is a centroid's wide part. An empty cell has none.
    """

    def __init__(self, ranker: RankNetRanker, cells: Cells) -> None:
        """Takes what is needed of the cells once.

        Args:
            ranker: RankNet and the towers.
            cells: over the items that the ranker knows.
        """
        self.ranker = ranker
        device = ranker.wide_items.device
        shares = ranker.wide_items.cpu().numpy()[cells.members.values]
        totals = np.bincount(cells.members.row_ids(), shares, minlength=len(cells))
        wide = (totals / np.maximum(cells.members.lengths, 1)).astype(np.float32)
        self._wide = torch.as_tensor(wide, device=device)
        self._centroids = torch.as_tensor(unit(cells.centroids), device=device)

    def scores(self, queries: Queries) -> Floats:
        """RankNet's logit of every cell. Shape [B, C]."""
        return self.ranker.scores_of(queries, self._centroids, self._wide)
