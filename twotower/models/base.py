"""`ScoringModel`: the contract of every top-N model; masking, top-k, saving and loading are written here once."""

import inspect
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from twotower.data.split import Split
from twotower.errors import BundleError, NotFitted
from twotower.topk import top_k
from twotower.types import Array, Floats, Queries, TopK

BLOCK_CELLS = 50_000_000
"""Scores held at once by `recommend`: 200 MB of float32."""


class ScoringModel(ABC):
    """A model that scores the whole catalogue for each query.

    A subclass takes plain keyword options in its constructor and keeps each under the same name, fits in `fit`,
    scores in `score`, and gives all that it learnt as arrays in `state` / `set_state`.
    A user without history who is unknown gets the same scores as any other such user, never an error.
    """

    n_items: int = 0

    @abstractmethod
    def fit(self, split: Split) -> Self:
        """Learns from `split.train` (and may watch `split.validation`); the same seed gives the same model."""

    @abstractmethod
    def score(self, queries: Queries) -> Floats:
        """Scores of the whole catalogue, higher is better. Shape [B, N]."""

    @abstractmethod
    def state(self) -> dict[str, Array]:
        """Everything learnt, as named arrays."""

    @abstractmethod
    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""

    def recommend(self, queries: Queries, k: int) -> TopK:
        """Ranked lists [B, k] without excluded items, ties by internal id; the same for every block size."""
        self._check_fitted()
        size = max(1, BLOCK_CELLS // max(1, self.n_items))
        blocks = [top_k(self.score(block), k, block.exclusions) for block in queries.blocks(size)]
        return TopK.concatenate(blocks) if blocks else TopK(np.empty((0, k), np.int64), np.empty((0, k), np.float32))

    def options(self) -> dict[str, Any]:
        """The constructor's options as they are now."""
        names = [p for p in inspect.signature(type(self).__init__).parameters if p != "self"]
        return {name: getattr(self, name) for name in names}

    def save(self, directory: Path) -> None:
        """Writes options and learnt arrays (JSON and safetensors) into a directory that is made if needed."""
        self._check_fitted()
        directory.mkdir(parents=True, exist_ok=True)
        arrays = {name: np.ascontiguousarray(a) for name, a in self.state().items()}
        save_file(arrays, directory / "model.safetensors")
        facts = {"class": type(self).__name__, "n_items": self.n_items, "options": self.options()}
        (directory / "model.json").write_text(json.dumps(facts, indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote.

        Raises:
            BundleError: the directory holds another class's model.
        """
        facts = json.loads((directory / "model.json").read_text())
        if facts["class"] != cls.__name__:
            raise BundleError(f"{directory} holds a {facts['class']}, not a {cls.__name__}")
        model = cls(**facts["options"])
        model.n_items = facts["n_items"]
        model.set_state(load_file(directory / "model.safetensors"))
        return model

    def _check_fitted(self) -> None:
        if not self.n_items:
            raise NotFitted(f"{type(self).__name__}: call fit or load first")
