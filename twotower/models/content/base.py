"""`ContentModel`: the contract of models that weigh the tokens of items for each user."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from twotower.data.split import Split
from twotower.models.base import BLOCK_CELLS, ScoringModel
from twotower.models.content.tokens import tf_idf, token_counts
from twotower.models.matrix import Sparse, all_zero, popularity, with_fallback
from twotower.models.options import at_least, count, not_negative, require
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Floats, Queries


@dataclass(kw_only=True, eq=False, repr=False)
class ContentModel(ScoringModel):
    """Score of item i = token weights of the user · x_i · |tokens of i|^length_power, x_i the unit TF-IDF row of i.

    A subclass says in `token_weights` what the items of a history say of tokens. A user of whom nothing is known gets
    the popular list.

    Attributes:
        tf_power: exponent of a token's weight in an item, such as how many people gave a tag; 0: all alike.
        idf_power: exponent of a token's rarity.
        length_power: above 0 items of which more is known come first.
        min_count: tokens of fewer items with training events are left out.
        n_bins: bins of equal count for every number.
        exclude: item columns to leave out.
    """

    serves_new_items = True

    tf_power: float = 0.5
    idf_power: float = 1.0
    length_power: float = 0.0
    min_count: int = 1
    n_bins: int = 10
    exclude: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(self, tf_power=not_negative, idf_power=not_negative, min_count=count, n_bins=at_least(2))
        self.exclude = list(self.exclude)
        self._items: Sparse = sparse.csr_array(np.zeros((0, 0), np.float32))
        self._worth: Floats = np.empty(0, np.float32)
        self._popular: Floats = np.empty(0, np.float32)

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Weighs the tokens of the catalogue as first published; what the subclass learns comes from `split.train`."""
        self._popular = popularity(split.train)
        seen = self._popular > 0
        counts = token_counts(
            split.dataset.items, seen, n_bins=self.n_bins, min_count=self.min_count, exclude=self.exclude
        )
        content = tf_idf(counts, seen, tf_power=self.tf_power, idf_power=self.idf_power)
        self._items = content.items
        self._worth = np.where(content.lengths > 0, content.lengths, 1) ** np.float32(self.length_power)
        self.n_items = split.train.n_items
        self.learn(split)
        return self

    def learn(self, split: Split) -> None:
        """What is learnt beside the tokens; nothing unless a subclass says so."""

    @abstractmethod
    def token_weights(self, queries: Queries) -> Floats:
        """What each user makes of each token; 0 throughout where nothing is known. float32. Shape [B, T]."""

    def score(self, queries: Queries) -> Floats:
        """Products of token weights and tokens; the popular list for users of whom nothing is known. Shape [B, N]."""
        self._check(queries)
        weights = self.token_weights(queries)
        products = (self._items @ np.ascontiguousarray(weights.T)) * self._worth[:, None]  # [N, B]
        scores = self.completed(np.ascontiguousarray(products.T))
        return with_fallback(scores, self._popular, all_zero(weights))

    def completed(self, scores: Floats) -> Floats:
        """Scores with what stands in where content says nothing; as they are unless a subclass says so. [B, N]."""
        return scores

    def _block_size(self) -> int:
        return max(1, BLOCK_CELLS // max(self._items.shape))

    def state(self) -> dict[str, Array]:
        """Tokens in CSR form, worth and popularity of items [N]."""
        x = self._items
        tokens = {"indptr": x.indptr, "indices": x.indices, "values": x.data, "n_tokens": np.array([x.shape[1]])}
        return {**tokens, "worth": self._worth, "popular": self._popular}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        parts = (state["values"], state["indices"], state["indptr"])
        self._worth, self._popular = state["worth"], state["popular"]
        self._items = sparse.csr_array(parts, shape=(len(self._popular), int(state["n_tokens"][0])))
