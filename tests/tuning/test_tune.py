"""Tuning: the test cannot be reached, the search is the same for all, the last fit knows everything but the test."""

import math

import numpy as np
import pytest

from twotower.data.split import FinalSplit
from twotower.errors import BadConfig, LeakError, TrainingDiverged
from twotower.evaluation.examine import examine
from twotower.training.context import QUIET
from twotower.tuning.blind_split import BlindSplit, blind_final
from twotower.tuning.tune import fit_final, tune


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
        def fit(self, split, context=QUIET):
            self.right = split.test.target
            return super().fit(split, context)

    with pytest.raises(LeakError, match=r"leave_last\(n=1\): the test is closed"):
        tune(Cheat, {}, split)


def test_the_best_options_by_validation_win_and_every_trial_is_told(split, by_score, said):
    lines, say = said()
    found = tune(by_score, {"weight": [-1.0, 0.0, 1.0], "noise": [0.1]}, split, metric="ndcg@5", say=say)
    assert found.options == {"weight": 1.0, "noise": 0.1}
    assert [trial.options["weight"] for trial in found.trials] == [-1.0, 0.0, 1.0]
    for trial in found.trials:
        again = examine(by_score(**trial.options).fit(split), split.validation, ks=(5,)).mean("ndcg@5")
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
        def fit(self, split, context=QUIET):
            if self.weight > 1:
                raise TrainingDiverged("loss is NaN at step 3; lower lr")
            return super().fit(split, context)

    found = tune(Fragile, {"weight": [9.0, 1.0]}, split)
    assert found.options == {"weight": 1.0}
    assert math.isnan(found.trials[0].score)
    assert found.trials[0].error == "loss is NaN at step 3; lower lr"
    with pytest.raises(TrainingDiverged, match="all 1 trials failed, the last: loss is NaN"):
        tune(Fragile, {"weight": [9.0]}, split)


def test_the_last_fit_knows_validation(split, by_score):
    model = fit_final(by_score, {"weight": 2.0}, split)
    assert model.weight == 2.0
    np.testing.assert_array_equal(model.counts, split.refit().train.item_counts())


def test_a_small_grid_is_tried_in_order_and_a_large_one_by_a_seeded_part_without_repeats(split, by_score):
    search = {"noise": [1.0, 2.0], "weight": [0.1, 0.2, 0.3]}
    whole = [tuple(trial.options.values()) for trial in tune(by_score, search, split, max_trials=6).trials]
    assert whole == [(1.0, 0.1), (1.0, 0.2), (1.0, 0.3), (2.0, 0.1), (2.0, 0.2), (2.0, 0.3)]

    def part(seed: int) -> list[tuple]:
        found = tune(by_score, search, split, max_trials=4, seed=seed)
        return [tuple(trial.options.values()) for trial in found.trials]

    assert len(set(part(1))) == 4
    assert set(part(1)) < set(whole)
    assert part(1) == part(1) != part(2)


def test_the_usual_options_are_tried_first_where_not_all_are(split, by_score):
    search = {"weight": {"low": -1.0, "high": 1.0}, "noise": [0.0, 1.0]}
    usual = {"weight": 0.25, "noise": 1.0, "seed": 3}
    assert tune(by_score, search, split, max_trials=2, start=usual).trials[0].options == {"weight": 0.25, "noise": 1.0}
    outside = {"weight": 7.0, "noise": 1.0}
    assert tune(by_score, search, split, max_trials=1, start=outside).trials[0].options["weight"] <= 1


def test_time_that_is_over_begins_nothing_new_but_one_trial_there_is(split, by_score):
    found = tune(by_score, {"weight": [1.0, 2.0, 3.0]}, split, minutes=1e-9)
    assert [trial.options for trial in found.trials] == [{"weight": 1.0}]


def test_a_best_value_at_the_border_of_its_space_is_told(split, by_score):
    assert tune(by_score, {"weight": [-2.0, -1.0, 1.0]}, split).at_border == ("weight",)
    inside = tune(by_score, {"weight": [-1.0, 1.0, 2.0]}, split)  # 1 and 2 order alike, so the first of them wins
    assert (inside.options, inside.at_border) == ({"weight": 1.0}, ())


class Epochs:
    """Makes the toy model tell figures epoch by epoch, better with a larger weight."""

    def fit(self, split, context=QUIET):
        for epoch in range(5):
            if context.on_epoch is not None:
                context.on_epoch(self.weight * (epoch + 1))
            self.epochs_done = epoch + 1
        return super().fit(split, context)


@pytest.fixture
def by_epochs(by_score):
    return type("ByEpochs", (Epochs, by_score), {})


def test_a_trial_that_falls_behind_the_median_is_stopped_and_loses(split, by_epochs):
    weights = [3.0, 4.0, 5.0, 1.0, 6.0]
    found = tune(by_epochs, {"weight": weights}, split)
    told = {trial.options["weight"]: trial for trial in found.trials}
    assert [weight for weight, trial in told.items() if trial.pruned] == [1.0]
    assert told[1.0].error == "pruned after 3 epochs at 3.0000, worse than the median of other trials"
    assert math.isnan(told[1.0].score)
    assert found.options["weight"] != 1.0
    assert not any(trial.pruned for trial in tune(by_epochs, {"weight": weights}, split, prune=False).trials)


def test_a_trial_that_fails_for_any_reason_is_a_row_with_its_error(split, by_score):
    class Greedy(by_score):
        def fit(self, split, context=QUIET):
            if self.weight > 1:
                raise MemoryError("8 EiB wanted")
            return super().fit(split, context)

    found = tune(Greedy, {"weight": [9.0, 1.0]}, split)
    assert [trial.error for trial in found.trials] == ["MemoryError: 8 EiB wanted", None]


@pytest.mark.parametrize(
    ("search", "options", "message"),
    [
        ({"dim": []}, {}, "option 'dim' needs a list of values"),
        ({"loss": "bpr"}, {}, "option 'loss' needs a list of values to try, got 'bpr'"),
        ({"lr": {"low": 1, "high": 1}}, {}, "option 'lr': need low < high"),
        ({"lr": {"low": 0, "high": 1, "log": True}}, {}, "low > 0 with log"),
        ({"lr": {"low": 0, "top": 1}}, {}, "option 'lr' needs low, high and perhaps log"),
        ({"dim": [1]}, {"max_trials": 0}, "max_trials=0 must be at least 1"),
        ({"dim": [1]}, {"minutes": 0}, "minutes=0 above 0"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(split, by_score, search, options, message):
    with pytest.raises(BadConfig, match=message):
        tune(by_score, search, split, **options)
