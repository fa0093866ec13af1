"""`Shown`: what all lists of an examination hold together, counted block by block."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from twotower.metrics.catalogue import (
    coverage,
    diversity_of_units,
    gini,
    novelty,
    popularity_bias,
    shown_counts,
)
from twotower.types import Ids, TopK


class Shown:
    """Items shown at every cut-off, and how different the items of a list are.

    Args:
        popularity: events per item when asked, or when asked first. Shape [N].
        ks: cut-offs.
        features: encoded item features, rows of length 1, for the diversity of lists. Shape [N, F].
    """

    def __init__(self, popularity: Ids, ks: Sequence[int], features: csr_array | None) -> None:
        self._popularity, self._features = popularity, features
        self._counts = {k: np.zeros(len(popularity), np.int64) for k in ks}
        self._apart = dict.fromkeys(ks, (0.0, 0))

    def add(self, topk: TopK) -> None:
        """Takes in some lists."""
        for k, counts in self._counts.items():
            counts += shown_counts(topk.head(k), len(self._popularity))
            if self._features is not None:
                distances = diversity_of_units(topk, self._features, k)
                known, (total, n) = distances[~np.isnan(distances)], self._apart[k]
                self._apart[k] = total + float(known.sum()), n + len(known)

    def figures(self) -> dict[str, float]:
        """Metrics of all lists together, at every cut-off."""
        shown = self._counts.items()
        figures = {f"coverage@{k}": coverage(counts) for k, counts in shown}
        figures |= {f"gini@{k}": gini(counts) for k, counts in shown}
        figures |= {f"novelty@{k}": novelty(counts, self._popularity) for k, counts in shown}
        figures |= {f"popularity_bias@{k}": popularity_bias(counts, self._popularity) for k, counts in shown}
        if self._features is not None:
            figures |= {f"diversity@{k}": total / n if n else float("nan") for k, (total, n) in self._apart.items()}
        return figures
