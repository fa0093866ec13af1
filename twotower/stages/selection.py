"""The last stage: which of the ranked candidates make the list: boosts lift items, diversity spreads them (MMR)."""

from dataclasses import dataclass

import numpy as np

from twotower.ann.vectors import unit
from twotower.topk import rescore
from twotower.types import NO_ITEM, Floats, TopK


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Chooses k of each query's ranked candidates.

    Attributes:
        boosts: what is added to an item's score, in standard deviations of the scores of a query's candidates, so that
            1 means as much for any model; None: nothing. Shape [N].
        diversity: 0 keeps the order of scores; above, items are taken one by one by maximal marginal relevance:
            (1 - diversity) · relevance - diversity · largest cosine with what was taken, relevance being the score
            scaled to 0..1 among the candidates (Carbonell & Goldstein 1998).
        vectors: whose cosines say how alike items are; needed for diversity. Shape [N, D].
    """

    boosts: Floats | None = None
    diversity: float = 0.0
    vectors: Floats | None = None

    def __call__(self, ranked: TopK, k: int) -> TopK:
        """The chosen items, in the order in which they were chosen, with their boosted scores. Shape [B, k]."""
        if self.boosts is not None:
            ranked = boosted(ranked, self.boosts)
        if not self.diversity or self.vectors is None:
            return ranked.padded(k)
        chosen = TopK.nothing(len(ranked), k)
        for row in range(len(ranked)):
            n = int((ranked.items[row] != NO_ITEM).sum())
            items, scores = ranked.items[row, :n], ranked.scores[row, :n]
            places = _spread(scores, unit(np.asarray(self.vectors[items], np.float32)), k, self.diversity)
            chosen.items[row, : len(places)], chosen.scores[row, : len(places)] = items[places], scores[places]
        return chosen


def boosted(ranked: TopK, boosts: Floats) -> TopK:
    """The candidates in the order of score + boost · standard deviation of the query's scores. Shape [B, C]."""
    there = ranked.items != NO_ITEM
    scores = np.where(there, ranked.scores, np.nan)
    counts = np.maximum(there.sum(axis=1, keepdims=True), 1)
    mean = np.nansum(scores, axis=1, keepdims=True) / counts
    spread = np.sqrt(np.nansum((scores - mean) ** 2, axis=1, keepdims=True) / counts)
    spread = np.where(spread > 0, spread, 1)  # equal scores: any boost decides
    lifted = scores + boosts[np.maximum(ranked.items, 0)] * spread
    return rescore(ranked, np.where(there, lifted, -np.inf).astype(np.float32), ranked.k)


def _spread(scores: Floats, vectors: Floats, k: int, diversity: float) -> list[int]:
    """Places of the k items of maximal marginal relevance among candidates, best first; ties by place."""
    if not len(scores):
        return []
    low, high = float(scores.min()), float(scores.max())
    relevance = (scores - low) / (high - low) if high > low else np.ones_like(scores)
    nearest = np.full(len(scores), -1.0, np.float32)  # of nothing taken yet every item is equally far
    taken: list[int] = []
    free = np.ones(len(scores), np.bool_)
    while len(taken) < min(k, len(scores)):
        value = (1 - diversity) * relevance - diversity * nearest
        best = int(np.where(free, value, -np.inf).argmax())
        taken.append(best)
        free[best] = False
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return taken
