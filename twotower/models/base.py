"""`Model`: what can be fitted, tuned, saved, published and asked for lists; `ScoringModel` scores whole catalogues."""

import inspect
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from twotower.allowed import MODEL, named_class
from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.errors import BadConfig, BadInput, BundleError, NotFitted
from twotower.models.checks import check_queries
from twotower.models.facade import FitsDataSets, changed_options
from twotower.protocols import Ranker
from twotower.topk import top_k
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Floats, Queries, TopK

BLOCK_CELLS = 4_000_000
"""Scores made at once by `recommend`: 16 MB of float32, and 100 MB with what a sparse product needs on the way."""

BLOCK_QUERIES = 4096
"""Queries at once for models that never hold scores of the whole catalogue for each."""
LONGEST_REPR = 120
"""Characters of options in a `repr`."""
FACTS, ARRAYS = "model.json", "model.safetensors"


class Model(FitsDataSets, ABC):
    """Whatever can be fitted, tuned, saved, published as a run and asked for lists.

    A subclass is a keyword-only dataclass: its fields are its options, each written once with its default; `require`
    in `__post_init__` holds their ranges. It fits in `fit` and gives all that it learnt as arrays in `state`.

    Attributes:
        n_items: size of the catalogue that was learnt; 0 before.
        personal: lists differ from user to user.
        reads_users: users are known by their features, even those without events.
        serves_new_users: a user who is unknown, but brings a history, is served from it.
        serves_new_items: items without training events are recommended for what they are.
        has_vectors: scores are products of `user_vectors` and `item_vectors`, so the model can be indexed.
        predicts_values: `predict` says which value a user would give an item.
        refits: the last fit learns from validation too; a model that does not watches it to the end.
    """

    n_items: int = 0
    personal: ClassVar[bool] = True
    reads_users: ClassVar[bool] = False
    serves_new_users: ClassVar[bool] = True
    serves_new_items: ClassVar[bool] = False
    has_vectors: ClassVar[bool] = False
    predicts_values: ClassVar[bool] = False
    refits: ClassVar[bool] = True

    @abstractmethod
    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Learns from `split.train` (and may watch `split.validation`); the same seed gives the same model.

        Given a `Dataset` instead, it learns from all events and gives a `FittedModel`, see there.
        """

    @abstractmethod
    def recommend(self, queries: Queries, k: int) -> TopK:
        """Ranked lists [B, k] of allowed items without excluded ones, ties by internal id; for any block size the same.

        Raises:
            NotFitted: neither `fit` nor `load` was called.
            BadInput: a history or exclusion names an item beyond the catalogue, or a score is NaN.
        """

    @abstractmethod
    def pair_scores(self, queries: Queries, candidates: TopK) -> Floats:
        """The score of every candidate; what stands at padding means nothing. Shape [B, C]."""

    def ranker(self) -> Ranker | None:
        """The second stage that the model brings along for its own candidates, if it has one."""
        return None

    def serve(self, dataset: Dataset, history: Interactions, at: int) -> Self:
        """Takes profiles and catalogue as of another moment (`history` ends before `at`), without learning.

        A model that reads nothing but the histories of queries has nothing to take.
        """
        return self

    @property
    def serves_other_moments(self) -> bool:
        """Whether `serve` brings it up to date, so that it need not be fitted again for a later moment."""
        return type(self).serve is not Model.serve

    def follow(self, split: Split, context: FitContext = QUIET) -> "Model":
        """A model for later events, with what this one learnt where that helps: one that `serve` brings up to date.

        Others learn anew. This model may be spent.
        """
        if self.serves_other_moments:
            return self.serve(split.dataset, split.ready_for.history, split.ready_for.at)
        return self.unfitted().fit(split, context)

    def unfitted(self) -> Self:
        """A model of the same options that has learnt nothing."""
        return type(self)(**{name: getattr(self, name) for name in self.options()})

    @abstractmethod
    def state(self) -> dict[str, Array]:
        """Everything learnt, as named arrays."""

    @abstractmethod
    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""

    def fit_for_test(self, split: Split, context: FitContext = QUIET) -> Self:
        """The last fit: learns from train and validation together and stands ready to be asked for `split.test`.

        What only watching validation can find out, such as the number of epochs, is found in a fit before.
        """
        if not self.refits:
            return self.fit(split, context)
        chosen = self.fit(split, context.inside("search")).found_options() if self.finds_options else {}
        return type(self)(**{**self.options(), **chosen}).fit(split.refit(), context)

    def again(self, split: Split, context: FitContext = QUIET) -> Self:
        """A new model with the options of this one and those that its fit found out, learnt from `split.train`."""
        return type(self)(**{**self.options(), **self.found_options()}).fit(split, context)

    @property
    def uses_validation(self) -> bool:
        """Whether a fit learns anything from a validation part; one that does not may learn from all events at once."""
        return self.finds_options

    @property
    def finds_options(self) -> bool:
        """Whether `fit` finds options out by watching `split.validation`, which the last fit cannot."""
        return type(self).found_options is not Model.found_options

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
        save_file(arrays, directory / ARRAYS)
        self._save_facts(directory)

    def _save_facts(self, directory: Path) -> None:
        facts = {"class": self.path(), "n_items": self.n_items, "options": self.options()}
        (directory / FACTS).write_text(json.dumps(facts, indent=2) + "\n")

    @classmethod
    def path(cls) -> str:
        """The import path of the class, by which a saved model names it."""
        return f"{cls.__module__}.{cls.__qualname__}"

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote.

        Raises:
            BundleError: the directory holds no model, another class's, or numbers that are not finite.
        """
        facts = cls._facts_in(directory)
        model = cls(**facts["options"])
        model.n_items = facts["n_items"]
        model.set_state(finite_arrays(directory / ARRAYS))
        return model

    @classmethod
    def _facts_in(cls, directory: Path) -> dict[str, Any]:
        facts = model_facts(directory)
        name = facts["class"].rpartition(".")[2]
        if name != cls.__name__:
            raise BundleError(f"{directory} holds a {name}, not a {cls.__name__}")
        return facts

    def __repr__(self) -> str:
        """Class, the options that are not the defaults, and what was learnt: a line of a notebook."""
        changed = ", ".join(
            f"{name}={value!r}" for name, value in changed_options(self.options(), type(self)().options())
        )
        if len(changed) > LONGEST_REPR:
            changed = changed[:LONGEST_REPR].rpartition(", ")[0] + ", …"
        return f"<{type(self).__name__}({changed}), {self._learnt()}>"

    def _learnt(self) -> str:
        return f"fitted on {self.n_items:,} items" if self.n_items else "not fitted"

    def _check(self, queries: Queries) -> None:
        """Refuses queries that this model cannot read; every `score` begins with it."""
        self._check_fitted()
        check_queries(queries, type(self).__name__, self.n_items)

    def _check_fitted(self) -> None:
        if not self.n_items:
            raise NotFitted(f"{type(self).__name__}: call fit or load first")


