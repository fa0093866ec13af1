"""The audit of a split: shares by hand; the opposite order of equal times is cut, fitted and asked anew."""

import numpy as np
import pytest

from twotower.data.dataset import Dataset, Lifetimes
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.splitters import ByTime, LeaveLast, RandomSplit, Rolling
from twotower.data.tables import FeatureTable
from twotower.data.ties import ties_reversed
from twotower.evaluation.audit import split_audit
from twotower.evaluation.contest import Entrant, contest
from twotower.evaluation.report import Report
from twotower.models.popular import Popular
from twotower.reports.audit import audit_lines
from twotower.reports.markdown import markdown
from twotower.reports.page import page

EVENTS = (
    (0, 0, 1), (0, 1, 2), (0, 2, 12), (0, 3, 22),
    (1, 0, 3), (1, 1, 12), (1, 4, 23), (1, 1, 24), (1, 5, 25),
    (2, 3, 24),
)  # fmt: skip


def dataset(lifetimes: Lifetimes | None = None) -> Dataset:
    user, item, time = np.array(EVENTS, np.int64).T
    log = Interactions.of(user, item, time, n_users=3, n_items=6)
    ids = IdMap.of(range(3), "user"), IdMap.of(range(6), "item")
    return Dataset("six", log, FeatureTable.empty(3), FeatureTable.empty(6), *ids, lifetimes=lifetimes)


def test_shares_of_a_cut_by_time_by_hand():
    """Test targets: (0, 3), (1, 4), (1, 5), (2, 3); the repeat (1, 1) is none. Items 3, 4 and 5 are new, user 2 is."""
    lives = Lifetimes(np.array([0, 0, 0, 0, 0, 21]), np.array([99, 99, 99, 99, 15, 99]))
    test = split_audit(ByTime(validation=10, test=20).split(dataset(lives)))["test"]
    assert test == {
        "tied_users": 0, "decided_by_ties": 0, "older_than_learnt": 0,
        "not_to_be_had": 2 / 4,  # item 4 is sold, item 5 is listed after 20
        "new_items": 1.0, "new_users": pytest.approx(1 / 3),
    }  # fmt: skip


def test_a_rolling_test_finds_what_is_listed_in_time():
    """Asked at 20 and from there on every five seconds: item 5, listed at 21, can be had at 25, when it is wanted."""
    lives = Lifetimes(np.array([0, 0, 0, 0, 0, 21]), np.array([99, 99, 99, 99, 15, 99]))
    rolled = Rolling(split=ByTime(validation=10, test=20), every_days=5 / 86_400).split(dataset(lives))
    assert split_audit(rolled)["test"]["not_to_be_had"] == 1 / 4


def test_leaving_the_last_out_learns_from_later_events_of_others():
    """User 2's only event, at 24, is learnt: later than both targets of validation, and than one of 22 and 25."""
    audit = split_audit(LeaveLast(n=1).split(dataset()))
    assert audit["test"]["older_than_learnt"] == 1 / 2
    assert audit["validation"]["older_than_learnt"] == 1  # 12 and 23


def test_a_random_cut_has_no_order_to_hang_on(data):
    audit = split_audit(RandomSplit(seed=0).split(data))["test"]
    assert (audit["tied_users"], audit["decided_by_ties"]) == (None, None)
    assert audit["older_than_learnt"] > 0.5


@pytest.fixture(scope="module")
def coarse(data) -> Dataset:
    """The toy data with times in steps of a hundred, so that many events share one."""
    log = data.interactions
    return data.with_interactions(
        Interactions.of(log.user, log.item, log.time // 100, n_users=log.n_users, n_items=log.n_items)
    )


@pytest.fixture(scope="module")
def cut(coarse):
    return LeaveLast(n=1).split(coarse)


@pytest.fixture(scope="module")
def report(coarse, cut) -> Report:
    popular = Entrant(Popular().fit(cut.refit()), family="popular")
    other = LeaveLast(n=1).split(ties_reversed(coarse))
    return contest(cut, {"popular": popular}, ks=(10,), resamples=100, other_order=other)


def test_both_orders_stand_in_the_report_on_request(report, coarse):
    (row,) = report.other_order
    other = LeaveLast(n=1).split(ties_reversed(coarse))
    again = contest(other, {"popular": Popular().fit(other.refit())}, ks=(10,), resamples=100)
    assert row.mean == report.row("popular", "map@10").mean
    assert row.reversed_mean == pytest.approx(again.row("popular", "map@10").mean)
    assert row.reversed_low == pytest.approx(again.row("popular", "map@10").low)
    assert Report.from_json(report.to_json()).other_order == report.other_order


def test_the_page_says_what_ties_decide_and_how_to_ask_for_the_other_order(report, cut):
    tied = report.split["audit"]["test"]
    assert tied["tied_users"] > 0
    assert f"{tied['decided_by_ties']:.1%} of the targets; in the opposite order popular reaches" in page(report)
    once = contest(cut, {"popular": Popular().fit(cut)}, ks=(10,), resamples=100)
    assert any("eval.both_orders=true" in line for line in audit_lines(once))
    assert "| users of whom a held-out event has the time of an event that is known |" in markdown(once)
