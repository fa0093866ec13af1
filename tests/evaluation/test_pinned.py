"""Figures of lists that must not move: recorded before value metrics joined the same examination."""

from functools import partial

import pytest

from twotower.evaluation.contest import Entrant, contest
from twotower.evaluation.index_cost import IndexUse


@pytest.fixture(scope="module")
def report(split, by_score):
    fitted = {name: by_score(noise=noise).fit(split) for name, noise in (("popular", 0), ("noisy", 9), ("wild", 30))}
    others = {seed: partial(by_score(noise=9, seed=seed).fit, split) for seed in (1, 2)}
    contenders = {name: Entrant(model, family="cf") for name, model in fitted.items()}
    contenders["seeds"] = Entrant(fitted["noisy"], family="ours", again=others)
    return contest(
        split, contenders, baseline="popular", ks=(1, 5), resamples=500, level=0.9, seed=3, activity_edges=(1, 5, 9),
        index_uses={"wild": IndexUse("coarse", "noisy")}, counterparts={"popular": "noisy"},
        builds_on={"noisy": "wild"},
    )  # fmt: skip


def exactly(expected):
    """To the last digits; sums of another order may differ by some 1e-16."""
    return pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("model", "metric", "figures"),
    [
        ("noisy", "map@10", (0.18003968253968253, 0.1168829365079365, 0.25157837301587294, 0.0018452380952380942)),
        ("wild", "ndcg@5", (0.18161530396264644, 0.11392186543523224, 0.2561747910710958, -0.0029125584068384613)),
        ("seeds", "map@10", (0.1610736331569665, 0.10080213844797178, 0.2238470017636682, -0.017120811287477944)),
    ],
)
def test_means_intervals_and_differences_of_lists_stay(report, model, metric, figures):
    row = report.row(model, metric)
    assert (row.mean, row.low, row.high, row.difference) == exactly(figures)


def test_p_values_and_the_spread_of_seeds_stay(report):
    row = report.row("seeds", "map@10")
    assert (row.p_value, row.p_holm) == exactly((0.03992015968063872, 0.11976047904191617))
    assert row.sd == exactly(0.01647282762678979)


def test_paired_comparisons_stay(report):
    (cost,), (check,), gain = report.index_costs, report.peer_checks, report.gains[2]
    assert (cost.low, cost.high, cost.p_value) == exactly(
        (-0.03439087301587302, 0.0396329365079365, 0.8802395209580839)
    )
    assert (check.low, check.high) == exactly((-0.017883597883597883, 0.0230753968253968))
    assert (gain.against, gain.metric) == ("popular", "map@10")
    assert (gain.relative, gain.low, gain.high) == exactly(
        (-0.09607937745116224, -0.17697808710910917, -0.033225121940694866)
    )
    stage = next(gain for gain in report.stage_gains if gain.metric == "map@10")
    assert (stage.low, stage.high) == exactly((-0.039632936507936506, 0.034390873015873014))


@pytest.mark.parametrize(
    ("name", "users", "figures"),
    [
        ("5-8", 29, (0.14900109469074987, 0.06889983579638753, -0.03024151614668857, 0.1497005988023952)),
        ("5–20 %", 10, (0.32253968253968257, 0.23055555555555557, -0.12218253968253975, 0.031936127744510975)),
    ],
)
def test_slices_of_users_and_of_targets_stay(report, name, users, figures):
    (row,) = (r for r in report.slices if (r.model, r.metric, r.name) == ("seeds", "map@10", name))
    assert row.users == users
    assert (row.mean, row.low, row.difference_low, row.p_value) == exactly(figures)
