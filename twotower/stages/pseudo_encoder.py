"""`PseudoEncoder`: asks for items like those of the user's history, by the mean of their vectors."""

import numpy as np

from twotower.ann.vectors import unit
from twotower.protocols import Metric
from twotower.stages.retriever import UserEncoder
from twotower.types import Floats, Queries, Ragged


class PseudoEncoder:
    """A `UserEncoder`: the interaction-weighted mean of the item vectors of each query's most recent events.

    Every event counts once, so an item that was touched three times weighs three times as much. Weights by kind of
    event are not used: queries carry items, not kinds. Unit length unless the metric is Euclidean, whose order depends
    on the length. A query without history, or whose history's vectors cancel out, keeps the vector of its user.

    Needs no common space of users and items, only one of items among themselves.

    Source: Kurovski (2017), LOPQ candidates, strategy "pseudo". That only recent events count stands for the 30 days
    that a profile looks back there.
    """

    def __init__(self, encoder: UserEncoder, vectors: Floats, metric: Metric, *, recent: int = 100) -> None:
        """Wraps an encoder.

        Args:
            encoder: of the queries without history.
            vectors: of the items. Shape [N, D].
            metric: of the index that is asked.
            recent: how many of the newest events are read.
        """
        self.encoder = encoder
        self.vectors = vectors
        self.metric = metric
        self.recent = recent

    def user_vectors(self, queries: Queries) -> Floats:
        """Mean item vectors of the queries' histories. Shape [B, D]."""
        means = self._means(queries.histories.known().last(self.recent))
        usable = np.linalg.norm(means, axis=1) > 0
        if usable.all():
            return means
        return np.where(usable[:, None], means, self.encoder.user_vectors(queries))

    def _means(self, histories: Ragged) -> Floats:
        """Zero where a history is empty. Shape [B, D]."""
        means = np.zeros((len(histories), self.vectors.shape[1]), np.float32)
        some = np.flatnonzero(histories.lengths)
        if len(some):
            sums = np.add.reduceat(self.vectors[histories.values], histories.offsets[some], axis=0)
            means[some] = sums / histories.lengths[some, None]
        return means if self.metric == "euclidean" else unit(means)
