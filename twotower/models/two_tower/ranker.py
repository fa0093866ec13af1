"""`RankNetRanker`: RankNet over the candidates of each query, in blocks."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twotower.ann.cells import Cells
from twotower.ann.vectors import unit
from twotower.errors import BadConfig
from twotower.models.two_tower.full_scoring import EveryItem
from twotower.models.two_tower.rank_net import RankNet
from twotower.topk import rescore
from twotower.types import Floats, Ids, Queries, TopK

PAIRS = 1 << 18
"""Query-item pairs scored at once: about 250 MB of activations at dim 64."""


class States(Protocol):
    """What the first stage knows of B queries."""

    @property
    def vectors(self) -> Tensor:
        """Unit vectors. Shape [B, D]."""
        ...

    @property
    def wide(self) -> Tensor:
        """The users' share of the wide part. Shape [B]."""
        ...


class Encoder(Protocol):
    """What the ranker needs of the towers (`retrieval.encoder.TowerEncoder`)."""

    @property
    def items(self) -> Tensor:
        """Unit vectors of the catalogue. Shape [N, D]."""
        ...

    def encode(self, queries: Queries) -> States:
        """Runs UserNet."""
        ...


class RankNetRanker:
    """A `Ranker`: the same candidates in RankNet's order.

    Args:
        rank_net: the trained scorer, in evaluation mode; called with users [P, D], items [P, C, D], wide [P, C].
        encoder: the towers.
        wide_items: the items' share of the wide part. Shape [N].
    """

    def __init__(self, rank_net: torch.nn.Module, encoder: Encoder, wide_items: Tensor) -> None:
        self.rank_net = rank_net
        self.encoder = encoder
        self.wide_items = wide_items

    def rank(self, queries: Queries, candidates: TopK) -> TopK:
        """Candidates [B, C] with RankNet's logits as scores, best first, ties by item id; padding stays last."""
        return rescore(candidates, self.scores(queries, candidates), candidates.k)

    @torch.inference_mode()
    def scores(self, queries: Queries, candidates: TopK) -> Floats:
        """RankNet's logit of every candidate; what stands at padding means nothing. Shape [B, C]."""
        if not candidates.k or not len(queries):
            return candidates.scores.copy()
        states = self.encoder.encode(queries)
        size = max(1, PAIRS // candidates.k)
        blocks = np.array_split(np.arange(len(queries)), -(-len(queries) // size))
        return np.concatenate([self._block(states, rows, candidates) for rows in blocks])

    @torch.inference_mode()
    def scores_of(self, queries: Queries, vectors: Tensor, wide: Tensor) -> Floats:
        """RankNet's logits of anything that has an item's parts, the same for every query.

        Args:
            queries: who is asked for. B of them.
            vectors: unit vectors. Shape [C, D].
            wide: shares of the wide part. Shape [C].

        Returns:
            Shape [B, C].
        """
        states = self.encoder.encode(queries)
        size = max(1, PAIRS // max(1, len(vectors)))
        blocks = [np.empty((0, len(vectors)), np.float32)]
        for start in range(0, len(queries), size):
            rows = slice(start, start + size)
            logits = self.rank_net(states.vectors[rows], vectors[None], states.wide[rows, None] + wide)
            blocks.append(logits.float().cpu().numpy())
        return np.concatenate(blocks)

    @torch.inference_mode()
    def scores_everywhere(self, queries: Queries, items: Ids) -> Floats:
        """RankNet's logits of the same items for every query; equal to `scores` up to rounding. Shape [B, len(items)].

        Raises:
            BadConfig: the scorer is no `RankNet`.
        """
        if not isinstance(self.rank_net, RankNet):
            raise BadConfig(f"scores of every item need a RankNet, not a {type(self.rank_net).__name__}")
        rows = torch.as_tensor(items, device=self.wide_items.device)
        states = self.encoder.encode(queries)
        every = EveryItem(self.rank_net, self.encoder.items[rows], self.wide_items[rows])
        logits: Floats = every.scores(states.vectors, states.wide).float().cpu().numpy()
        return logits

    def cell_scorer(self, cells: Cells) -> "RankNetCells":
        """RankNet over the cells of a catalogue that the ranker knows."""
        return RankNetCells(self, cells)

    def _block(self, states: States, rows: np.ndarray, candidates: TopK) -> Floats:
        device = states.vectors.device
        items = torch.as_tensor(np.maximum(candidates.items[rows], 0), device=device)
        chosen = torch.as_tensor(rows, device=device)
        wide = states.wide[chosen][:, None] + self.wide_items[items]
        logits = self.rank_net(states.vectors[chosen], F.embedding(items, self.encoder.items), wide)
        scores: Floats = logits.float().cpu().numpy()
        return scores


class RankNetCells:
    """A `CellScorer` (`stages.cluster_retriever`).

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
