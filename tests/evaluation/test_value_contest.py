"""A contest by errors of predicted values: order, tests, gains, slices and seeds in their direction, and the report."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from twotower.errors import BadConfig, BadInput
from twotower.evaluation.contest import Entrant, contest
from twotower.evaluation.index_cost import IndexUse
from twotower.evaluation.report import Report
from twotower.metrics.metric import Metric
from twotower.reports.markdown import markdown
from twotower.reports.page import page
from twotower.reports.tables import text_table
from twotower.reports.wording import BETTER, WORSE
from twotower.reports.writers import read_report, write_report
from twotower.runs.tuned_contenders import TunedContender


@pytest.fixture(scope="module")
def report(rated, means):
    contenders = {
        "mean": Entrant(means(trust=0).fit(rated), family="cf"),
        "item": Entrant(means().fit(rated), family="ours"),
        "wrong": Entrant(means(trust=-1).fit(rated), family="cf"),
        "half": Entrant(means(trust=0.5).fit(rated), family="cf"),
    }
    return contest(
        rated, contenders, baseline="mean", primary="rmse", resamples=300, seed=2,
        counterparts={"mean": "wrong", "half": "item"}, builds_on={"item": "mean"},
        index_uses={"half": IndexUse("coarse", "item")},
    )  # fmt: skip


def errors(split, model):
    target = split.test.target
    return (model.predict(target.user, target.item).astype(float) - target.value) ** 2


def test_the_smallest_error_stands_first(report):
    assert [model.name for model in report.ranking()] == ["item", "half", "mean", "wrong"]
    assert report.hero().name == "item"
    lines = text_table(report).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["item", "half", "mean", "wrong"]
    assert "RMSE" in lines[0]
    assert "MAE" in lines[0]


def test_rows_have_no_cut_off_and_hold_the_error_over_all_pairs(report, rated, means):
    row = report.row("item", "rmse")
    assert (row.metric, row.k) == ("rmse", None)
    assert row.mean == pytest.approx(np.sqrt(errors(rated, means().fit(rated)).mean()))
    assert row.low < row.mean < row.high
    assert {row.metric for row in report.rows} == {"rmse", "mae"}
    assert report.ks == ()


def test_a_smaller_error_is_better_by_every_mark(report):
    better, worse = report.row("item", "rmse"), report.row("wrong", "rmse")
    assert better.difference < 0 < worse.difference
    assert better.p_holm < 0.05
    assert better.difference == pytest.approx(better.mean - report.row("mean", "rmse").mean)
    lines = {line.split()[0]: line for line in text_table(report).splitlines()[2:]}
    assert BETTER in lines["item"]
    assert WORSE in lines["wrong"]
    checks = {check.ours: check for check in report.peer_checks}
    assert (checks["wrong"].weaker, checks["wrong"].stronger) == (True, False)
    assert (checks["item"].weaker, checks["item"].stronger) == (False, True)


def test_the_gain_of_an_error_is_its_ratio_to_the_others(report):
    gains = {gain.against: gain for gain in report.gains}
    item, mean = report.row("item", "rmse").mean, report.row("mean", "rmse").mean
    assert gains.keys() == {"mean", "wrong", "half"}
    assert {gain.metric for gain in report.gains} == {"rmse"}
    assert gains["mean"].relative == pytest.approx(item / mean - 1)
    assert gains["mean"].low < gains["mean"].relative < gains["mean"].high < 0


def test_stages_and_indexes_are_compared_by_errors_too(report):
    (gain,), (cost,) = report.stage_gains, report.index_costs
    assert (gain.metric, gain.before_mean) == ("rmse", report.row("mean", "rmse").mean)
    assert gain.low < gain.difference < gain.high < 0
    assert cost.difference == pytest.approx(report.row("half", "rmse").mean - report.row("item", "rmse").mean)


def test_slices_are_errors_over_the_pairs_of_the_slice(report, rated, means):
    squared, target = errors(rated, means().fit(rated)), rated.test.target
    lengths = np.bincount(rated.test.history.user, minlength=60)[target.user]
    rows = [row for row in report.slices if row.model == "item"]
    (row,) = (row for row in rows if row.name == "1-9")
    own = (lengths >= 1) & (lengths <= 9)
    assert row.mean == pytest.approx(np.sqrt(squared[own].mean()))
    assert row.targets == own.sum()
    for kind in ("activity", "popularity"):
        parts = [row for row in rows if row.kind == kind]
        total = sum(row.targets * row.mean**2 for row in parts)
        assert total / sum(row.targets for row in parts) == pytest.approx(squared.mean())
    assert sum(row.targets for row in rows if row.kind == "activity") == len(target)
    assert all(row.low <= row.mean <= row.high for row in rows if row.low is not None)


def test_the_report_is_read_as_it_was_written(report):
    assert Report.from_json(report.to_json()) == report


def test_pages_show_errors_and_nothing_of_lists(report, tmp_path):
    files = write_report(report, tmp_path)
    assert read_report(tmp_path) == report
    assert not [file for file in files if "at_k" in file.name or "curve" in file.name]
    for text in (markdown(report), page(report)):
        assert "RMSE" in text
        assert f"{report.row('item', 'rmse').mean:.4f}" in text
        assert "@k" not in text.replace("@keyframes", "")
        assert "k = " not in text


def test_seeds_are_pooled_by_errors(rated, means):
    models = {seed: means(trust=trust).fit(rated) for seed, trust in ((0, 1.0), (1, 0.5), (2, 0.0))}
    entrant = Entrant(models[0], again={seed: partial(models.get, seed) for seed in (1, 2)})
    report = contest(rated, {"all": entrant}, primary="rmse", resamples=20)
    row = report.row("all", "rmse")
    squared = np.mean([errors(rated, model).mean() for model in models.values()])
    assert row.mean == pytest.approx(np.sqrt(squared))
    assert row.sd == pytest.approx(np.std([np.sqrt(errors(rated, m).mean()) for m in models.values()], ddof=1))


def test_a_tuned_contender_takes_the_smallest_error(rated, means):
    contender = TunedContender(means, {"trust": [-1.0, 0.0, 1.0]}, metric="rmse", seed_option=None)
    (facts,) = contest(rated, {"item": contender}, primary="rmse", resamples=20).models
    scores = [trial["score"] for trial in facts.trials]
    assert facts.trials[int(np.argmin(scores))]["options"] == {"trust": 1.0}
    assert f"{min(scores):.4f}" in markdown(contest(rated, {"item": contender}, primary="rmse", resamples=20))


def test_lists_and_values_stand_in_one_report_and_untested_is_what_the_baseline_lacks(rated, by_score, means):
    class Both(by_score):
        def predict(self, users, items, at=None):
            return means().fit(rated).predict(users, items)

        predicts_values = True

    contenders = {"lists": by_score().fit(rated), "both": Both().fit(rated)}
    report = contest(rated, contenders, baseline="lists", ks=(5,), resamples=50)
    assert [model.name for model in report.measured("rmse")] == ["both"]
    assert report.row("both", "map@10").p_value is not None
    assert (report.row("both", "rmse").difference, report.row("both", "rmse").p_value) == (None, None)
    assert (report.keys("rmse"), report.keys("map")) == (["rmse"], ["map@5", "map@10"])
    assert "RMSE" in markdown(report)
    assert "RMSE" in page(report)
    with pytest.raises(BadConfig, match="ByScore predicts no values, so it has no rmse"):
        contest(rated, contenders, primary="rmse", resamples=10)
    by_errors = contest(rated, {"both": contenders["both"]}, primary="rmse", ks=(5,), resamples=50)
    assert by_errors.ks == (5,)
    assert "RMSE" in page(by_errors)
    assert "RMSE" in markdown(by_errors)


def test_outcomes_make_auc_and_log_loss_primary(liked, means):
    contenders = {"item": means().fit(liked), "mean": means(trust=0).fit(liked)}
    by_auc = contest(liked, contenders, primary="auc", baseline="mean", resamples=100)
    assert [model.name for model in by_auc.ranking()] == ["item", "mean"]
    assert by_auc.row("mean", "auc").mean == 0.5  # ties
    by_loss = contest(liked, contenders, primary="log_loss", resamples=100)
    assert [model.name for model in by_loss.ranking()] == ["item", "mean"]
    assert Metric.parse(by_loss.primary).better == "lower"


def test_what_cannot_be_the_primary_metric_is_said_before_anything_is_fitted(split, liked, means):
    def never(_):
        raise AssertionError("fitted")

    with pytest.raises(BadInput, match="rmse needs targets with values, but all 60 have the value 1"):
        contest(split, {"a": never}, primary="rmse")
    with pytest.raises(BadConfig, match="a predicts values outside 0 and 1, so it has no log_loss; leave it out"):
        contest(liked, {"a": means(scale=0.1).fit(liked)}, primary="log_loss", resamples=10)


def test_doubling_every_target_value_doubles_errors_and_keeps_p_values(rated, means, report):
    twice = replace(rated.test, target=replace(rated.test.target, value=2 * rated.test.target.value))
    doubled = replace(rated, test=twice)
    contenders = {name: means(trust=trust, scale=0.5).fit(rated) for name, trust in (("mean", 0), ("item", 1))}
    other = contest(doubled, contenders, baseline="mean", primary="rmse", resamples=300, seed=2)
    assert other.row("item", "rmse").mean == pytest.approx(2 * report.row("item", "rmse").mean, rel=1e-6)
    assert other.row("item", "rmse").low == pytest.approx(2 * report.row("item", "rmse").low, rel=1e-6)
    assert other.row("item", "rmse").p_value == report.row("item", "rmse").p_value
