"""What an accumulator adds up beyond ranking metrics: grades, popularity bias, diversity of lists by features."""

from dataclasses import replace

import numpy as np
import pytest

from twotower.data.categories import Categories
from twotower.data.schema import Column, FeatureSchema, Kind
from twotower.data.split import Holdout
from twotower.data.tables import FeatureTable
from twotower.evaluation.accumulator import Detail
from twotower.evaluation.contest import contest
from twotower.evaluation.examine import examine
from twotower.evaluation.item_features import item_features
from twotower.evaluation.measurable import has_grades
from twotower.metrics.catalogue import intra_list_diversity, popularity_bias, shown_counts
from twotower.metrics.graded import graded_ndcg


def graded(split):
    values = np.random.default_rng(0).integers(1, 6, len(split.test.target)).astype(np.float32)
    return Holdout(split.test.history, replace(split.test.target, value=values), split.test.at)


def test_targets_with_ratings_give_graded_ndcg_and_others_do_not(split, by_score):
    model, holdout = by_score().fit(split), graded(split)
    found = examine(model, holdout, ks=(5,), block=7)
    lists = model.recommend(holdout.queries(), 5)
    expected = graded_ndcg(lists, holdout.relevant(), holdout.grades(), 5, "exponential")
    np.testing.assert_array_equal(found.values("ndcg_exp@5"), expected)
    assert "ndcg_linear@5" in found.per_user
    assert "ndcg_exp@5" not in examine(model, split.test, ks=(5,)).per_user


@pytest.mark.parametrize(("values", "are"), [((1, 1), False), ((1, 5), True), ((0, 5), False), ((1, 900), False)])
def test_grades_are_different_positive_and_small(split, values, are):
    drawn = np.resize(np.array(values, np.float32), len(split.test.target))
    assert has_grades(Holdout(split.test.history, replace(split.test.target, value=drawn), 0)) == are


@pytest.fixture(scope="module")
def with_features(split):
    """Items of two makes; the title names each item apart and must not count."""
    n = split.dataset.n_items
    columns = {
        "make": Categories.of([("a", "b")[item % 2] for item in range(n)]),
        "title": Categories.of([f"item {item}" for item in range(n)]),
    }
    table = FeatureTable(FeatureSchema(tuple(Column(name, Kind.CATEGORICAL) for name in columns)), columns, n)
    return replace(split, dataset=replace(split.dataset, items=table, title="title"))


def test_item_features_are_unit_rows_without_the_title(with_features, split):
    features = item_features(with_features).toarray()
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1)
    np.testing.assert_allclose(features @ features.T, np.tile(np.eye(2), (20, 20)))
    assert item_features(split) is None


def test_diversity_and_popularity_bias_are_those_of_all_lists(with_features, by_score):
    model = by_score(noise=4.0).fit(with_features)
    features = item_features(with_features)
    found = examine(model, with_features.test, ks=(3,), block=8, detail=Detail(features=features)).catalogue
    lists = model.recommend(with_features.test.queries(), 3)
    assert found["diversity@3"] == pytest.approx(np.nanmean(intra_list_diversity(lists, features.toarray(), 3)))
    odd = (lists.items[:, :3] % 2).sum(axis=1)  # 0 or 3: all of one make, distance 0; else two of three pairs differ
    assert found["diversity@3"] == pytest.approx(np.where((odd == 0) | (odd == 3), 0, 2 / 3).mean())
    popularity = with_features.test.history.item_counts()
    assert found["popularity_bias@3"] == pytest.approx(popularity_bias(shown_counts(lists, 40), popularity))


def test_a_report_has_both_for_every_model(with_features, by_score):
    report = contest(with_features, {"a": by_score().fit(with_features)}, ks=(5,), resamples=10)
    assert {"diversity@5", "popularity_bias@5", "diversity@10"} <= set(report.models[0].catalogue)
