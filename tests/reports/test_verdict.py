"""The verdict: who stands beside our contender, and by how much ours is better."""

from dataclasses import replace

import pytest

from twotower.reports.verdict import gains_of, verdict_of


def named(report, *families):
    """As many models as families, `m0` the best."""
    model, rows = report.models[0], [row for row in report.rows if row.model == report.models[0].name]
    models = tuple(replace(model, name=f"m{at}", family=family) for at, family in enumerate(families))
    rows = tuple(replace(r, model=m.name, mean=r.mean / (2 + at)) for at, m in enumerate(models) for r in rows)
    return replace(report, models=models, rows=rows, slices=(), gains=(), baseline=None)


def test_gains_are_shares_of_the_other_models_figure(report):
    verdict = verdict_of(report)
    at_10 = report.row("ours", "map@10").mean / report.row("popular", "map@10").mean - 1
    ((peer, gains),) = gains_of(report, verdict)
    assert (verdict.ours, peer) == ("ours", "popular")
    assert gains[report.ks.index(10)].relative == pytest.approx(at_10)


def test_the_first_figure_always_shows_ours_the_best_cf_the_best_hybrid_and_the_baseline(report):
    many = named(report, *["cf"] * 6, "popular", "hybrid", "stage", "ours")
    verdict = verdict_of(replace(many, baseline="m6"))
    assert verdict.called == {
        "m9": "m9 (ours)", "m0": "m0 (best CF)", "m1": "m1", "m6": "m6 (baseline)", "m7": "m7 (best hybrid)"
    }  # fmt: skip
    assert (verdict.ours, verdict.peers, verdict.behind) == ("m9", ("m0", "m1", "m6", "m7"), "m0")


def test_a_part_of_ours_is_no_rival_and_a_second_run_stands_beside_the_first(report):
    verdict = verdict_of(named(report, "stage", "ours", "ours", "cf"))
    assert (verdict.ours, verdict.peers, verdict.behind) == ("m1", ("m2", "m3"), None)
