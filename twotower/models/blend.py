"""`Blend`: the weighted sum of several models' standardised scores, with weights chosen on validation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np

from twotower.data.split import Holdout, Split
from twotower.errors import BadConfig
from twotower.evaluation.accumulator import Accumulator, Detail
from twotower.metrics.metric import Metric
from twotower.models.base import BLOCK_CELLS, Model, ScoringModel, load_model, model_facts
from twotower.models.matrix import has_any, products, with_fallback
from twotower.topk import top_k
from twotower.training.context import QUIET, FitContext
from twotower.types import UNKNOWN_USER, Array, Floats, Queries

TRIED = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Weights of every member but the first, whose weight is 1."""
WATCHED = 1_000
"""Validation users, spread evenly, whose lists decide."""


@dataclass(kw_only=True, eq=False, repr=False)
class Blend(ScoringModel):
    """Score of item i = Σ over the members m of w_m · (s_mi - mean of s_m) / standard deviation of s_m.

    Mean and deviation are those of one user's scores of the whole catalogue, so that members need not agree on a scale.
    A member scores the catalogue, or has vectors whose products do (towers without RankNet). A small dense vector holds
    what is alike, sparse content what is the same: together they find more new items than either.

    Without given weights all combinations of `TRIED` are examined on `WATCHED` users of the validation part, the first
    member having the weight 1; members are fitted on train alone before that and asked as of validation.

    Relations: `TwoStage` orders the candidates of one model by another; here all have a say on all items.

    Source: Fox & Shaw 1994, "Combination of multiple searches" (CombSUM, here of z-scores).

    Attributes:
        members: two models or more.
        weights: one for each; None: chosen on validation, equal where there is none to watch.
        metric: of lists, which the choice makes best.
        chosen: the weights in use, one for each member.
    """

    members: Sequence[Model]
    weights: Sequence[float] | None = None
    metric: str = "map@10"
    chosen: Array = field(init=False)

    def __post_init__(self) -> None:
        """Refuses members that cannot score the catalogue, and weights or metrics that cannot be meant.

        Raises:
            BadConfig: it names the option.
        """
        self.members = list(self.members)
        for member in self.members:
            if not (isinstance(member, ScoringModel) or member.has_vectors):
                raise BadConfig(f"Blend: {type(member).__name__} scores no whole catalogue and has no vectors")
        if len(self.members) < 2:
            raise BadConfig(f"Blend: members must be at least 2 models, got {len(self.members)}")
        if self.weights is not None and len(self.weights) != len(self.members):
            raise BadConfig(f"Blend: {len(self.weights)} weights for {len(self.members)} members; give one for each")
        if not Metric.parse(self.metric).of_lists:
            raise BadConfig(f"Blend: metric must be one of lists, such as map@10, got {self.metric!r}")
        self.chosen = np.ones(len(self.members)) if self.weights is None else np.asarray(self.weights, np.float64)
        self._popular: Floats = np.empty(0, np.float32)

    @property
    def serves_new_users(self) -> bool:  # type: ignore[override]
        """Whether a member does."""
        return any(member.serves_new_users for member in self.members)

    @property
    def serves_new_items(self) -> bool:  # type: ignore[override]
        """Whether a member does."""
        return any(member.serves_new_items for member in self.members)

    @property
    def uses_validation(self) -> bool:
        """Whether weights are to be chosen, or a member uses it."""
        return self.weights is None or any(member.uses_validation for member in self.members)

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Fits every member on train, then chooses weights on validation."""
        self.members = [m.fit(split, context.inside(folder)) for folder, m in _folders(self.members)]
        self._stand_ready(split)
        if self.weights is None and split.watches_validation:
            _serve(self.members, split, split.validation)
            self.chosen = self._best_weights(split.validation)
            _serve(self.members, split, split.ready_for)
        return self

    def fit_for_test(self, split: Split, context: FitContext = QUIET) -> Self:
        """Chooses weights as `fit` does, then gives every member that refits its last fit."""
        self.fit(split, context.inside("search"))
        self.members = [
            m.fit_for_test(split, context.inside(folder)) if m.refits else m for folder, m in _folders(self.members)
        ]
        self._stand_ready(split)
        return self

    def _stand_ready(self, split: Split) -> None:
        self.n_items = split.train.n_items
        self._popular = split.train.item_counts().astype(np.float32)

    def _best_weights(self, validation: Holdout) -> Array:
        """The combination whose lists are best; of equal ones the first. Shape [members]."""
        metric, watched = Metric.parse(self.metric), _some_users(validation)
        tried = [np.array((1.0, *rest)) for rest in product(TRIED, repeat=len(self.members) - 1)]
        figures = [Accumulator(watched, (metric,), Detail()) for _ in tried]
        for queries, relevant in watched.blocks(max(1, BLOCK_CELLS // self.n_items)):
            z = self._standardised(queries)
            for weights, figure in zip(tried, figures, strict=True):
                figure.add(top_k(_sum(weights, z), metric.k or 0, queries.exclusions), relevant)
        values = [metric.sign * figure.per_user()[str(metric)].mean() for figure in figures]
        return tried[int(np.argmax(values))]

    def score(self, queries: Queries) -> Floats:
        """The weighted sum; the popular list for unknown users without history. Shape [B, N]."""
        self._check(queries)
        unknown = ~has_any(queries) & (queries.users == UNKNOWN_USER)
        return with_fallback(_sum(self.chosen, self._standardised(queries)), self._popular, unknown)

    def _standardised(self, queries: Queries) -> list[Floats]:
        """Z-scores of every member. Each of shape [B, N]."""
        return [standardised(catalogue_scores(member, queries)) for member in self.members]

    def found_options(self) -> dict[str, Any]:
        """The weights that were chosen."""
        return {"weights": self.chosen.tolist()}

    def options(self) -> dict[str, Any]:
        """Class and options of every member, and how they are weighed."""
        members = [{"class": member.path(), **member.options()} for member in self.members]
        return {"members": members, "weights": self.weights, "metric": self.metric}

    def state(self) -> dict[str, Array]:
        """Arrays of all members, the weights in use, and the popularity of items [N]."""
        parts = {folder: member.state() for folder, member in _folders(self.members)}
        arrays = {f"{part}.{name}": array for part, state in parts.items() for name, array in state.items()}
        return {**arrays, "chosen": self.chosen, "popular": self._popular}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        for folder, member in _folders(self.members):
            own = {name: array for name, array in state.items() if name.startswith(f"{folder}.")}
            member.set_state({name.removeprefix(f"{folder}."): array for name, array in own.items()})
        self.chosen, self._popular = state["chosen"], state["popular"]

    def save(self, directory: Path) -> None:
        """Writes every member into a folder of its own."""
        self._check_fitted()
        for folder, member in _folders(self.members):
            member.save(directory / folder)
        np.save(directory / "chosen.npy", self.chosen)
        np.save(directory / "popular.npy", self._popular)
        self._save_facts(directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote."""
        cls._facts_in(directory)
        facts = model_facts(directory)
        n_members = len(facts["options"]["members"])
        members = [load_model(directory / f"member{number}") for number in range(n_members)]
        model = cls(members=members, weights=facts["options"]["weights"], metric=facts["options"]["metric"])
        model.n_items = facts["n_items"]
        model.chosen = np.load(directory / "chosen.npy", allow_pickle=False)
        model._popular = np.load(directory / "popular.npy", allow_pickle=False)
        return model

    def __repr__(self) -> str:
        """Weights, members and what they learnt of, in a line."""
        terms = (f"{w:g} {type(m).__name__}" for w, m in zip(self.chosen, self.members, strict=True))
        return f"<Blend({' + '.join(terms)}), {self._learnt()}>"


