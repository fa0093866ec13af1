"""`ServedRun`: one published run, opened once, that answers in external ids and can say why."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from twotower.allowed import OPTIONS
from twotower.ann.base import IndexBase
from twotower.config.compose import instantiate
from twotower.data.plain_ids import one_id
from twotower.errors import BadInput
from twotower.models.base import Model
from twotower.protocols import Ranker
from twotower.runs.answer import Answer, Explanation, Reason, Recommended
from twotower.runs.bundle import LATEST, Bundle
from twotower.runs.serve_options import ServeOptions
from twotower.runs.serving_files import ServingFiles
from twotower.runs.serving_stages import first_stage, likeness_of, other_ranker, stages_under
from twotower.stages.recommender import FirstStage, How, Trace, TwoStageRecommender
from twotower.stages.similar import because, similar_items, vectors_of_histories
from twotower.types import NO_ITEM, UNKNOWN_USER, Bools, Floats, Ids, Queries, Ragged, TopK

__all__ = ["ServeOptions", "ServedRun", "headings"]

SHOWN_FEATURES = 4


@dataclass(frozen=True, slots=True, eq=False)
class ServedRun:
    """A bundle with everything loaded; answers change nothing, so one object serves all threads.

    Attributes:
        name: name of the run.
        files: ids, catalogue, histories.
        recommender: both stages under the rules of `options`.
        options: how lists are made.
        has_index: False if item vectors are compared one by one because no index was built.
        direct: first stage that asks the index with the user's vector, whatever the strategy of `options`; of a model
            without vectors its own lists.
        ranker: second stage, if there is one.
        model: the model behind it.
        likeness: vectors whose cosine says how alike items are; None if the model has no vectors. Shape [N, D].
    """

    name: str
    files: ServingFiles
    recommender: TwoStageRecommender
    options: ServeOptions
    has_index: bool
    direct: FirstStage
    model: Model
    ranker: Ranker | None = None
    likeness: Floats | None = None

    def __repr__(self) -> str:
        return f"<ServedRun {self.name}: {self.model!r}, {'with' if self.has_index else 'without'} an index>"

    @classmethod
    def open(cls, run: str | Path = LATEST, runs_dir: str | Path = "runs", *, ranker: str | Path | None = None) -> Self:
        """Opens a run by name or path, the newest by default, with the `serve` options that it was trained with.

        Args:
            run: finds the candidates, and ranks them if its model has a second stage.
            runs_dir: where runs lie.
            ranker: another run of the same data whose model ranks the candidates instead.

        Raises:
            BundleError: a run is absent, half written or damaged, its index belongs to another model, or the runs are
                of different data.
        """
        bundle = Bundle.open(run, runs_dir)
        files, model = bundle.serving(), bundle.model()
        index, vectors = (bundle.index(), bundle.item_vectors()) if bundle.has_vectors else (None, None)
        other = None if ranker is None else other_ranker(bundle, Bundle.open(ranker, runs_dir))
        chosen = bundle.config().get("serve")
        options = instantiate(chosen, OPTIONS) if chosen else ServeOptions()
        if bundle.replaced():
            return cls.open(run, runs_dir, ranker=ranker)
        name = bundle.name if ranker is None else f"{bundle.name} + {Bundle.open(ranker, runs_dir).name}"
        return cls.of(name, files, model, options=options, index=index, vectors=vectors, ranker=other)

    @classmethod
    def of(
        cls,
        name: str,
        files: ServingFiles,
        model: Model,
        *,
        options: ServeOptions,
        index: IndexBase | None = None,
        vectors: Floats | None = None,
        ranker: Ranker | None = None,
    ) -> Self:
        """What answers for a model, wherever it comes from.

        Args:
            name: how answers call it.
            files: ids, catalogue, histories.
            model: fitted.
            options: how lists are made.
            index: of the model's item vectors; None: they are compared one by one.
            vectors: the item vectors, if the model has some. Shape [N, D].
            ranker: second stage instead of the model's own.
        """
        direct, second = first_stage(model, index, vectors), ranker or model.ranker()
        stages = stages_under(files, direct, second, options)
        return cls(name, files, stages, options, index is not None, direct, model, second, likeness_of(model))

    @property
    def popularity_then(self) -> Floats:
        """Events per item at the moment of the test, for evaluations: what is served knows newer events. Shape [N]."""
        then = self.files.popularity_then
        return self.files.popularity if then is None else then

    def under(self, **changes: Any) -> Self:
        """The same run with other `ServeOptions`.

        Raises:
            BadConfig: a catalogue rule does not fit the catalogue, or the index does not suit the strategy.
        """
        options = replace(self.options, **changes)
        stages = stages_under(self.files, self.direct, self.ranker, options)
        return replace(self, recommender=stages, options=options)

    def query(self, user: Any = None, history: Sequence[Any] = ()) -> Queries:
        """One query from external ids; a given history follows the known one.

        Raises:
            UnknownId: an item of the history is not in the catalogue.
            BadInput: the user is no id, or several.
        """
        return self.queries([user], [history])

    def queries(self, users: Sequence[Any], histories: Sequence[Sequence[Any]]) -> Queries:
        """Queries from external ids, None for nobody in particular; given histories follow the known ones.

        Raises:
            UnknownId: an item of a history is not in the catalogue.
            BadInput: a user is no id, or several.
        """
        rows = np.array([UNKNOWN_USER if user is None else self._row_of(user)[0] for user in users])
        items = self.files.item_ids.to_internal([item for history in histories for item in history])
        given = Ragged.from_lengths(items, np.array([len(history) for history in histories], np.int64))
        return self.files.queries(rows, given, exclude_seen=self.options.exclude_seen)

    def _row_of(self, user: Any) -> Ids:
        """The row of a user, or UNKNOWN_USER. Shape [1]."""
        ids = self.files.user_ids
        row = ids.to_internal([one_id(user, "user")], unknown=UNKNOWN_USER)
        if row[0] == UNKNOWN_USER and isinstance(user, str):
            several = [part.strip() for part in user.split(",") if part.strip() in ids]
            if "," in user and several:
                raise BadInput(f"user {user!r:.80} is nobody, but {several[0]!r} is; ask for one user at a time")
        return row

    def answer(
        self, user: Any = None, history: Sequence[Any] = (), k: int = 10, *, explain: bool = False, gold: bool = False
    ) -> Answer:
        """A list for a known user, an unknown one who brings a history, or anybody.

        Args:
            user: external user id; None or unknown is served from the history, or gets popular items.
            history: external item ids, oldest first.
            k: wanted items.
            explain: also say what each stage did and what of the history speaks for each item.
            gold: also rank the whole catalogue.

        Raises:
            UnknownId: an item of the history is not in the catalogue.
            BadInput: k < 1, or the user is no id, or several.
        """
        query, k = self.query(user, history), min(k, len(self.files.item_ids))
        known = user is not None and user in self.files.user_ids
        trace = self.recommender.trace(query, k, unfiltered=explain)
        past = query.histories[0] if explain else np.empty(0, np.int64)
        best = self.recommender.gold_standard(query, k).items[0] if gold else None
        return Answer(
            self.name,
            user,
            headings(trace.how, np.array([known]))[0],
            tuple(self._place(trace, place, past) for place in range(_filled(trace.top))),
            _explanation(trace) if explain else None,
            None if best is None else tuple(self._id(item) for item in best if item != NO_ITEM),
            known,
        )

    def alike(self) -> Floats:
        """Vectors whose cosine says how alike items are: the model's, else of who touched them. Shape [N, D]."""
        if self.likeness is not None:
            return self.likeness
        return vectors_of_histories(self.files.histories, len(self.files.item_ids))

    def scores(self, queries: Queries, rows: Sequence[int], items: Sequence[Any]) -> Floats:
        """Scores of pairs by the stage that orders lists, popularity where nothing is known of the user. Shape [P].

        Args:
            queries: the users.
            rows: query of each pair. P of them.
            items: external id of each pair. P of them.

        Raises:
            UnknownId: an item is not in the catalogue.
        """
        row, item = np.asarray(rows, np.int64), self.files.item_ids.to_internal(items)
        order = np.argsort(row, kind="stable")
        asked = Ragged.from_lengths(item[order], np.bincount(row, minlength=len(queries)))
        width = int(asked.lengths.max(initial=0))
        pairs = asked.padded(width)
        candidates = TopK(pairs, np.where(pairs == NO_ITEM, -np.inf, 0).astype(np.float32))
        found = self.model.pair_scores(queries, candidates) if len(rows) else candidates.scores
        unknown = ~self.direct.knows(queries)
        found[unknown] = self.files.popularity[np.maximum(pairs[unknown], 0)]
        scores = np.empty(len(rows), np.float32)
        scores[order] = found[pairs != NO_ITEM]
        return scores

    def similar(self, item: Any, k: int = 10, vectors: Floats | None = None) -> tuple[Reason, ...]:
        """The items most like one item, by the cosine of their vectors, under the rules of `options`.

        Args:
            item: external id.
            k: wanted items.
            vectors: what `alike` gave; None: it is asked. Shape [N, D].

        Raises:
            UnknownId: the item is not in the catalogue.
            BadInput: k < 1.
        """
        row, k = self.files.item_ids.to_internal([item]), min(k, len(self.files.item_ids))
        top = similar_items(self.alike() if vectors is None else vectors, row, k, self.recommender.allowed)
        pairs = zip(top.items[0].tolist(), top.scores[0].tolist(), strict=True)
        return tuple(Reason(self._id(i), self.title_of(i), cosine) for i, cosine in pairs if i != NO_ITEM)

    def _place(self, trace: Trace, place: int, past: Ids) -> Recommended:
        item = int(trace.top.items[0, place])
        reasons = [] if self.likeness is None or not len(past) else because(self.likeness, item, past)
        shown = self.files.catalogue.describe(item)
        title = str(shown.pop(self.files.title or "", "")) or None
        return Recommended(
            self._id(item),
            title,
            dict(list(shown.items())[:SHOWN_FEATURES]),
            float(trace.candidates.scores[0, trace.candidates.items[0] == item][0]),
            float(trace.top.scores[0, place]),
            tuple(Reason(self._id(r.item), self._title(r.item), r.cosine) for r in reasons),
        )

    def _id(self, item: int) -> Any:
        external = self.files.item_ids.external[item]
        return external.item() if isinstance(external, np.generic) else external

    def title_of(self, item: int) -> str:
        """What people call an item: its title, or the first of its features."""
        title = self._title(item)
        return title or ", ".join(str(value) for value in list(self.files.catalogue.describe(item).values())[:2])

    def _title(self, item: int) -> str | None:
        name = self.files.title
        return None if name is None else str(self.files.catalogue.describe(item).get(name, "")) or None


def headings(how: Sequence[How], known: Bools) -> tuple[How, ...]:
    """A user of the data set is a known one, also where the model reads the history because it is newer. B entries."""
    given = "from the given history"
    return tuple("known user" if is_known and way == given else way for way, is_known in zip(how, known, strict=True))


def _filled(found: TopK) -> int:
    return int((found.items[0] != NO_ITEM).sum())


def _explanation(trace: Trace) -> Explanation:
    removed = {rule: int(counts[0]) for rule, counts in trace.removed.items()}
    retrieved = 0 if trace.retrieved is None else _filled(trace.retrieved)
    return Explanation(retrieved, removed, _filled(trace.candidates))
