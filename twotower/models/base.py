"""`ScoringModel`: the contract of every top-N model; masking, top-k, saving and loading are written here once."""

import inspect
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from twotower.data.split import Split
from twotower.errors import BadInput, BundleError, NotFitted
from twotower.topk import top_k
from twotower.types import Array, Floats, Queries, Ragged, TopK

BLOCK_CELLS = 4_000_000
"""Scores made at once by `recommend`: 16 MB of float32, and 100 MB with what a sparse product needs on the way."""

BLOCK_QUERIES = 4096
"""Queries at once for models that never hold scores of the whole catalogue for each."""


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
        """Ranked lists [B, k] without excluded items, ties by internal id; the same for every block size.

        Raises:
            NotFitted: neither `fit` nor `load` was called.
            BadInput: a history or exclusion names an item beyond the catalogue, or a score is NaN.
        """
        self._check(queries)
        if k < 1:
            raise BadInput(f"k must be at least 1, got {k}")
        answer, start = TopK.nothing(len(queries), k), 0
        for block in queries.blocks(self._block_size()):
            rows = slice(start, start + len(block))
            best = self._best(block, k)
            answer.items[rows], answer.scores[rows] = best.items, best.scores
            start = rows.stop
        return answer

    def _block_size(self) -> int:
        """Queries that `_best` gets at once: as many as keep the memory that it needs within bounds."""
        return max(1, BLOCK_CELLS // self.n_items)

    def _best(self, queries: Queries, k: int) -> TopK:
        """What `score` and `top_k` say of a block of queries; a model that knows a shorter way to it takes that."""
        return top_k(self.score(queries), k, queries.exclusions)

    def options(self) -> dict[str, Any]:
        """The constructor's options as they are now."""
        names = [p for p in inspect.signature(type(self).__init__).parameters if p != "self"]
        return {name: getattr(self, name) for name in names}

    def found_options(self) -> dict[str, Any]:
        """Options that fitting found out, for the last fit on train and validation together (`Split.refit`).

        A model that stops early by validation has nothing left to watch there: it gives the epochs that were best.
        """
        return {}

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
            BundleError: the directory holds no model, another class's, or numbers that are not finite.
        """
        if not (directory / "model.json").exists():
            raise BundleError(f"{directory} holds no saved model (no model.json); give a directory that save wrote")
        facts = json.loads((directory / "model.json").read_text())
        if facts["class"] != cls.__name__:
            raise BundleError(f"{directory} holds a {facts['class']}, not a {cls.__name__}")
        model = cls(**facts["options"])
        model.n_items = facts["n_items"]
        state = load_file(directory / "model.safetensors")
        for name, array in state.items():
            if not np.isfinite(array).all():
                raise BundleError(f"{directory / 'model.safetensors'}: {name} holds NaN or infinite numbers; fit again")
        model.set_state(state)
        return model

    def _check(self, queries: Queries) -> None:
        """Refuses queries that this model cannot read; every `score` begins with it."""
        self._check_fitted()
        refuse_foreign_items(queries.histories, self.n_items, "history")
        refuse_foreign_items(queries.exclusions, self.n_items, "exclusion")

    def _check_fitted(self) -> None:
        if not self.n_items:
            raise NotFitted(f"{type(self).__name__}: call fit or load first")


def refuse_foreign_items(items: Ragged, n_items: int, what: str) -> None:
    """Refuses ids beyond the catalogue; negative ones stand for items that nobody knows and may pass."""
    foreign = items.values >= n_items
    if foreign.any():
        first = int(foreign.argmax())
        raise BadInput(
            f"{what} of query {items.row_ids()[first]} names item {items.values[first]}, but the model knows items "
            f"0..{n_items - 1}; give NO_ITEM (-1) for an unknown item, or fit again on the grown catalogue"
        )
