"""`ContentKernel`: items that are like what the user touched lately, in ways that are learnt, and are looked at."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.models.base import ScoringModel
from twotower.models.options import count, or_none, positive, require
from twotower.models.second_stage.columns import under
from twotower.models.second_stage.examples import earlier_moments, is_cut_by_time
from twotower.models.second_stage.exposure import Exposure
from twotower.models.second_stage.kernel_fit import Questions, fit_weights, newest
from twotower.models.second_stage.kernel_parts import KernelParts, Looked
from twotower.models.second_stage.kernel_weights import KernelWeights, log_sum, n_ways
from twotower.models.second_stage.moment import Asked, Moment
from twotower.topk import top_k
from twotower.training.context import QUIET, FitContext
from twotower.types import NO_ITEM, Array, Bools, Floats, Ids, Queries, TopK

OVERLAP = 3
"""Earlier moments in the time of one."""
GOING_ON = 0.15
"""Of users and of the learning rate, when weights are only brought up to date."""


@dataclass(kw_only=True, eq=False, repr=False)
class ContentKernel(ScoringModel):
    """P(i | u) = (1 − π) Σ_h s_h Σ_j w_hj K_h(i, j) / Z_hj + π b_i over heads h and the newest events j of the user.

    log K_h(i, j) = Σ_columns θ_c · alike_c − Σ_numbers (a_g |Δ_g| + b_g Δ_g²) − γ log(1 + km / 50) + β log E_i, with
    weights of the head's own: one may look for the same model wherever it stands, another for the same body and price
    near home. w_hj falls with a power of the event's age; b_i is exposure alone, and E_i the forecast of it
    (`Exposure`); Z_hj sums K_h over the catalogue. All weights are learnt by likelihood at earlier moments: what was
    touched soon after each is to be told, by the events before it, from everything that could be had. What is usual for
    the user over a long time (shares of values, distance from the median place) is a factor beside. No identities are
    known: a new item is found at once by what it is, and a new user served from the first event on.

    Relations: target attention (DIN) with a few heads and hand-made keys; ItemKNN whose similarity reads content.

    Attributes:
        recent: newest distinct events of a user.
        heads: kernels that are mixed.
        moments: spans of `days` before the asking that it is learnt from, with overlapping moments in each.
        days: length of what is asked for at each; null: as long as the validation.
        users: drawn to learn from, each with all that came true.
        competitors: items that these are told from.
        lr: of Adam on the weights, some hundred numbers.
        seed: of all draws.
    """

    recent: int = 20
    heads: int = 3
    moments: int = 3
    days: float | None = None
    users: int = 2400
    competitors: int = 4000
    lr: float = 0.05
    seed: int = 0

    serves_new_items = True

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(
            self, recent=count, heads=count, moments=count, days=or_none(positive), users=count, competitors=count,
            lr=positive,
        )  # fmt: skip
        self._weights = KernelWeights.none(0, 0)
        self._parts: KernelParts | None = None
        self._popular: Floats = np.empty(0, np.float32)
        self._at: int | None = None
        self._by_moment = True
        self._exposure: Exposure | None = None
        self._last_allowed: tuple[Bools, Ids, Looked] | None = None

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Learns the weights from the newest events of `split.train`, then stands ready for `split.ready_for`."""
        return self._learn(split, None)

    def follow(self, split: Split, context: FitContext = QUIET) -> Self:
        """A model of later events that goes on from these weights, with a forecast of its own."""
        model = self.unfitted()
        return model._learn(split, self._weights if self._exposure else None)

    def _learn(self, split: Split, start: KernelWeights | None) -> Self:
        self._by_moment = is_cut_by_time(split)
        cuts = earlier_moments(split, self.moments, self.days, OVERLAP)
        self._exposure = Exposure.fit(cuts, self.seed) if cuts else None
        if self._exposure:
            questions = [Questions.of(cut, self.recent, self._exposure, by_moment=self._by_moment) for cut in cuts]
            part = GOING_ON if start else 1.0
            self._weights = fit_weights(
                questions, heads=self.heads, users=max(1, round(part * self.users)), competitors=self.competitors,
                lr=part * self.lr, seed=self.seed, start=start,
            )  # fmt: skip
        else:
            parts = KernelParts.of(Moment(split.dataset, split.train, split.asked_at), None)
            self._weights = KernelWeights.none(n_ways(parts), parts.codes.shape[1])
        self.n_items = split.train.n_items
        self._popular = split.train.unique_pairs().item_counts().astype(np.float32)
        asked = split.ready_for
        return self._as_of(Moment(split.dataset, asked.history, asked.at))

    @property
    def uses_validation(self) -> bool:
        """Its length is that of what is asked for at earlier moments, unless `days` says it."""
        return self.days is None

    def serve(self, dataset: Dataset, history: Interactions, at: int) -> Self:
        """Takes catalogue and activity as of another moment, without learning."""
        return self._as_of(Moment(dataset, history, at))

    def _as_of(self, moment: Moment) -> Self:
        lives = moment.dataset.lifetimes
        available = lives.available(moment.at) if lives is not None and self._by_moment else None
        self._at = moment.at if self._by_moment else None
        return self._take(KernelParts.of(moment, self._exposure, available))

    def _take(self, parts: KernelParts) -> Self:
        """Stands ready with a catalogue, of which no sum is known yet."""
        self._parts, self._last_allowed = parts, None
        self._sample = parts.take(parts.sample)
        self._stands_for = np.float32(np.log(parts.there[0] / max(1, len(parts.sample))))
        exposed = self._sample.exposure * self._weights.exposed
        self._all_exposed = log_sum(exposed) + self._stands_for if len(exposed) else np.float32(0)
        self._normal = np.full((len(parts.codes), len(self._weights.share)), np.nan, np.float32)
        return self

    def score(self, queries: Queries) -> Floats:
        """Log of P of every item; the popular list for users without history. Shape [B, N]."""
        self._check(queries)
        return self._of_items(queries, np.arange(self.n_items), self._look(np.arange(self.n_items)))

    def _best(self, queries: Queries, k: int) -> TopK:
        """Scores of allowed items alone."""
        if queries.allowed is None:
            return top_k(self.score(queries), k, queries.exclusions)
        if self._last_allowed is None or self._last_allowed[0] is not queries.allowed:
            items = np.flatnonzero(queries.allowed)
            self._last_allowed = (queries.allowed, items, self._look(items))
        _, items, look = self._last_allowed
        scores = np.full((len(queries), self.n_items), -np.inf, np.float32)
        scores[:, items] = self._of_items(queries, items, look)
        return top_k(scores, k, queries.exclusions, queries.allowed)

    def pair_scores(self, queries: Queries, candidates: TopK) -> Floats:
        """Log of P of the candidates alone. Shape [B, C]."""
        self._check(queries)
        asked, known = self._asked(queries)
        places = enumerate(candidates.items)
        rows = [self._of_query(asked, known, row, np.maximum(items, 0), None) for row, items in places]
        return np.stack(rows) if rows else candidates.scores.copy()

    def _of_items(self, queries: Queries, items: Ids, look: Looked) -> Floats:
        asked, known = self._asked(queries)
        rows = [self._of_query(asked, known, row, items, look) for row in range(len(queries))]
        return np.stack(rows) if rows else np.empty((0, len(items)), np.float32)

    def _of_query(self, asked: Asked, known: Asked, row: int, items: Ids, look: Looked | None) -> Floats:
        """Log of P of some items for one query. Shape [n]."""
        events = asked.items[row][asked.items[row] != NO_ITEM]
        if not len(events) or self._parts is None:
            return self._popular[items]
        look = self._look(items) if look is None else look
        kernels = self._weights.log_kernels(look, self._look(events))  # [H, n, L]
        normal = self._normals(events, items, kernels)
        by_taste = self._weights.log_taste(kernels, normal, asked.age[row, : len(events)])
        exposure = look.exposure * self._weights.exposed - self._all_exposed
        usual, from_home = self._parts.of_user(known.take(slice(row, row + 1)), items[None])
        return self._weights.log_probability(by_taste, exposure, usual[0], from_home[0])

    def _normals(self, events: Ids, items: Ids, kernels: Floats) -> Floats:
        """Log of Z of every head and event, kept for the next who touched the same item. Shape [H, L]."""
        assert self._parts is not None
        missing = np.flatnonzero(np.isnan(self._normal[events, 0]))
        if len(missing):
            known = np.array_equal(items, self._parts.sample)
            over = kernels[:, :, missing] if known else self._weights.log_kernels(
                self._sample, self._look(events[missing])
            )  # fmt: skip
            self._normal[events[missing]] = log_sum(over.transpose(2, 0, 1)) + self._stands_for
        return self._normal[events].T

    def _asked(self, queries: Queries) -> tuple[Asked, Asked]:
        """The newest events, each item once at its newest place; and many of them."""
        return newest(queries, self._at, self.recent), Asked.of(queries, self._at)

    def _look(self, items: Ids) -> Looked:
        assert self._parts is not None
        return self._parts.take(items)

    def state(self) -> dict[str, Array]:
        """Weights, the catalogue as of the moment of asking, popularity [N]."""
        assert self._parts is not None
        at = np.array([-1 if self._at is None else self._at])
        parts = {f"part.{name}": array for name, array in self._parts.to_arrays().items()}
        weights = {f"weight.{name}": array for name, array in self._weights.to_arrays().items()}
        forecast = self._exposure.to_arrays() if self._exposure else {}
        trees = {f"tree.{name}": array for name, array in forecast.items()}
        return {**parts, **weights, **trees, "popular": self._popular, "at": at}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        self._weights = KernelWeights(**under("weight.", state))
        self._exposure = Exposure.from_arrays(under("tree.", state)) if under("tree.", state) else None
        self._popular, at = state["popular"], int(state["at"][0])
        self._at, self._by_moment = None if at < 0 else at, at >= 0
        self._take(KernelParts.from_arrays(under("part.", state)))
