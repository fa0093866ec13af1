"""A run through the moments of a rolling test: its model, index and popularity are those of the moment asked."""

import numpy as np
import pytest

from twotower.ann.kmeans import KMeansIndex
from twotower.data.split import Split
from twotower.data.splitters import ByTime, Rolling
from twotower.evaluation.examine import examine
from twotower.runs.following import RunInTime
from twotower.runs.indexing import build_index
from twotower.runs.served_run import ServedRun
from twotower.stages.recommender import TwoStageRecommender

HOUR, FIRST = 3600, 1_500_000_000


@pytest.fixture
def rolled(small_run) -> Split:
    """The last 48 of 288 hours, asked for twice; the events of users u20 to u23, who did nothing before."""
    cut = ByTime(validation=FIRST + 200 * HOUR, test=FIRST + 240 * HOUR)
    return Rolling(split=cut, every_days=1).split(small_run.dataset)


def both(served: ServedRun) -> TwoStageRecommender:
    return TwoStageRecommender(served.direct, served.ranker, n_candidates=30, popularity=served.popularity_then)


def test_a_stage_is_made_again_as_of_a_moment_over_an_index_of_the_same_kind(small_run, rolled):
    options = {"_target_": "twotower.ann.kmeans.KMeansIndex", "cells": 4}
    build_index(options, "small", small_run.runs_dir, recall_at=(10,), min_recall=0.0)
    served = ServedRun.open("small", small_run.runs_dir)
    asked = list(rolled.test.rounds())[-1]
    now = RunInTime(served, both).at(rolled.test.data_at(asked), asked.history, asked.at)
    assert type(now.retriever.index) is KMeansIndex
    assert now.retriever.index is not served.direct.index
    assert now.retriever.index.cells == 4
    np.testing.assert_array_equal(now.retriever.vectors, served.model.item_vectors)
    np.testing.assert_array_equal(now.popularity, asked.history.item_counts())


def test_a_second_stage_of_one_run_begins_where_the_first_began(small_run, rolled):
    """The stages share one model, which the first of them took to the last moment."""
    served = ServedRun.open("small", small_run.runs_dir)
    alone = [
        examine(both(served), rolled.test, ks=(10,), follow=RunInTime(served, both).follow()).means for _ in range(2)
    ]
    assert alone[0] == alone[1]


def test_learning_anew_leaves_the_run_as_it_was(small_run, rolled):
    served = ServedRun.open("small", small_run.runs_dir)
    before = {name: array.copy() for name, array in served.model.state().items()}
    asked = list(rolled.test.rounds())[-1]
    stage, follow = RunInTime(served, both).refitted(rolled.test.split_at(asked))
    assert follow.serve is not None
    assert stage.recommend(asked.queries(), 5).items.shape == (len(asked.users()), 5)
    for name, array in served.model.state().items():
        np.testing.assert_array_equal(array, before[name])
