"""Several seeds: averaged user by user, one tuning, models without a seed fitted once."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from twotower.errors import BadConfig
from twotower.evaluation.contest import Entrant, contest
from twotower.evaluation.examine import examine
from twotower.evaluation.seeds import pooled
from twotower.reports.tables import text_table
from twotower.runs.tuned_contenders import TunedContender
from twotower.training.context import QUIET
from twotower.tuning.tune import fit_final

SEEDS = (4, 1, 7)


@pytest.fixture(scope="module")
def parts(split, by_score):
    return {
        seed: examine(fit_final(partial(by_score, noise=9.0), {"seed": seed}, split), split.test, ks=(10,))
        for seed in SEEDS
    }


def test_every_user_has_the_mean_of_the_seeds(parts):
    together = pooled(parts)
    for metric in together.per_user:
        np.testing.assert_allclose(together.values(metric), sum(part.values(metric) for part in parts.values()) / 3)
    assert together.catalogue["coverage@10"] == pytest.approx(
        np.mean([part.catalogue["coverage@10"] for part in parts.values()])
    )
    assert {seed: means["map@10"] for seed, means in together.by_seed.items()} == {
        seed: part.mean("map@10") for seed, part in parts.items()
    }


def test_a_contender_is_tuned_once_and_fitted_for_every_seed(split, by_score, parts):
    fits = []

    class Counted(by_score):
        def fit(self, split, context=QUIET):
            fits.append(self.seed)
            return super().fit(split, context)

    contender = TunedContender(partial(Counted, noise=9.0), {"weight": [1.0, 0.0]}, seeds=SEEDS, max_trials=2)
    report = contest(split, {"random": contender}, ks=(10,), resamples=20)
    assert len(fits) == 2 + 3
    assert fits[2:] == list(SEEDS)
    (model,) = report.models
    row = report.row("random", "map@10")
    means = [part.mean("map@10") for part in parts.values()]
    assert model.seeds == SEEDS
    assert len(model.trials) == 2
    if model.options["weight"] == 1.0:  # the parts' own
        assert row.mean == pytest.approx(np.mean(means))
        assert row.sd == pytest.approx(np.std(means, ddof=1))
    assert f"3 seeds, sd {row.sd:.4f}" in text_table(report)


def test_a_model_without_a_seed_is_fitted_once(split, by_score):
    contender = TunedContender(by_score, {}, seeds=(1, 2), seed_option=None)
    report = contest(split, {"fixed": contender}, ks=(10,), resamples=20)
    assert (report.models[0].seeds, report.row("fixed", "map@10").sd) == ((), None)


def test_one_seed_leaves_no_spread(split, by_score):
    report = contest(split, {"one": TunedContender(by_score, {}, seeds=(3,))}, ks=(10,), resamples=20)
    assert report.models[0].options["seed"] == 3
    assert (report.models[0].seeds, report.row("one", "map@10").sd) == ((), None)


def test_fits_that_are_there_already_are_averaged_too(split, by_score, parts):
    make = {seed: partial(fit_final, partial(by_score, noise=9.0), {"seed": seed}, split) for seed in SEEDS}
    contender = Entrant(make[4](), again={seed: make[seed] for seed in (1, 7)}, seed=4)
    report = contest(split, {"runs": contender}, ks=(10,), resamples=20)
    assert report.row("runs", "map@10").mean == pytest.approx(np.mean([p.mean("map@10") for p in parts.values()]))
    assert report.models[0].seeds == SEEDS


def test_other_users_and_foolish_seeds_are_refused(split, by_score, parts):
    other = examine(by_score().fit(split), split.validation, ks=(10,))
    shorter = replace(other, users=other.users[1:])
    with pytest.raises(BadConfig, match="different users"):
        pooled({0: parts[4], 1: shorter})
    for seeds in ((0, 0), (-1,), (1.5,)):
        with pytest.raises(BadConfig, match=r"eval.seeds: .* must be whole numbers from 0, each once"):
            contest(split, {"a": TunedContender(by_score, {}, seeds=seeds)}, resamples=10)
