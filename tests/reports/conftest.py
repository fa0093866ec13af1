"""A report of two models, and insights with a value for every section that has one."""

import numpy as np
import pytest

from twotower.data.categories import Categories
from twotower.data.schema import Column, FeatureSchema, Kind
from twotower.data.tables import FeatureTable
from twotower.evaluation.contest import Entrant, contest
from twotower.reports.index_frontier import Frontier, FrontierPoint
from twotower.reports.section import Insights
from twotower.reports.sections.examples import Example, ExampleLists, Place
from twotower.reports.sections.index import IndexFindings
from twotower.reports.sections.popularity import ShownItems, exposure_of
from twotower.reports.sections.repeat import Commands
from twotower.reports.sections.scores import RankNetScores, reliability_of, scores_of
from twotower.reports.sections.stages import stages_of
from twotower.reports.sections.training import LearningCurves
from twotower.reports.sections.vectors import ItemVectors, vector_map
from twotower.reports.watching import Watched
from twotower.types import Ragged, TopK

HOSTILE = '<script>alert("x")</script> & $x_1$'


@pytest.fixture(scope="session")
def hostile() -> str:
    """A name that would run if it were not escaped."""
    return HOSTILE


@pytest.fixture(scope="package")
def report(split, by_score):
    contenders = {
        "ours": Entrant(by_score(weight=0.0, noise=1.0).fit(split), family="ours"),
        "popular": Entrant(by_score().fit(split), family="popular"),
    }
    return contest(split, contenders, baseline="popular", ks=(1, 5, 10), resamples=100)


@pytest.fixture(scope="package")
def ranked():
    """Two users with four candidates; user 0 took item 2 (second place), user 1 nothing of these."""
    scores = np.log(np.array([[0.42, 0.3, 0.16, 0.12], [0.7, 0.1, 0.1, 0.1]], np.float32))
    return TopK(np.array([[5, 2, 7, 1], [3, 4, 6, 0]]), scores)


@pytest.fixture(scope="package")
def insights(ranked):
    watched = Watched(Ragged.from_lists([[2], [9]]), ranked, ranked)
    vectors = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    schema = FeatureSchema((Column("kind", Kind.CATEGORICAL),))
    table = FeatureTable(schema, {"kind": Categories.of([HOSTILE, "b"] * 20)}, 40)
    epochs = ({"epoch": 0, "loss": 2.0, "validation": 0.1}, {"epoch": 1, "loss": 1.0, "validation": 0.2})
    places = (Place("2", "two", hit=True), Place("3", "three"))
    points = (FrontierPoint("exact", 1.0, 0.9, exact=True), FrontierPoint("F 8", 0.9, 0.2, True))
    exposure = exposure_of(np.arange(100), {"both stages": np.array([99, 99, 0])})
    values = {
        "stages": stages_of(watched),
        "index": IndexFindings({"index": "FaissIndex", "recall": {"@10": 0.99}}, Frontier(points, "At ease.")),
        "scores": RankNetScores(scores_of(ranked, watched.hits), reliability_of(ranked, watched.hits)),
        "popularity": ShownItems(exposure),
        "training": LearningCurves((("choosing the epochs", epochs),)),
        "vectors": ItemVectors(vector_map(vectors, table)),
        "examples": ExampleLists((Example(HOSTILE, 1, (Place("1", HOSTILE),), places, 1),)),
        "repeat": Commands(("python -m twotower.evaluate run=r",)),
    }
    return Insights("r", values)
