"""Trees kept as arrays say what scikit-learn's own say."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from twotower.models.second_stage.examples import Examples
from twotower.models.second_stage.grown_trees import GrownTrees
from twotower.models.second_stage.trees import Trees
from twotower.training.context import QUIET


def pairs(n=3000, seed=0):
    """Positive where the first column is above the second; a tenth of the third is missing and says nothing."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3)).astype(np.float32)
    features[rng.random(n) < 0.1, 2] = np.nan
    return features, features[:, 0] + 0.1 * rng.normal(size=n) > features[:, 1]


@pytest.mark.parametrize("kind", [HistGradientBoostingClassifier, HistGradientBoostingRegressor])
def test_arrays_give_what_the_library_gives(kind):
    features, positive = pairs()
    booster = kind(max_iter=20, random_state=0).fit(features, positive.astype(float))
    expected = (
        booster.decision_function(features) if hasattr(booster, "decision_function") else booster.predict(features)
    )
    values = GrownTrees.of(booster).values(features)
    agree = np.isclose(values, expected, atol=1e-4)
    assert agree.mean() > 0.999  # thresholds are float32 here: a value on the border may fall to the other side


def test_missing_values_go_the_way_that_was_learnt():
    features, _ = pairs()
    positive = np.isnan(features[:, 2])
    booster = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(features, positive)
    values = GrownTrees.of(booster).values(features)
    assert values[positive].min() > values[~positive].max()


def test_a_pairs_score_does_not_depend_on_the_others():
    features, positive = pairs()
    scorer = Trees(n_trees=10)
    scorer.fit(Examples(features, positive, np.arange(len(positive)) // 10), QUIET)
    whole = scorer.scores(features)
    np.testing.assert_array_equal(whole[7:9], scorer.scores(features[7:9]))
    again = Trees(n_trees=10)
    again.set_state(scorer.state())
    np.testing.assert_array_equal(whole, again.scores(features))


def test_trees_order_what_came_true_first():
    features, positive = pairs()
    scorer = Trees(n_trees=50)
    scorer.fit(Examples(features, positive, np.arange(len(positive)) // 10), QUIET)
    new, truth = pairs(seed=1)
    scores = scorer.scores(new)
    assert (scores[truth][:, None] > scores[~truth]).mean() > 0.98
