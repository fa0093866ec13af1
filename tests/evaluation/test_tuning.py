"""Tuning: the test cannot be reached, the search is the same for all, the last fit knows everything but the test."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.split import FinalSplit
from twotower.errors import BadConfig, LeakError, TrainingDiverged
from twotower.evaluation.blind import BlindSplit, blind_final
from twotower.evaluation.runner import evaluate
from twotower.evaluation.tuning import combinations, fit_final, tune


def pair_set(events):
    return set(events.pair_keys().tolist())


def test_a_blind_split_has_everything_but_the_test(any_split):
    blind = BlindSplit.of(any_split)
    assert blind.train is any_split.train
    assert blind.validation is any_split.validation
    assert (blind.name, blind.ordered_by_time) == (any_split.name, any_split.ordered_by_time)
    for touch in (lambda: blind.test, lambda: blind.test.target, blind.refit):
        with pytest.raises(LeakError):
            touch()


def test_the_data_set_of_a_blind_split_holds_no_test_event(any_split):
    hidden = pair_set(any_split.test.target)
    for seen in (BlindSplit.of(any_split), blind_final(any_split)):
        assert not pair_set(seen.dataset.interactions) & hidden
        assert pair_set(any_split.train) < pair_set(seen.dataset.interactions)
        assert seen.dataset.items is any_split.dataset.items


def test_the_final_split_joins_train_and_validation_and_has_no_targets(any_split):
    final = blind_final(any_split)
    assert isinstance(final, FinalSplit)
    assert pair_set(any_split.train) | pair_set(any_split.validation.target) <= pair_set(final.train)
    assert len(final.test.target) == 0
    assert final.test.at == any_split.test.at
    assert not pair_set(final.test.history) & pair_set(any_split.test.target)


def test_a_model_that_reaches_for_the_test_is_caught(split, by_score):
    class Cheat(by_score):
        def fit(self, split):
            self.right = split.test.target
            return super().fit(split)

    with pytest.raises(LeakError, match=r"leave_last\(n=1\): the test is closed"):
        tune(Cheat, {}, split)


def test_the_best_options_by_validation_win_and_every_trial_is_told(split, by_score, said):
    lines, say = said()
    found = tune(by_score, {"weight": [-1.0, 0.0, 1.0], "noise": [0.1]}, split, metric="ndcg@5", say=say)
    assert found.options == {"weight": 1.0, "noise": 0.1}
    assert [trial.options["weight"] for trial in found.trials] == [-1.0, 0.0, 1.0]
    for trial in found.trials:
        again = evaluate(by_score(**trial.options).fit(split), split.validation, ks=(5,)).mean("ndcg@5")
        assert trial.score == again
    assert found.score == max(trial.score for trial in found.trials)
    assert found.seconds == sum(trial.seconds for trial in found.trials) > 0
    assert len(lines) == 3
    assert "trial 3/3 {'weight': 1.0, 'noise': 0.1}: ndcg@5 0." in lines[2]


def test_at_equal_scores_the_options_tried_first_win(split, by_score):
    assert tune(by_score, {"seed": [5, 4, 3]}, split).options == {"seed": 5}


def test_no_search_is_one_trial_with_the_defaults(split, by_score):
    found = tune(by_score, {}, split)
    assert (found.options, len(found.trials), found.grid_size) == ({}, 1, 1)


def test_a_trial_that_diverges_is_recorded_and_loses(split, by_score):
    class Fragile(by_score):
        def fit(self, split):
            if self.weight > 1:
                raise TrainingDiverged("loss is NaN at step 3; lower lr")
            return super().fit(split)

    found = tune(Fragile, {"weight": [9.0, 1.0]}, split)
    assert found.options == {"weight": 1.0}
    assert math.isnan(found.trials[0].score)
    assert found.trials[0].error == "loss is NaN at step 3; lower lr"
    with pytest.raises(TrainingDiverged, match="all 1 trials diverged, the last: loss is NaN"):
        tune(Fragile, {"weight": [9.0]}, split)


def test_the_last_fit_knows_validation(split, by_score):
    model = fit_final(by_score, {"weight": 2.0}, split)
    assert model.weight == 2.0
    np.testing.assert_array_equal(model.counts, split.refit().train.item_counts())


def test_a_small_grid_is_tried_in_order_and_a_large_one_by_a_seeded_subset():
    search = {"dim": [8, 16], "lr": [0.1, 0.2, 0.3]}
    whole = list(combinations(search, 6, seed=0))
    assert [tuple(point.values()) for point in whole] == [(8, 0.1), (8, 0.2), (8, 0.3), (16, 0.1), (16, 0.2), (16, 0.3)]
    part = list(combinations(search, 4, seed=1))
    assert len(part) == 4
    assert all(point in whole for point in part)
    assert part == list(combinations(search, 4, seed=1)) != list(combinations(search, 4, seed=2))


@given(st.lists(st.integers(1, 5), max_size=4), st.integers(1, 30), st.integers(0, 9))
def test_no_point_is_tried_twice_and_the_budget_is_kept(sizes, budget, seed):
    found = list(combinations({f"o{at}": range(size) for at, size in enumerate(sizes)}, budget, seed))
    assert len(found) == min(budget, math.prod(sizes))
    assert len({tuple(point.values()) for point in found}) == len(found)


def test_a_huge_grid_costs_nothing():
    search = {f"o{at}": range(100) for at in range(7)}  # 10^14 points
    assert len(list(combinations(search, 5, seed=0))) == 5


@pytest.mark.parametrize(
    ("search", "budget", "message"),
    [
        ({"dim": []}, 5, "option 'dim' needs a list of values"),
        ({"loss": "bpr"}, 5, "option 'loss' needs a list of values to try, got 'bpr'"),
        ({"dim": [1]}, 0, "max_trials=0 must be at least 1"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(search, budget, message):
    with pytest.raises(BadConfig, match=message):
        list(combinations(search, budget, seed=0))
