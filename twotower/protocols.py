"""The contracts at the seams: who retrieves, ranks, recommends, predicts values, finds nearest vectors."""

from pathlib import Path
from typing import Literal, Protocol, Self, runtime_checkable

from twotower.types import Floats, Ids, Queries, Times, TopK

Metric = Literal["inner_product", "cosine", "euclidean"]


@runtime_checkable
class Recommender(Protocol):
    """Anything that turns queries into ranked lists, whatever is inside."""

    def recommend(self, queries: Queries, k: int) -> TopK:
        """Ranked lists [B, k] without excluded items."""
        ...


@runtime_checkable
class Ranker(Protocol):
    """Second stage: rescores the candidates that it is given."""

    def rank(self, queries: Queries, candidates: TopK) -> TopK:
        """The same candidates [B, C] in a new order with new scores."""
        ...


@runtime_checkable
class PairPredictor(Protocol):
    """Predicts a value for a pair of user and item: a rating, or the probability of a like where values are 0 and 1."""

    def predict(self, users: Ids, items: Ids, at: Times | None = None) -> Floats:
        """Predicted values of pairs of internal ids, at moments in seconds since the epoch if it matters. Shape [P]."""
        ...


@runtime_checkable
class VectorIndex(Protocol):
    """Vectors in, nearest vectors out; knows nothing of users or items."""

    metric: Metric
    dim: int
    exact: bool

    def __len__(self) -> int: ...

    def search(self, vectors: Floats, k: int) -> TopK:
        """[B, D] -> [B, k]; scores are higher-is-better (Euclidean: the negated distance)."""
        ...

    def save(self, directory: Path) -> None:
        """Writes everything that `load` needs into an existing directory."""
        ...

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote."""
        ...
