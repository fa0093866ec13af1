"""Two contenders over the same users: differences, relative gains, stages and peers against arithmetic."""

import numpy as np
import pytest

from twotower.errors import BadConfig
from twotower.evaluation.contest import Entrant, contest
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.paired import paired, peer_checks, relative_gains, stage_gains
from twotower.evaluation.ratio import ratios_of_lists
from twotower.evaluation.resampling import Draws

DRAWS = Draws(resamples=500, level=0.9, seed=1)


def evaluation(values):
    values = np.asarray(values, float)
    per_user = ratios_of_lists({"map@10": values, "map@1": values / 2})
    return Evaluation(np.arange(len(values)), per_user, {}, (1, 10), 1.0)


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    base = rng.random(200)
    return {
        "base": evaluation(base),
        "twice": evaluation(2 * base),
        "slightly": evaluation(base + rng.normal(0, 0.3, 200)),
        "nothing": evaluation(np.zeros(200)),
        "rare": evaluation(np.eye(1, 200)[0]),
    }


def test_a_paired_difference_has_the_interval_of_the_users_differences(found):
    it = paired(found, "twice", "base", "map@10", DRAWS)
    change = found["base"].values("map@10")
    assert it.difference == pytest.approx(change.mean())
    assert it.low < it.difference < it.high
    half = 1.645 * change.std() / np.sqrt(200)
    assert (it.high - it.low) / 2 == pytest.approx(half, rel=0.2)
    assert it.p_value == pytest.approx(1 / 501)


def test_the_ratio_of_proportional_models_has_no_spread_at_all(found):
    gain_10, gain_1 = relative_gains(found, ["twice"], ["base"], ["map@10", "map@1"], DRAWS)
    assert (gain_10.relative, gain_10.low, gain_10.high) == pytest.approx((1, 1, 1))
    assert (gain_1.metric, gain_1.relative) == ("map@1", pytest.approx(1))


def test_the_interval_of_a_ratio_is_that_of_resampled_means(found):
    (gain,) = relative_gains(found, ["slightly"], ["base"], ["map@10"], DRAWS)
    a, b = (found[name].values("map@10") for name in ("slightly", "base"))
    rows = np.random.default_rng(9).integers(0, 200, (4000, 200))
    ratios = a[rows].mean(1) / b[rows].mean(1) - 1
    assert gain.relative == pytest.approx(a.mean() / b.mean() - 1)
    assert (gain.low, gain.high) == pytest.approx(np.quantile(ratios, [0.05, 0.95]), abs=0.015)


def test_nothing_to_compare_with_gives_no_gain_and_an_open_end_is_none(found):
    nothing, rare = relative_gains(found, ["base"], ["nothing", "rare"], ["map@10"], DRAWS)
    assert (nothing.relative, nothing.low, nothing.high) == (None, None, None)
    assert rare.relative == pytest.approx(found["base"].mean("map@10") * 200 - 1)
    assert rare.low is not None
    assert rare.high is None  # a third of the samples lack the only user whom it serves


def test_nobody_gains_over_himself(found):
    assert [g.against for g in relative_gains(found, ["base"], ["base", "twice"], ["map@10"], DRAWS)] == ["twice"]


def test_a_method_is_weaker_where_the_whole_interval_lies_below_zero(found):
    pairs = {"twice": "base", "slightly": "base", "base": "twice", "absent": "base"}
    checks = peer_checks(found, pairs, "map@10", DRAWS)
    assert [(check.peer, check.ours, check.weaker) for check in checks] == [
        ("twice", "base", True), ("slightly", "base", False), ("base", "twice", False)
    ]  # fmt: skip
    assert checks[0].difference == pytest.approx(-found["base"].mean("map@10"))
    assert checks[0].high < 0


def test_a_stage_adds_what_stands_between_the_two_means(found):
    (gain,) = stage_gains(found, {"twice": "base"}, ["map@10"], DRAWS)
    assert (gain.before_mean, gain.mean) == (found["base"].mean("map@10"), found["twice"].mean("map@10"))
    assert gain.difference == pytest.approx(gain.mean - gain.before_mean)
    with pytest.raises(BadConfig, match="'ghost' must be a contender"):
        stage_gains(found, {"ghost": "base"}, ["map@10"], DRAWS)


def test_gains_in_a_report_are_ours_over_all_but_our_own_parts(split, by_score):
    fitted = by_score().fit(split)
    contenders = {name: Entrant(fitted, family=family) for name, family in (("a", "ours"), ("b", "stage"), ("c", "cf"))}
    report = contest(split, contenders, ks=(1, 10), resamples=20)
    assert [(g.model, g.against, g.metric) for g in report.gains] == [("a", "c", "map@1"), ("a", "c", "map@10")]
    with pytest.raises(BadConfig, match="d: family 'knn' is unknown; choose one of ours"):
        contest(split, {"d": Entrant(fitted, family="knn")}, resamples=20)
