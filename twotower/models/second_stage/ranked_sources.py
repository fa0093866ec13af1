"""`RankedSources`: candidates of several models, ordered by what is known of the pair at the moment of asking."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from safetensors.numpy import save_file

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.errors import BadConfig, BadInput
from twotower.models.base import ARRAYS, Model, finite_arrays, load_model, model_facts
from twotower.models.factorization.als import ALS
from twotower.models.neighbours import ItemKNN
from twotower.models.options import between, count, one_of, or_none, positive, require
from twotower.models.second_stage.columns import ItemColumns, under
from twotower.models.second_stage.examples import Examples, earlier_moments, examples_of, is_cut_by_time
from twotower.models.second_stage.families import FAMILIES
from twotower.models.second_stage.moment import Asked, Moment
from twotower.models.second_stage.pair_feature import PairFeature, Tables
from twotower.models.second_stage.scorer import Scorer
from twotower.models.second_stage.sources import SourceLists, Sources
from twotower.models.second_stage.trees import Trees
from twotower.topk import rescore
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Floats, Queries, TopK

ScorerName = Literal["trees", "network"]
Loss = Literal["binary", "pairwise", "listwise"]
BLOCK_PAIRS = 20_000
"""Pairs described at once: with 40 events each, 3 MB for each intermediate array."""


def _goes_on(model: Model) -> bool:
    """Whether it learns from what it has learnt, so that the last fit can be one more of many."""
    return type(model).follow is not Model.follow


@dataclass(kw_only=True, eq=False, repr=False)
class RankedSources(Model):
    """Sources propose candidates; a scorer that sees each pair at the moment of asking orders them.

    It learns from earlier moments: at each of them the sources are fitted on what was known then and propose
    candidates, pair features are taken as of that moment, and what was touched soon after is positive. So the scores
    that it is fed come from models that have not seen the labels, as they will when it is asked.

    Attributes:
        sources: name to model; each proposes candidates and says what it thinks of those of the others.
        n_each: candidates of each source.
        features: families of pair features, of `FAMILIES`.
        scorer: trees (gradient boosting) or network (wide and deep, RankNet at the moment of asking).
        moments: earlier moments that are learnt from.
        days: length of what is asked for at each; null: as long as the validation.
        users: users of each moment; null: all.
        negatives: candidates kept for each that came true; null: all.
        n_trees, learning_rate, n_leaves: of `trees`.
        hidden, dropout, loss, epochs, lr: of `network`; the loss is binary, pairwise or listwise.
        seed: of all draws.
    """

    sources: Mapping[str, Model] = field(default_factory=lambda: {"als": ALS(), "item_knn": ItemKNN()})
    n_each: int = 200
    features: tuple[str, ...] = tuple(FAMILIES)
    scorer: ScorerName = "trees"
    moments: int = 4
    days: float | None = None
    users: int | None = 800
    negatives: int | None = 50
    n_trees: int = 200
    learning_rate: float = 0.07
    n_leaves: int = 31
    hidden: tuple[int, ...] = (128, 64)
    dropout: float = 0.1
    loss: Loss = "binary"
    epochs: int = 10
    lr: float = 2e-3
    seed: int = 0

    serves_new_items = True

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(
            self, n_each=count, moments=count, days=or_none(positive), users=or_none(count), negatives=or_none(count),
            scorer=one_of(*get_args(ScorerName)), n_trees=count, learning_rate=positive, n_leaves=count,
            dropout=between(0, 1), loss=one_of(*get_args(Loss)), epochs=count, lr=positive,
        )  # fmt: skip
        if not set(self.features) <= set(FAMILIES) or not self.sources:
            raise BadConfig(
                f"RankedSources: features={list(self.features)} must be of {', '.join(FAMILIES)}, and sources not empty"
            )
        self.features, self.hidden = tuple(self.features), tuple(self.hidden)
        self._scorer: Scorer = self._new_scorer()
        self._columns = ItemColumns()
        self._tables: dict[str, Tables] = {}
        self._opened: dict[str, Any] = {}
        self._at: int | None = None
        self._last: tuple[Queries, SourceLists] | None = None

    # Fitting

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Learns the scorer at earlier moments of `split.train`, then fits the sources on all of it."""
        return self._fit(split, context, lambda model, inside: model.fit(split, inside))

    def fit_for_test(self, split: Split, context: FitContext = QUIET) -> Self:
        """The same on train and validation together; each source's last fit is its own."""
        return self._fit(split.refit(), context, lambda model, inside: model.fit_for_test(split, inside))

    def _fit(self, split: Split, context: FitContext, last_fit: Callable[[Model, FitContext], Model]) -> Self:
        earlier, sources = self._fit_scorer(split, context), dict(self.sources)
        for name, model in sources.items():
            inside = context.inside(name)
            sources[name] = earlier[name].follow(split, inside) if _goes_on(model) else last_fit(model, inside)
        self.sources = sources
        return self._ready(split)

    def _ready(self, split: Split) -> Self:
        asked, self.n_items = split.ready_for, split.train.n_items
        self._asked_by_moment = is_cut_by_time(split)
        return self._as_of(Moment(split.dataset, asked.history, asked.at))

    @property
    def uses_validation(self) -> bool:  # noqa: D102 - its length is that of what is asked for at earlier moments
        return self.days is None

    def serve(self, dataset: Dataset, history: Interactions, at: int) -> Self:
        """Takes histories, profiles, catalogue and activity as of another moment, without learning."""
        for model in self.sources.values():
            model.serve(dataset, history, at)
        return self._as_of(Moment(dataset, history, at))

    def _as_of(self, moment: Moment) -> Self:
        self._columns = ItemColumns.of(moment.catalogue)
        self._take({family.name: family.tables(moment, self._columns) for family in self._families()})
        self._at, self._last = moment.at if self._asked_by_moment else None, None
        return self

    def _take(self, tables: dict[str, Tables]) -> None:
        self._tables = tables
        self._opened = {family.name: family.opened(tables[family.name]) for family in self._families()}

    def _fit_scorer(self, split: Split, context: FitContext) -> dict[str, Model]:
        """Learns from the earlier moments; returns the sources as of the last of them."""
        cuts, rng = earlier_moments(split, self.moments, self.days), np.random.default_rng(self.seed)
        self._asked_by_moment, parts = is_cut_by_time(split), []
        sources: dict[str, Model] = {}
        for cut in cuts:
            sources = {name: self._as_of_cut(name, sources, cut, context) for name in self.sources}
            asker = RankedSources(**{**self._own_options(), "sources": sources})
            asker._asked_by_moment, asker.n_items = self._asked_by_moment, cut.train.n_items
            asker._as_of(Moment(cut.dataset, cut.test.history, cut.test.at))
            parts.append(
                examples_of(
                    cut.test, asker.candidates, asker.described, users=self.users, negatives=self.negatives, rng=rng
                )
            )
        if not any(part.positive.any() for part in parts):
            raise BadInput(
                f"RankedSources: nothing to learn an order from: at no earlier moment of {split.name} did a candidate "
                "come true; take a longer log, another number of moments or days, or a model of one stage"
            )
        self._scorer = self._new_scorer()
        self._scorer.fit(Examples.concatenate(parts), context)
        return sources

    def _as_of_cut(self, name: str, before: Mapping[str, Model], cut: Split, context: FitContext) -> Model:
        """A source that knows nothing of what is asked for: of the moment before, brought up to date, or a new one."""
        inside = context.inside(f"{name}-at-{cut.test.at}")
        if name in before:
            return before[name].follow(cut, inside)
        return self.sources[name].unfitted().fit(cut, inside)

    def _new_scorer(self) -> Scorer:
        if self.scorer == "trees":
            return Trees(n_trees=self.n_trees, learning_rate=self.learning_rate, n_leaves=self.n_leaves, seed=self.seed)
        from twotower.models.second_stage.pair_network import PairNetwork  # loads torch

        return PairNetwork(**{n: getattr(self, n) for n in ("hidden", "dropout", "loss", "epochs", "lr", "seed")})

    def _families(self) -> list[PairFeature]:
        return [FAMILIES[name]() for name in self.features]

    # Answering

    def recommend(self, queries: Queries, k: int) -> TopK:
        """The best candidates of all sources. Shape [B, k]."""
        self._check(queries)
        if k < 1:
            raise BadInput(f"k must be at least 1, got {k}")
        blocks = [self._best(block, k) for block in queries.blocks(self._block_size(k))]
        return TopK.concatenate(blocks) if blocks else TopK.nothing(0, k)

    def _best(self, queries: Queries, k: int) -> TopK:
        candidates = self.candidates(queries, k)
        return rescore(candidates, self.pair_scores(queries, candidates), k)

    def candidates(self, queries: Queries, k: int = 1) -> TopK:
        """What the sources propose, each item once. Shape [B, C]."""
        return self._lists(queries).candidates(k)

    def pair_scores(self, queries: Queries, candidates: TopK) -> Floats:
        """The scorer's value of every candidate. Shape [B, C]."""
        self._check(queries)
        scores, start = candidates.scores.copy(), 0
        for block in queries.blocks(self._block_size(candidates.k)):
            rows = slice(start, start + len(block))
            asked = queries if len(block) == len(queries) else block
            part = TopK(candidates.items[rows], candidates.scores[rows])
            features = self.described(asked, part)
            scores[rows] = self._scorer.scores(features.reshape(-1, features.shape[-1])).reshape(part.items.shape)
            start = rows.stop
        return scores

    def described(self, queries: Queries, candidates: TopK) -> Floats:
        """What the scorer is told of every candidate. Shape [B, C, F]."""
        asked = Asked.of(queries, self._at)
        parts = [self._lists(queries).values(candidates, asked)]
        parts += [
            family.values(asked, candidates.items, self._columns, self._opened[family.name])
            for family in self._families()
        ]
        return np.concatenate(parts, axis=-1)

    def feature_names(self) -> list[str]:
        """What the numbers of `described` are called. F of them."""
        own = Sources(self.sources, self.n_each).names()
        return own + [name for family in self._families() for name in family.names(self._columns)]

    def _lists(self, queries: Queries) -> SourceLists:
        """What the sources propose; kept for the queries that were asked last, since they are asked for twice."""
        if self._last is None or self._last[0] is not queries:
            self._last = (queries, Sources(self.sources, self.n_each).ask(queries))
        return self._last[1]

    def _block_size(self, k: int) -> int:
        return max(1, BLOCK_PAIRS // max(k, self.n_each * len(self.sources)))

    # Keeping

    def _own_options(self) -> dict[str, Any]:
        return {name: value for name, value in super().options().items() if name != "sources"}

    def options(self) -> dict[str, Any]:
        """Class and options of every source, and the rest."""
        sources = {name: {"class": model.path(), **model.options()} for name, model in self.sources.items()}
        return {"sources": sources, **self._own_options(), "features": list(self.features)}

    def state(self) -> dict[str, Array]:
        """Arrays of the sources, of the scorer, and of the catalogue as of the moment of asking."""
        arrays = {f"source.{n}.{name}": a for n, model in self.sources.items() for name, a in model.state().items()}
        return {**arrays, **self._own_state()}

    def _own_state(self) -> dict[str, Array]:
        own = {f"scorer.{name}": array for name, array in self._scorer.state().items()}
        own |= {f"column.{name}": array for name, array in self._columns.to_arrays().items()}
        own |= {f"table.{family}.{name}": a for family, tables in self._tables.items() for name, a in tables.items()}
        return {**own, "at": np.array([-1 if self._at is None else self._at])}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        for name, model in self.sources.items():
            if own := under(f"source.{name}.", state):
                model.set_state(own)
        self._scorer = self._new_scorer()
        self._scorer.set_state(under("scorer.", state))
        self._columns = ItemColumns.from_arrays(under("column.", state))
        self._take({name: under(f"table.{name}.", state) for name in self.features})
        at = int(state["at"][0])
        self._at, self._last = None if at < 0 else at, None
        self._asked_by_moment = self._at is not None

    def save(self, directory: Path) -> None:
        """Writes every source into a folder of its own."""
        self._check_fitted()
        for name, model in self.sources.items():
            model.save(directory / "sources" / name)
        save_file({name: np.ascontiguousarray(a) for name, a in self._own_state().items()}, directory / ARRAYS)
        self._save_facts(directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote."""
        cls._facts_in(directory)
        facts = model_facts(directory)
        sources = {name: load_model(directory / "sources" / name) for name in facts["options"]["sources"]}
        model = cls(**{**facts["options"], "sources": sources})
        model.n_items = facts["n_items"]
        model.set_state(finite_arrays(directory / ARRAYS))
        return model

    def __repr__(self) -> str:
        return f"<RankedSources({' + '.join(self.sources)} → {self.scorer}), {self._learnt()}>"