class ScoringModel(Model):
    """A model that scores the whole catalogue for each query: masking and top-k are written here once.

    A user without history who is unknown gets the same scores as any other such user, never an error.
    """

    @abstractmethod
    def score(self, queries: Queries) -> Floats:
        """Scores of the whole catalogue, higher is better. Shape [B, N]."""

    def recommend(self, queries: Queries, k: int) -> TopK:
        """The k best of each query's scores. Shape [B, k]."""
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

    def pair_scores(self, queries: Queries, candidates: TopK) -> Floats:
        """The candidates' part of `score`, block by block. Shape [B, C]."""
        self._check(queries)
        scores, start = candidates.scores.copy(), 0
        for block in queries.blocks(max(1, BLOCK_CELLS // self.n_items)):
            rows = slice(start, start + len(block))
            items = np.maximum(candidates.items[rows], 0)
            scores[rows] = np.take_along_axis(self.score(block), items, axis=1)
            start = rows.stop
        return scores

    def _block_size(self) -> int:
        """Queries that `_best` gets at once: as many as keep the memory that it needs within bounds."""
        return max(1, BLOCK_CELLS // self.n_items)

    def _best(self, queries: Queries, k: int) -> TopK:
        """What `score` and `top_k` say of a block of queries; a model that knows a shorter way to it takes that."""
        return top_k(self.score(queries), k, queries.exclusions, queries.allowed)


def model_facts(directory: Path) -> dict[str, Any]:
    """Class, size and options of a saved model.

    Raises:
        BundleError: the directory holds none.
    """
    if not (directory / FACTS).exists():
        raise BundleError(f"{directory} holds no saved model (no {FACTS}); give a directory that save wrote")
    facts: dict[str, Any] = json.loads((directory / FACTS).read_text())
    return facts


def finite_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a safetensors file.

    Raises:
        BundleError: one holds NaN or infinite numbers, which a damaged file may.
    """
    state: dict[str, Array] = load_file(path)
    for name, array in state.items():
        if not np.isfinite(array).all():
            raise BundleError(f"{path}: {name} holds NaN or infinite numbers; fit again")
    return state


def load_model(directory: Path) -> Model:
    """The model that `save` wrote, of the class that the directory names, which must be of the allow-list.

    Raises:
        BundleError: the directory names something else.
    """
    name = model_facts(directory).get("class")
    try:
        kind = named_class(name, MODEL)
    except BadConfig as error:
        raise BundleError(
            f"{directory} names {name!r} as its model, which is no model of twotower; fit it again"
        ) from error
    if not issubclass(kind, Model):
        raise BundleError(f"{directory} names {name!r} as its model, which is no model of twotower; fit it again")
    model: Model = kind.load(directory)
    return model
