"""What an index costs: a blinkered one shows its loss to the digit, an exact one shows none."""

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.errors import BadConfig
from twotower.evaluation.contest import contest
from twotower.evaluation.index_cost import IndexUse
from twotower.evaluation.report import Report
from twotower.reports.markdown import markdown
from twotower.reports.wording import index_cost_line
from twotower.stages.recommender import TwoStageRecommender
from twotower.stages.retriever import Retriever
from twotower.types import TopK

N_ITEMS = 40  # of the toy data set
VECTORS = np.eye(N_ITEMS, dtype=np.float32)


class Blinkered(ExactIndex):
    """Never finds the second half of the catalogue, but always returns full lists."""

    exact = False

    def search(self, vectors, k):
        found = super().search(vectors, N_ITEMS)
        order = np.argsort(found.items >= N_ITEMS // 2, axis=1, kind="stable")
        items, scores = (np.take_along_axis(a, order, 1)[:, : N_ITEMS // 2] for a in (found.items, found.scores))
        return TopK(items, scores).padded(k)


class KnowsTheAnswer:
    """The vector of a user is that of the one item that the test wants."""

    def __init__(self, split):
        self.target = {user: items[0] for user, items in enumerate(split.test.target.by_user()) if len(items)}

    def user_vectors(self, queries):
        return VECTORS[[self.target[user] for user in queries.users]]


@pytest.fixture(scope="module")
def costs(split):
    """Of a blinkered and an exact index, the list length being too small for exact search to step in."""

    def stages(index):
        return TwoStageRecommender(Retriever(KnowsTheAnswer(split), index.build(VECTORS)), n_candidates=1)

    contenders = {"blinkered": stages(Blinkered()), "exact": stages(ExactIndex())}
    uses = {"blinkered": IndexUse("Blinkered", "exact"), "exact": IndexUse("ExactIndex", None)}
    return contest(split, contenders, ks=(1, 5), resamples=500, index_uses=uses)


def test_a_blinkered_index_loses_just_the_users_whose_item_it_cannot_find(costs, split):
    targets = np.array(list(KnowsTheAnswer(split).target.values()))
    lost = float((targets >= N_ITEMS // 2).mean())
    assert 0.1 < lost < 0.9
    cost = costs.index_costs[0]
    assert (cost.exact_mean, cost.mean) == (1.0, pytest.approx(1 - lost))
    assert (cost.difference, cost.relative) == (pytest.approx(-lost), pytest.approx(-lost))
    assert cost.low < cost.difference < cost.high < 0
    assert cost.p_value < 0.01
    assert f"with exact retrieval 1.0000: {-lost:+.2%}, difference {-lost:+.5f} (95% interval" in index_cost_line(
        costs, cost
    )


def test_an_exact_index_loses_nothing(costs):
    cost = costs.index_costs[1]
    assert (cost.mean, cost.exact_mean, cost.difference, cost.relative, cost.p_value) == (1.0, 1.0, 0.0, 0.0, None)
    assert "the index costs nothing" in index_cost_line(costs, cost)


def test_the_costs_stand_on_the_page_and_in_json(costs):
    assert "## What the index costs" in markdown(costs)
    assert Report.from_json(costs.to_json()).index_costs == costs.index_costs


def test_a_report_without_an_index_says_nothing_of_it(split, by_score):
    report = contest(split, {"popular": by_score().fit(split)}, resamples=10)
    assert report.index_costs == ()
    assert "index" not in markdown(report)


def test_exact_retrieval_that_was_not_examined_is_refused(split, by_score):
    with pytest.raises(BadConfig, match="'exact' must be a contender; there are popular"):
        contest(split, {"popular": by_score().fit(split)}, index_uses={"popular": IndexUse("x", "exact")})
