"""`Scorer`: the contract of what turns pair features into one number."""

from abc import ABC, abstractmethod

from twotower.models.second_stage.examples import Examples
from twotower.training.context import FitContext
from twotower.types import Array, Floats


class Scorer(ABC):
    """Learns from `Examples` which candidates come true; keeps what it learnt as plain arrays."""

    @abstractmethod
    def fit(self, examples: Examples, context: FitContext) -> None:
        """Learns."""

    @abstractmethod
    def scores(self, features: Floats) -> Floats:
        """A number for each pair, higher is better; a pair's does not depend on the others. [P, F] → [P]."""

    @abstractmethod
    def state(self) -> dict[str, Array]:
        """Everything learnt."""

    @abstractmethod
    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
