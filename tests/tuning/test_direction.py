"""Tuning by what is better when lower: the best trial, the sampler, pruning and tables follow the metric."""

import numpy as np
import pytest

from twotower.commands.tune import trial_table
from twotower.errors import BadConfig, BadInput
from twotower.evaluation.examine import examine
from twotower.evaluation.search_result import Trial
from twotower.training.context import QUIET
from twotower.tuning.best_file import read_tuned, write_tuned
from twotower.tuning.study import Pruned, Study, journal
from twotower.tuning.tune import tune, tuned


@pytest.fixture
def by_epochs(means):
    class ByEpochs(means):
        """Tells errors that fall epoch by epoch, the lower the more an item is trusted."""

        metric = "rmse"

        def fit(self, split, context=QUIET):
            for epoch in range(5):
                if context.on_epoch is not None:
                    context.on_epoch((2 - self.trust) / (epoch + 1))
            return super().fit(split)

    return ByEpochs


def test_the_smallest_error_on_validation_wins(rated, means):
    found = tune(means, {"trust": [-1.0, 0.0, 1.0]}, rated, metric="rmse")
    assert found.options == {"trust": 1.0}
    assert found.score == min(trial.score for trial in found.trials)
    for trial in found.trials:
        model = means(**trial.options).fit(rated)
        target = rated.validation.target
        squared = (model.predict(target.user, target.item).astype(float) - target.value) ** 2
        assert trial.score == pytest.approx(np.sqrt(squared.mean()))


@pytest.mark.parametrize(
    ("metric", "best"), [("map@5", 0.9), ("auc", 0.9), ("rmse", 0.1), ("mae", 0.1), ("log_loss", 0.1)]
)
def test_the_best_trial_is_the_metrics_own(metric, best):
    trials = [Trial({"x": score}, score, 1.0) for score in (0.5, 0.1, 0.9)]
    assert tuned(trials, {"x": [0.1, 0.5, 0.9]}, metric).score == best


def test_values_are_tuned_by_auc_upwards(liked, means):
    found = tune(means, {"trust": [-1.0, 0.0, 1.0]}, liked, metric="auc")
    assert (found.options, found.score) == ({"trust": 1.0}, max(trial.score for trial in found.trials))


def test_a_trial_whose_error_stays_above_the_median_is_stopped(rated, by_epochs):
    found = tune(by_epochs, {"trust": [0.7, 0.8, 0.9, -1.0, 1.0]}, rated, metric="rmse")
    assert [trial.options["trust"] for trial in found.trials if trial.pruned] == [-1.0]
    assert found.trials[3].error == "pruned after 3 epochs at 1.0000, worse than the median of other trials"


def test_a_trial_that_watches_a_metric_of_the_other_direction_is_never_stopped(liked, by_epochs):
    found = tune(by_epochs, {"trust": [0.7, 0.8, 0.9, -1.0, 1.0]}, liked, metric="auc")
    assert not any(trial.pruned for trial in found.trials)


def test_a_study_walks_downhill_where_lower_is_better():
    search = {"x": {"low": -4.0, "high": 4.0}}
    found = {}
    for better, sign in (("higher", -1), ("lower", 1)):
        study = Study(search, better=better, max_trials=25, seed=1)
        while (attempt := study.ask()) is not None:
            study.tell(attempt, Trial(attempt.options, sign * (attempt.options["x"] - 1) ** 2, 0.1))
        found[better] = [trial.options["x"] for trial in study.trials()]
    assert found["higher"] == found["lower"]  # the mirrored hill is climbed by the same steps
    assert min(abs(x - 1) for x in found["lower"]) < 0.3


def test_pruning_looks_at_the_median_from_the_worse_side():
    for better, sign in (("higher", 1), ("lower", -1)):
        study = Study({"x": [1.0, 2.0, 3.0, 4.0, 5.0]}, better=better, max_trials=5)
        for _ in range(3):
            attempt = study.ask()
            for _ in range(4):
                attempt.report(0.5)
            study.tell(attempt, Trial(attempt.options, 0.5, 0.1))
        ahead, behind = study.ask(), study.ask()
        for _ in range(4):
            ahead.report(0.5 + 0.1 * sign)
        for _ in range(2):  # no trial ends in its first two epochs
            behind.report(0.5 - 0.1 * sign)
        with pytest.raises(Pruned):
            behind.report(0.5 - 0.1 * sign)


def test_a_killed_search_for_the_smallest_error_goes_on(rated, means, tmp_path):
    search, file = {"trust": [-1.0, 0.0, 1.0]}, tmp_path / "study.jsonl"
    tune(means, search, rated, metric="rmse", max_trials=1, study_file=file)
    found = tune(means, search, rated, metric="rmse", study_file=file)
    assert sorted(trial.options["trust"] for trial in found.trials) == [-1.0, 0.0, 1.0]
    assert found.options == {"trust": 1.0}
    with journal(file) as storage, pytest.raises(BadConfig, match="is of another metric"):
        Study(search, max_trials=3, storage=storage, identity={
            "metric": "map@10", "split": rated.name, "dataset": rated.dataset.fingerprint()})  # fmt: skip


def test_what_was_found_by_errors_is_read_for_errors_only(rated, means, tmp_path):
    found = tune(means, {"trust": [0.0, 1.0]}, rated, metric="rmse")
    write_tuned(found, tmp_path / "best.yaml", model="means", split=rated, fixed={})
    assert read_tuned(tmp_path / "best.yaml", model="means", split=rated, metric="rmse") == found
    with pytest.raises(BadConfig, match="was found for metric rmse, here it is mae"):
        read_tuned(tmp_path / "best.yaml", model="means", split=rated, metric="mae")


def test_the_table_of_trials_has_the_smallest_error_first(rated, means):
    found = tune(means, {"trust": [-1.0, 0.0, 1.0]}, rated, metric="rmse")
    lines = trial_table(found).splitlines()
    assert lines[0].split() == ["trial", "trust", "rmse", "seconds"]
    assert [line.split()[1] for line in lines[1:]] == ["1.0", "0.0", "-1.0"]


def test_lists_are_not_asked_for_while_errors_are_tuned(rated, means):
    class Recommends(means):
        def recommend(self, queries, k):
            raise AssertionError("asked for lists")

    assert tune(Recommends, {"trust": [1.0]}, rated, metric="rmse").trials[0].error is None


def test_a_metric_that_validation_does_not_allow_is_refused_before_any_trial(split, rated, means, by_score):
    with pytest.raises(BadInput, match=r"rmse needs targets with values, but all .* have the value 1"):
        tune(means, {}, split, metric="rmse")
    with pytest.raises(BadInput, match="auc needs outcomes 0 and 1"):
        tune(means, {}, rated, metric="auc")
    with pytest.raises(BadConfig, match="'rsme' is unknown; did you mean rmse"):
        tune(means, {}, rated, metric="rsme")
    found = tune(by_score, {"weight": [1.0]}, rated, metric="map@5")
    assert found.score == examine(by_score(weight=1.0).fit(rated), rated.validation, ks=(5,)).mean("map@5")
