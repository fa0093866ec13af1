"""Examined day by day: figures by hand, the whole as the sum of its days, models as of each day, learnt anew or not."""

from dataclasses import replace

import numpy as np
import pytest

from twotower.data.dataset import Dataset, Lifetimes
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.splitters import ByTime, Rolling
from twotower.data.tables import FeatureTable
from twotower.evaluation.accumulator import Detail
from twotower.evaluation.contest import Entrant, contest
from twotower.evaluation.examine import examine
from twotower.evaluation.report import Report
from twotower.evaluation.slices import POPULARITY, slicings
from twotower.topk import top_k
from twotower.training.context import QUIET
from twotower.types import Queries, TopK

DAY = 86_400
START = 100 * DAY
NOON = DAY // 2
KNOWN = ((0, 0, START - 9 * DAY), (1, 1, START - 9 * DAY), (0, 1, START - DAY), (1, 0, START - DAY))
TEST = (
    (0, 2, START + NOON),  # day 0
    (1, 3, START + NOON),
    (0, 3, START + DAY + NOON),  # day 1
    (0, 4, START + DAY + NOON + 1),
    (1, 4, START + 2 * DAY + NOON),  # day 2
)


def dataset(lifetimes: Lifetimes | None = None) -> Dataset:
    user, item, time = np.array([*KNOWN, *TEST], np.int64).T
    log = Interactions.of(user, item, time, n_users=2, n_items=5)
    ids = IdMap.of(["a", "b"], "user"), IdMap.of(list("vwxyz"), "item")
    return Dataset("days", log, FeatureTable.empty(2), FeatureTable.empty(5), *ids, lifetimes=lifetimes)


def rolling(lifetimes: Lifetimes | None = None, **options):
    return Rolling(split=ByTime(validation=START - 2 * DAY, test=START), **options).split(dataset(lifetimes))


class Counts:
    """Most touched items first, ties by id; says when it was served and from what it learnt."""

    serves_other_moments = True

    def __init__(self) -> None:
        self.served: list[tuple[int, int, int]] = []
        self.learnt: list[tuple[int, int]] = []
        self.counts = np.zeros(5, np.float32)

    def fit(self, split, context=QUIET):
        self.counts = split.train.item_counts().astype(np.float32)
        self.learnt.append((split.test.at, len(split.train)))
        return self

    def fit_for_test(self, split, context=QUIET):
        return self.fit(split.refit())

    def __deepcopy__(self, memo):
        other = type(self)()
        other.served, other.learnt = self.served, self.learnt
        return other

    def serve(self, data: Dataset, history: Interactions, at: int):
        assert history.time.max() < at
        assert data.interactions.time.max() < at
        self.served.append((at, len(history), len(data.interactions)))
        self.counts = history.item_counts().astype(np.float32)
        return self

    def recommend(self, queries: Queries, k: int) -> TopK:
        return top_k(np.tile(self.counts, (len(queries), 1)), k, queries.exclusions, queries.allowed)


class Stands(Counts):
    serves_other_moments = False


def days(moments: list[tuple[int, int]]) -> list[tuple[float, int]]:
    return [((at - START) / DAY, n) for at, n in moments]


def test_figures_of_each_day_and_of_the_whole_by_hand():
    """Served day by day.

    Day 0: items 0 and 1 have two events each, the others none, and both users know 0 and 1: lists 2, 3, 4. User 0 wants
    2 (rank 1), user 1 wants 3 (rank 2): MRR 1 and 1/2. Day 1: counts 2, 2, 1, 1, 0 and user 0 knows 0, 1, 2: list 3, 4;
    3 and 4 are wanted, rank 1: 1. Day 2: counts 2, 2, 1, 2, 1; user 1 knows 0, 1, 3: list 2, 4; 4 is wanted: 1/2.
    """
    model, split = Counts().fit(rolling()), rolling()
    found = examine(model, split.test, ks=(3,), detail=Detail(metrics=("mrr@3",)))
    assert [round_.per_user["mrr@3"].mean() for round_ in found.rounds] == [0.75, 1.0, 0.5]
    assert [(r.n_users, r.n_targets, r.n_competing) for r in found.rounds] == [(2, 2, 5), (1, 2, 5), (1, 1, 5)]
    ratio = found.ratio("mrr@3")
    assert ratio.amount.tolist() == [2.0, 1.0]  # user 0: 1 + 1, user 1: 1/2 + 1/2
    assert ratio.weight.tolist() == [2.0, 2.0]  # asked twice each
    assert found.mean("mrr@3") == 3 / 4
    assert days([(at, n) for at, n, _ in model.served]) == [(0, 4), (1, 6), (2, 8)]
    assert all(n == of_data for _, n, of_data in model.served)


def test_a_model_that_stands_gets_the_newer_histories_alone():
    """Counts stay 2, 2, 0, 0, 0, exclusions do not: day 2 asks user 1, who knows 0, 1, 3, and gets 2, 4: 1/2."""
    model = Stands().fit(rolling())
    found = examine(model, rolling().test, ks=(3,), metrics=("mrr@3",), detail=Detail(metrics=("mrr@3",)))
    assert model.served == []
    assert [round_.per_user["mrr@3"].mean() for round_ in found.rounds] == [0.75, 1.0, 0.5]


def test_every_metric_of_the_whole_is_the_sum_over_days_and_lists_are_counted_together():
    split, model = rolling(), Counts()
    metrics = ("map@2", "precision@1", "recall@3", "ndcg@3", "hit_rate@1")
    whole = examine(model, split.test, ks=(3,), detail=Detail(metrics=metrics), metrics=metrics)
    for metric in metrics:
        parts = [round_.per_user[metric] for round_ in whole.rounds]
        asked = sum(len(part.amount) for part in parts)
        assert whole.mean(metric) == pytest.approx(sum(part.amount.sum() for part in parts) / asked)
    assert whole.catalogue["coverage@3"] == 3 / 5  # only 2, 3 and 4 are new to anybody


