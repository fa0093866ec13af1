"""`TwoStage`: any two models as one: the first finds candidates, the second orders them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np

from twotower.ann.exact import ExactIndex
from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.models.base import Model, load_model, model_facts
from twotower.models.options import count, require
from twotower.protocols import Ranker
from twotower.stages.list_retriever import ListRetriever
from twotower.stages.pair_ranker import PairRanker
from twotower.stages.recommender import FirstStage, TwoStageRecommender
from twotower.stages.retriever import Retriever
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Bools, Floats, Queries, TopK

FIRST, SECOND = "first", "second"
"""Folders of the two models, and what the names of their arrays begin with."""


@dataclass(kw_only=True, eq=False, repr=False)
class TwoStage(Model):
    """Candidates of one model in the order of another.

    The first is asked by its vectors, or for its own lists where it has none. The second orders by the second stage
    that it brings along (RankNet of `TwoTower`), else by its scores of pairs.

    Attributes:
        first: finds candidates.
        second: orders them.
        n_candidates: how many are ordered.
    """

    first: Model
    second: Model
    n_candidates: int = 500

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(self, n_candidates=count)
        self._popularity: Floats = np.empty(0, np.float32)
        self._stages: TwoStageRecommender | None = None

    @property
    def has_vectors(self) -> bool:  # type: ignore[override]
        """Whether the first stage has."""
        return self.first.has_vectors

    @property
    def reads_users(self) -> bool:  # type: ignore[override]
        """Whether the first stage does."""
        return self.first.reads_users

    @property
    def item_vectors(self) -> Floats:
        """Of the first stage. Shape [N, D]."""
        return cast(Floats, cast(Any, self.first).item_vectors)

    @property
    def likeness(self) -> Floats:
        """Item vectors of the first stage whose cosine says how alike items are. Shape [N, D]."""
        return cast(Floats, cast(Any, self.first).likeness)

    def user_vectors(self, queries: Queries) -> Floats:
        """Of the first stage. Shape [B, D]."""
        return cast(Floats, cast(Any, self.first).user_vectors(queries))

    def knows(self, queries: Queries) -> Bools:
        """Queries of which the first stage knows something. Shape [B]."""
        knows = getattr(self.first, "knows", None)
        return np.ones(len(queries), np.bool_) if knows is None else cast(Bools, knows(queries))

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Fits both, one after the other."""
        self.first.fit(split, context.inside(FIRST))
        self.second.fit(split, context.inside(SECOND))
        return self._ready(split)

    def fit_for_test(self, split: Split, context: FitContext = QUIET) -> Self:
        """The last fit of both, each in its own way."""
        self.first = self.first.fit_for_test(split, context.inside(FIRST))
        self.second = self.second.fit_for_test(split, context.inside(SECOND))
        return self._ready(split)

    @property
    def uses_validation(self) -> bool:
        """Whether a stage does."""
        return self.first.uses_validation or self.second.uses_validation

    def again(self, split: Split, context: FitContext = QUIET) -> Self:
        """New models of both stages, each in its own way."""
        first = self.first.again(split, context.inside(FIRST))
        second = self.second.again(split, context.inside(SECOND))
        return type(self)(first=first, second=second, n_candidates=self.n_candidates)._ready(split)

    def serve(self, dataset: Dataset, history: Interactions, at: int) -> Self:
        """Takes both to another moment."""
        self.first.serve(dataset, history, at)
        self.second.serve(dataset, history, at)
        self._stages = None
        return self

    def _ready(self, split: Split) -> Self:
        self.n_items, self._stages = split.train.n_items, None
        self._popularity = split.train.item_counts().astype(np.float32)
        return self

    def recommend(self, queries: Queries, k: int) -> TopK:
        """Lists of both stages. Shape [B, k]."""
        self._check(queries)
        if self._stages is None:
            self._stages = TwoStageRecommender(
                self._first_stage(), self.ranker(), n_candidates=self.n_candidates, popularity=self._popularity
            )
        return self._stages.recommend(queries, k)

    def _first_stage(self) -> FirstStage:
        if not self.has_vectors:
            return ListRetriever(self.first, self.n_items)
        return Retriever(self, ExactIndex(metric="inner_product").build(self.item_vectors), self.item_vectors)

    def pair_scores(self, queries: Queries, candidates: TopK) -> Floats:
        """Those of the second model. Shape [B, C]."""
        return self.second.pair_scores(queries, candidates)

    def ranker(self) -> Ranker:
        """The second stage."""
        return self.second.ranker() or PairRanker(self.second)

    def options(self) -> dict[str, Any]:
        """Class and options of both models."""
        parts = {name: getattr(self, name) for name in (FIRST, SECOND)}
        return {
            **{name: {"class": model.path(), **model.options()} for name, model in parts.items()},
            "n_candidates": self.n_candidates,
        }

    def state(self) -> dict[str, Array]:
        """Arrays of both models, and the popularity of items [N]."""
        parts = {FIRST: self.first.state(), SECOND: self.second.state()}
        arrays = {f"{part}.{name}": array for part, state in parts.items() for name, array in state.items()}
        return {**arrays, "popularity": self._popularity}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        for part, model in ((FIRST, self.first), (SECOND, self.second)):
            own = {name: array for name, array in state.items() if name.startswith(f"{part}.")}
            model.set_state({name.removeprefix(f"{part}."): array for name, array in own.items()})
        self._popularity, self._stages = state["popularity"], None

    def save(self, directory: Path) -> None:
        """Writes both models into folders of their own."""
        self._check_fitted()
        self.first.save(directory / FIRST)
        self.second.save(directory / SECOND)
        np.save(directory / "popularity.npy", self._popularity)
        self._save_facts(directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote."""
        cls._facts_in(directory)
        facts = model_facts(directory)
        model = cls(
            first=load_model(directory / FIRST),
            second=load_model(directory / SECOND),
            n_candidates=facts["options"]["n_candidates"],
        )
        model.n_items = facts["n_items"]
        model._popularity = np.load(directory / "popularity.npy", allow_pickle=False)
        return model

    def __repr__(self) -> str:
        """Both models and what they learnt of, in a line."""
        return f"<TwoStage({type(self.first).__name__} → {type(self.second).__name__}), {self._learnt()}>"
