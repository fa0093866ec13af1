"""Contenders made of runs through the moments of a rolling test: data and index as of each, or learnt anew."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from twotower.ann.base import IndexBase
from twotower.ann.exact import ExactIndex
from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.evaluation.follow import Examined, Follow, learnt_anew
from twotower.models.base import Model
from twotower.protocols import Recommender
from twotower.runs.bundle import HasVectors
from twotower.runs.served_run import ServedRun
from twotower.stages.list_retriever import ListRetriever
from twotower.stages.recommender import FirstStage
from twotower.stages.retriever import Retriever


@dataclass(frozen=True, slots=True, eq=False)
class RunInTime:
    """One stage of a run that can be made again as of another moment.

    Attributes:
        served: the run as opened.
        stage: makes the contender of a run.
    """

    served: ServedRun
    stage: Callable[[ServedRun], Recommender]

    def follow(self) -> Follow:
        """What the run's model can do."""
        return Follow(self.at if self.served.model.serves_other_moments else None, self.refitted)

    def at(self, dataset: Dataset, history: Interactions, at: int) -> Examined:
        """The stage with catalogue, profiles, index and popularity as of a moment; the weights stay."""
        return self.stage(_with(self.served, self.served.model.serve(dataset, history, at), history))

    def refitted(self, split: Split) -> tuple[Examined, Follow]:
        """The stage of a model with the same options, learnt from train and validation of a split."""
        learnt = learnt_anew(self.served.model, split)
        now = RunInTime(_with(self.served, learnt, split.test.history), self.stage)
        return self.stage(now.served), now.follow()


def _with(served: ServedRun, model: Model, history: Interactions) -> ServedRun:
    """The run with another model, over the same kind of index, built again."""
    popularity = history.item_counts().astype(np.float32)
    files = replace(served.files, popularity=popularity, popularity_then=popularity)
    ranker = None if served.ranker is None else model.ranker()
    return replace(served, files=files, model=model, direct=_first_stage(served, model), ranker=ranker)


def _first_stage(served: ServedRun, model: Model) -> FirstStage:
    """The model's own lists, or an index of the run's kind and options over its vectors."""
    former = served.direct
    if not isinstance(former, Retriever):
        return ListRetriever(model, model.n_items)
    vectors, index = cast(HasVectors, model).item_vectors, former.index
    options = index.options() if isinstance(index, IndexBase) else {"metric": index.metric}
    kind = type(index) if isinstance(index, IndexBase) else ExactIndex
    return Retriever(cast(HasVectors, model), kind(**options).build(vectors), vectors)