def catalogue_scores(model: Any, queries: Queries) -> Floats:
    """What a model makes of all items, by its scores or the products of its vectors. Shape [B, N]."""
    if isinstance(model, ScoringModel):
        return model.score(queries)
    return products(model.user_vectors(queries), model.item_vectors)


def standardised(scores: Floats) -> Floats:
    """Rows of mean 0 and standard deviation 1; a row of equal scores becomes 0. Shape [B, N]."""
    away = scores.astype(np.float64) - scores.mean(axis=1, dtype=np.float64, keepdims=True)
    deviation = np.sqrt(np.square(away).mean(axis=1, keepdims=True))
    return np.asarray(np.divide(away, deviation, out=np.zeros_like(away), where=deviation > 0), np.float32)


def _sum(weights: Array, z: Sequence[Floats]) -> Floats:
    total = np.zeros_like(z[0])
    for weight, scores in zip(weights, z, strict=True):
        total += np.float32(weight) * scores
    return total


def _folders(members: Sequence[Model]) -> Iterator[tuple[str, Model]]:
    """The folder of every member, which is what the names of its arrays begin with as well."""
    return ((f"member{number}", member) for number, member in enumerate(members))


def _serve(members: Sequence[Any], split: Split, asked: Holdout) -> None:
    """Members that read profiles and histories as of a moment take those of `asked`."""
    for member in members:
        if hasattr(member, "serve"):
            member.serve(split.dataset, asked.history, asked.at)


def _some_users(holdout: Holdout) -> Holdout:
    """The same, asked for `WATCHED` users at most, spread evenly over those with a target."""
    users = holdout.users()
    kept = users[:: max(1, -(-len(users) // WATCHED))]
    return replace(holdout, target=holdout.target.where(np.isin(holdout.target.user, kept)))
