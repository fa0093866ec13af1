"""`ContentKNN`: items whose content is nearest to that of the items in the history."""

from dataclasses import dataclass

import numpy as np

from twotower.models.content.base import ContentModel
from twotower.models.matrix import history_matrix
from twotower.models.neighbours import ages
from twotower.models.options import not_negative, or_none, positive, require
from twotower.types import Floats, Queries


@dataclass(kw_only=True, eq=False, repr=False)
class ContentKNN(ContentModel):
    """Score of item j = cos(x_j, Σ over the history's items i of r_i · n_i^-popularity_power · x_i).

    x are the items' tokens weighted by TF-IDF, n_i the users who touched item i and r_i = 2^(-age / half_life), where
    the newest event of the history has age 0; 1 for all without `half_life`. Items that share no token with the
    history follow in order of popularity, with scores just below 0.

    Relations: the profile of Rocchio's relevance feedback without negative examples; `ItemKNN` with content instead
    of users. Nothing is learnt of taste, so it is the yardstick of every model that claims to find new items.

    Source: Lops, de Gemmis & Semeraro 2011, "Content-based recommender systems: state of the art and trends", 3.3.1;
    Salton & Buckley 1988 (TF-IDF).

    Attributes:
        popularity_power: above 0 a liked item that everybody knows says less.
        half_life: events of a history after which an item counts half; None counts all alike.
    """

    popularity_power: float = 0.0
    half_life: float | None = None

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        ContentModel.__post_init__(self)
        require(self, popularity_power=not_negative, half_life=or_none(positive))

    def token_weights(self, queries: Queries) -> Floats:
        """The unit vector of the history's content. Shape [B, T]."""
        histories = queries.histories
        weight = (
            np.ones(len(histories.values)) if self.half_life is None else np.exp2(-ages(histories) / self.half_life)
        )
        touched = np.maximum(self._popular, 1)[histories.values] if len(self._popular) else 1
        liked = history_matrix(histories, self.n_items, weight * touched**-self.popularity_power)
        profile = (liked @ self._items).toarray()
        lengths = np.sqrt(np.einsum("bt,bt->b", profile, profile))
        return np.asarray(profile / np.where(lengths > 0, lengths, 1)[:, None], np.float32)

    def completed(self, scores: Floats) -> Floats:
        """Items without a common token by popularity, in [-.001, 0). Shape [B, N]."""
        unreached = (self._popular / (self._popular.max() + 1) - 1) / 1000  # [N]
        return np.where(scores > 0, scores, unreached).astype(np.float32)
