"""`Metric`: what is typed is read and written alike, knows its direction, and what makes no sense is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.errors import BadConfig
from twotower.metrics.labels import metric_label, metric_meaning
from twotower.metrics.metric import METRIC_FACTS, VALUE_METRICS, Metric
from twotower.metrics.ranking import METRICS

LISTS = [name for name, facts in METRIC_FACTS.items() if facts.of_lists]


@given(st.sampled_from(LISTS), st.integers(1, 10_000))
def test_what_is_written_is_read_again(name, k):
    metric = Metric.parse(f"{name}@{k}")
    assert (metric.name, metric.k, str(metric)) == (name, k, f"{name}@{k}")
    assert Metric.parse(str(metric)) == metric


@pytest.mark.parametrize("name", VALUE_METRICS)
def test_metrics_of_values_have_no_cut_off(name):
    assert str(Metric.parse(name)) == name
    assert Metric.parse(name).k is None
    with pytest.raises(BadConfig, match=f"'?{name}@5'?: {name} is over pairs and has no cut-off; write {name}"):
        Metric.parse(f"{name}@5")


def test_every_metric_of_lists_that_is_computed_is_known():
    assert set(METRICS) | {"ndcg_linear", "ndcg_exp"} == set(LISTS)
    assert list(METRIC_FACTS)[: len(METRICS)] == list(METRICS)  # tables keep the order in which they are computed


def test_errors_and_losses_are_better_when_lower_and_nothing_else_is():
    assert {name for name, facts in METRIC_FACTS.items() if facts.better == "lower"} == {"rmse", "mae", "log_loss"}
    assert (Metric("rmse").sign, Metric("auc").sign, Metric("map", 5).sign) == (-1, 1, 1)


def test_only_the_rmse_takes_a_root():
    ratio = np.array([0.0, 0.25, 4.0])
    assert Metric("rmse").figure(ratio).tolist() == [0.0, 0.5, 2.0]
    for name in METRIC_FACTS.keys() - {"rmse"}:
        metric = Metric(name, 5 if name in LISTS else None)
        assert metric.figure(ratio).tolist() == ratio.tolist()


def test_a_metric_of_lists_stands_at_every_cut_off_and_one_of_values_alone():
    assert [str(metric) for metric in Metric("map", 3).over((1, 3, 10))] == ["map@1", "map@3", "map@10"]
    assert Metric("rmse").over((1, 3)) == (Metric("rmse"),)


def test_labels_of_metrics_are_those_of_their_names():
    for name in METRIC_FACTS:
        metric = Metric(name, 7 if name in LISTS else None)
        assert metric.label == metric_label(str(metric))
        assert metric.meaning == metric_meaning(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("map", r"map needs a cut-off from 1, e\.g\. map@10"),
        ("map@", "the cut-off '' must be a whole number from 1"),
        ("map@0", "map needs a cut-off from 1"),
        ("map@x", "the cut-off 'x' must be a whole number from 1"),
        ("map@-1", "the cut-off '-1' must be a whole number"),
        ("ndgc@5", "metric 'ndgc' is unknown; did you mean ndcg"),
        ("rsme", "metric 'rsme' is unknown; did you mean rmse"),
        ("@5", "metric '' is unknown; there are map, precision"),
    ],
)
def test_what_is_no_metric_is_refused_with_the_remedy(text, message):
    with pytest.raises(BadConfig, match=message):
        Metric.parse(text)
