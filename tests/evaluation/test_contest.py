"""`contest`: every kind of contender, figures of the runner, tests against the baseline, costs and identity."""

from functools import partial

import numpy as np
import pytest

from twotower.errors import BadConfig
from twotower.evaluation.contest import Entrant, contest
from twotower.evaluation.examine import examine
from twotower.metrics.ranking import METRICS
from twotower.metrics.significance import holm, permutation_test
from twotower.runs.tuned_contenders import TunedContender
from twotower.tuning.tune import fit_final


@pytest.fixture(scope="module")
def report(split, by_score):
    contenders = {
        "popular": by_score().fit(split),
        "tuned": TunedContender(partial(by_score, noise=2.0), {"weight": [0.0, 1.0]}),
        "made": lambda given: by_score(weight=-1.0).fit(given),
        "fitted": Entrant(by_score().fit(split), {"why": "by hand"}, fit_seconds=1.5),
    }
    return contest(split, contenders, baseline="popular", ks=(1, 5), resamples=200, config={"a": {"b": 1}})


def test_rows_are_the_means_of_the_runner(report, split, by_score):
    assert len(report.rows) == 4 * len(METRICS) * 3  # contenders, metrics, k in 1, 5 and the primary's 10
    for name, model in (("popular", by_score().fit(split)), ("made", by_score(weight=-1.0).fit(split))):
        for metric, mean in examine(model, split.test, ks=(1, 5, 10)).means.items():
            row = report.row(name, metric)
            assert row.mean == mean
            assert row.low <= row.mean <= row.high


def test_a_tuned_contender_is_fitted_on_train_and_validation_and_keeps_its_trials(report, split, by_score):
    facts = next(model for model in report.models if model.name == "tuned")
    build = partial(by_score, noise=2.0)
    expected = examine(fit_final(build, {"weight": 1.0}, split), split.test).mean("map@10")
    assert report.row("tuned", "map@10").mean == expected
    assert facts.options == {"weight": 1.0, "noise": 2.0, "seed": 0}
    assert [trial["options"] for trial in facts.trials] == [{"weight": 0.0}, {"weight": 1.0}]
    assert (facts.tuned_on, facts.grid_size) == ("map@10", 2)
    assert facts.tune_seconds > 0


def test_the_baseline_is_not_tested_and_an_equal_model_does_not_differ(report, split, by_score):
    assert report.row("popular", "map@10").p_value is None
    same, worse = report.row("fitted", "map@10"), report.row("made", "map@10")
    assert (same.difference, same.p_value) == (0.0, 1.0)
    assert worse.difference == pytest.approx(worse.mean - report.row("popular", "map@10").mean)
    assert worse.difference < 0
    models = by_score(weight=-1.0).fit(split), by_score().fit(split)
    values = [examine(model, split.test, ks=(10,)).values("map@10") for model in models]
    exact = permutation_test((values[0] - values[1])[:, None], resamples=20_000, seed=9)[0]
    assert worse.p_value == pytest.approx(exact, abs=0.08)  # 200 resamples: sd .022


def test_p_values_are_corrected_for_the_models_of_one_metric_at_one_cut_off(report):
    for metric in ("map@10", "recall@1"):
        rows = [report.row(name, metric) for name in ("tuned", "made", "fitted")]
        assert [row.p_holm for row in rows] == holm(np.array([row.p_value for row in rows])).tolist()
    assert report.row("popular", "map@10").p_holm is None


def test_models_are_ordered_by_the_primary_metric(report):
    means = [report.row(model.name, "map@10").mean for model in report.ranking()]
    assert means == sorted(means, reverse=True)
    assert report.ranking()[-1].name == "made"


def test_the_report_says_what_was_measured_where_and_at_what_cost(report, split):
    assert report.dataset == {
        "name": "toy", "fingerprint": split.dataset.fingerprint(), "users": 60, "items": 40,
        "events": len(split.dataset.interactions),
    }  # fmt: skip
    assert report.split["name"] == "leave_last(n=1)"
    assert report.split["test"]["users"] == len(split.test.users())
    assert report.split["train_events"] == len(split.train)
    assert report.config == {"a": {"b": 1}}
    assert report.machine["cores"] >= 1
    assert report.versions.keys() >= {"python", "numpy", "twotower"}
    assert 2**24 < report.peak_memory_bytes < 2**40
    assert next(m for m in report.models if m.name == "fitted").fit_seconds == 1.5


def test_each_contender_is_told_when_done(split, by_score, said):
    lines, say = said()
    contest(split, {"only": by_score().fit(split)}, resamples=10, say=say)
    assert len(lines) == 1
    assert lines[0].startswith("[1/1] only: map@10 0.")
    assert "users/s" in lines[0]


def test_a_baseline_that_is_no_contender_is_refused(split, by_score):
    with pytest.raises(BadConfig, match="baseline 'als' must be a contender; there are popular"):
        contest(split, {"popular": by_score().fit(split)}, baseline="als")
    with pytest.raises(BadConfig, match="contender"):
        contest(split, {})