def test_days_do_not_depend_on_what_happens_later():
    """A planted leak: the target itself is in no history and no data; whoever peeked would have a perfect list."""

    class Peeks(Counts):
        def recommend(self, queries: Queries, k: int) -> TopK:
            for user, history in zip(queries.users, queries.histories, strict=True):
                wanted = {item for u, item, time in TEST if u == user and time >= self.at}
                assert not wanted & set(history.tolist())
            return super().recommend(queries, k)

        def serve(self, data, history, at):
            self.at = at
            later = [(u, i) for u, i, time in TEST if time >= at]
            known = set(zip(data.interactions.user.tolist(), data.interactions.item.tolist(), strict=True))
            assert not known & set(later)
            return super().serve(data, history, at)

    examine(Peeks(), rolling().test, ks=(1,))


def test_refits_come_when_the_last_fit_is_old_and_know_only_what_came_before():
    model = Counts().fit(rolling())
    examine(model, rolling(refit_days=1).test, ks=(1,))
    assert days(model.learnt) == [(0, 2), (1, 6), (2, 8)]  # train alone; then all events before days 1 and 2
    model = Counts().fit(rolling())
    examine(model, rolling(refit_days=2).test, ks=(1,))
    assert days(model.learnt) == [(0, 2), (2, 8)]
    assert days([(at, n) for at, n, _ in model.served]) == [(0, 4), (1, 6)]


def test_what_is_not_there_on_the_day_is_not_found():
    """Item 3 is listed on day 1: user 1, who wants it at noon of day 0, cannot get it; user 0 can on day 1."""
    lives = Lifetimes(np.array([0, 0, 0, START + DAY, 0]), np.full(5, 10**9))
    found = examine(Counts(), rolling(lives).test, ks=(3,), detail=Detail(metrics=("recall@3",)))
    assert [round_.n_competing for round_ in found.rounds] == [4, 5, 5]
    assert [round_.per_user["recall@3"].mean() for round_ in found.rounds] == [0.5, 1.0, 1.0]


def test_one_moment_gives_the_figures_of_the_split_itself():
    once = ByTime(validation=START - 2 * DAY, test=START).split(dataset())
    one = Rolling(split=ByTime(validation=START - 2 * DAY, test=START), every_days=9).split(dataset())
    detail = Detail(slicings(once.test, [POPULARITY])[POPULARITY], ("map@3",))
    plain, rolled = (
        examine(Counts().fit(once), split.test, ks=(3,), detail=detail) for split in (once, one)
    )  # fmt: skip
    assert rolled.means == plain.means
    assert rolled.catalogue == plain.catalogue
    for name, ratios in plain.sliced.items():
        np.testing.assert_array_equal(rolled.sliced[name]["map@3"].values, ratios["map@3"].values)


@pytest.fixture(scope="module")
def report() -> Report:
    split = rolling(refit_days=2)
    contenders = {
        "fresh": Entrant(Counts().fit(split), family="ours", again={1: lambda: Counts().fit(split)}),
        "stands": Entrant(Stands().fit(split), family="popular"),
    }
    return contest(split, contenders, baseline="stands", ks=(1, 3), primary="mrr@3", resamples=50)


def test_a_report_has_a_row_a_day_and_says_how_each_contender_followed(report):
    days = [(row.at, row.model, row.users, row.targets) for row in report.moments if row.metric == "mrr@3"]
    assert days[:2] == [("1970-04-11", "fresh", 2, 2), ("1970-04-11", "stands", 2, 2)]
    assert len(days) == 6
    assert report.split["test"] | {"asked_at": 0} == {
        "users": 2, "targets": 5, "asked_at": 0, "moments": 3, "questions": 4,
    }  # fmt: skip
    follows = {model.name: model.follows for model in report.models}
    assert follows["fresh"] == "catalogue, profiles and index as of each moment; learnt anew every 2 days"
    assert "newer histories only, catalogue and profiles as of 1970-04-11" in follows["stands"]


def test_means_over_days_weighted_by_questions_are_the_row_of_the_whole(report):
    rows = [row for row in report.moments if (row.model, row.metric) == ("fresh", "mrr@3")]
    assert sum(row.mean * row.users for row in rows) / 4 == pytest.approx(report.row("fresh", "mrr@3").mean)


def test_a_rolling_report_is_read_back_as_it_was(report):
    assert Report.from_json(report.to_json()).moments == report.moments


def test_rolling_users_are_drawn_with_all_their_days(report):
    """Two users, asked twice each: with users as units an interval of two values has ends among their means."""
    row = report.row("fresh", "mrr@3")
    assert {row.low, row.high} <= {0.5, 0.75, 1.0}


def test_predicted_values_are_asked_day_by_day(means):
    log = rolling().dataset.interactions
    valued = Interactions.of(
        log.user, log.item, log.time, value=1.0 + np.arange(len(log)) % 5, n_users=2, n_items=5
    )  # fmt: skip
    data = replace(rolling().dataset, interactions=valued)
    split = Rolling(split=ByTime(validation=START - 2 * DAY, test=START), every_days=1).split(data)
    model = means().fit(split)
    once = ByTime(validation=START - 2 * DAY, test=START).split(data)
    assert examine(model, split.test).mean("rmse") == pytest.approx(examine(model, once.test).mean("rmse"))
