"""The benchmark's table, held against arithmetic: pooled seeds, spread, differences, peers, errors."""

import json

import numpy as np
import pytest

from twotower.benchmarks.pooling import pooled_evaluation, table_of
from twotower.benchmarks.results import BenchmarkRun, Stage
from twotower.benchmarks.text import cells_of, error_lines, markdown, peer_line, terminal, to_json
from twotower.errors import BadConfig, BadInput
from twotower.evaluation.comparison import compare
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.ratio import ratios_of_lists
from twotower.evaluation.resampling import Draws

METRICS = ("map@10", "ndcg@10", "recall@10", "hit_rate@10")
SUBJECT = {
    "name": "toy", "fingerprint": "f00d", "users": 4, "items": 9, "events": 20, "split": "leave_last(n=1)",
    "competitors": "full catalogue", "asked": 4, "targets": 5,
}  # fmt: skip
RED = "\033[31m"


def evaluation(values, seconds=2.0, competitors="full catalogue", users=None) -> Evaluation:
    """The same values for every metric."""
    values = np.array(values, float)
    users = np.arange(len(values)) if users is None else np.array(users)
    return Evaluation(
        users, ratios_of_lists(dict.fromkeys(METRICS, values)), {"coverage@10": 0.5}, (10,), seconds, competitors
    )


def cell(model, seed, values, *, fit=10.0, memory=2**30, parameters=100, subject=SUBJECT, **options) -> BenchmarkRun:
    trials = ({"options": {}, "score": 0.1, "seconds": 3.0, "error": None},) * 2
    stage = Stage(evaluation(values, **options), parameters)
    return BenchmarkRun("toy", model, seed, "d", None, subject, {}, trials, 6.0, fit, memory, {}, {"": stage})


def table(cells, **options):
    given = {"primary": "map@10", "baseline": "als", "counterparts": {}, "resamples": 400, "level": 0.95, "seed": 0}
    return table_of("toy", cells, **given | options)


def test_seeds_are_pooled_user_by_user():
    pooled = pooled_evaluation({0: evaluation([0, 1, 0.5, 0]), 1: evaluation([1, 1, 0, 0])}, METRICS)
    assert pooled.values("map@10").tolist() == [0.5, 1, 0.25, 0]
    assert pooled.mean("map@10") == 1.75 / 4


def test_a_row_holds_mean_spread_and_cost_of_its_seeds():
    cells = [
        cell("mf", 0, [0, 1, 0.5, 0], fit=10, memory=100, seconds=2.0),  # mean 1.5 / 4 = .375
        cell("mf", 1, [1, 1, 0, 0], fit=20, memory=300, seconds=4.0),  # mean 2 / 4 = .5
        cell("als", 0, [0, 0.25, 0, 0]),
    ]
    row = table(cells).rows[0]
    assert row.name == "mf"
    assert row.figures["map@10"] == (0.375 + 0.5) / 2
    assert row.sd == pytest.approx(0.125 / 2**0.5)  # of two values: their difference by the root of 2
    assert row.difference == pytest.approx(0.4375 - 0.0625)
    assert (row.fit_seconds, row.peak_memory_bytes, row.seeds) == (15, 300, (0, 1))
    assert row.users_per_second == (4 / 2 + 4 / 4) / 2
    assert (row.trials, row.tune_seconds, row.parameters) == (2, 6.0, 100)


def test_tests_and_intervals_are_those_of_an_evaluation_of_the_pooled_users():
    rng = np.random.default_rng(0)
    values = {name: rng.random((2, 30)) for name in ("als", "mf", "knn")}
    cells = [cell(name, seed, found[seed]) for name, found in values.items() for seed in (0, 1)]
    pooled = {name: evaluation(found.mean(axis=0)) for name, found in values.items()}
    rows = compare(pooled, baseline="als", draws=Draws(resamples=400, level=0.95, seed=0))
    expected = {r.model: (r.low, r.high, r.p_holm) for r in rows if r.metric == "map"}
    assert {r.name: (r.low, r.high, r.p_holm) for r in table(cells).rows} == expected


def test_rows_are_ordered_by_the_primary_metric_and_models_without_figures_come_last():
    cells = [
        BenchmarkRun("toy", "lost", 0, "d", "killed by SIGKILL"), cell("als", 0, [0.1] * 4), cell("mf", 0, [0.3] * 4),
        BenchmarkRun("toy", "mf", 1, "d", "TrainingDiverged"),
    ]  # fmt: skip
    found = table(cells)
    assert [row.name for row in found.rows] == ["mf", "als", "lost"]
    assert found.rows[0].errors == {1: "TrainingDiverged"}
    assert error_lines(found) == ["mf, seed 1: TrainingDiverged", "lost, seed 0: killed by SIGKILL"]
    texts = cells_of(found)
    at = texts[0].index("seeds")
    assert [row[at] for row in texts[1:]] == ["1 of 2", "1", "0 of 1"]
    assert {len(row) for row in texts} == {len(texts[0])}


def test_stages_of_a_model_are_rows_of_their_own():
    stages = {"towers": Stage(evaluation([0.1] * 4), 5), "both": Stage(evaluation([0.2] * 4), 9)}
    towers = BenchmarkRun("toy", "default-joint", 0, "d", subject=SUBJECT, stages=stages)
    found = table([towers], baseline=None)
    assert [(row.name, row.parameters) for row in found.rows] == [
        ("default-joint: both", 9),
        ("default-joint: towers", 5),
    ]


def test_a_counterpart_below_the_interval_is_weaker_and_said_so_in_red():
    rng = np.random.default_rng(1)
    peer = rng.random(200)
    cells = [cell("als", 0, peer - 0.1), cell("implicit_als", 0, peer), cell("mf", 0, peer + 0.1)]
    pairs = {"implicit_als": "als", "implicit_bpr": "mf", "lightfm_warp": "als"}
    cells += [
        cell("implicit_bpr", 0, rng.permutation(peer)),
        BenchmarkRun("toy", "lightfm_warp", 0, "d", "not installed"),
    ]
    found = table(cells, counterparts=pairs)
    weaker, other = found.peers
    assert weaker.weaker
    assert weaker.difference == pytest.approx(-0.1)
    assert weaker.low == pytest.approx(-0.1)
    assert weaker.high == pytest.approx(-0.1)
    assert not other.weaker
    assert other.low < 0.1 < other.high
    assert found.unchecked == {"lightfm_warp": "lightfm_warp without figures"}
    line = peer_line(weaker, found)
    assert line.startswith("implicit_als: our als is WEAKER: map@10[min] -0.1000")
    assert f"{RED}{line}" in terminal([found], colour=True)
    assert RED not in terminal([found], colour=False)
    assert f"🔴 **{line}**" in markdown([found])
    told = json.loads(to_json([found]))["tables"][0]
    assert [peer["weaker"] for peer in told["peers"]] == [True, False]
    assert "lightfm_warp: not compared: lightfm_warp without figures" in markdown([found])


def test_a_counterpart_within_the_interval_is_not_weaker():
    rng = np.random.default_rng(2)
    gained = np.where(rng.random(300) < 0.5, 0.2, -0.2)
    cells = [cell("als", 0, 0.5 + gained), cell("implicit_als", 0, [0.5] * 300)]
    (peer,) = table(cells, counterparts={"implicit_als": "als"}).peers
    assert peer.low < 0 < peer.high
    assert not peer.weaker


def test_the_table_shows_every_figure_that_is_asked_for():
    found = table([cell("mf", 0, [0.5] * 4, memory=2**29, parameters=12345), cell("als", 0, [0.25] * 4)])
    header, first, second = cells_of(found)
    shown = dict(zip(header, first, strict=True))
    assert shown == {
        "model": "mf", "map@10[min]": "0.5000", "interval": "0.5000–0.5000", "ndcg@10": "0.5000",
        "recall@10": "0.5000", "hit_rate@10": "0.5000", "vs als": "+0.2500", "p (Holm)": shown["p (Holm)"],
        "seeds": "1", "± sd": "–", "trials": "2", "tuning s": "6.0", "train s": "10.0", "users/s": "2",
        "peak memory": "0.50 GiB", "parameters": "12,345",
    }  # fmt: skip
    assert dict(zip(header, second, strict=True))["vs als"] == "baseline"
    page = markdown([found])
    assert "toy · leave_last(n=1) · 4 users, 5 targets · full catalogue of 9, known positives excluded" in page


def test_without_the_baseline_nothing_is_tested():
    (row,) = table([cell("mf", 0, [0.5] * 4)]).rows
    assert (row.difference, row.p_holm) == (None, None)


def test_a_table_without_any_figure_still_tells_the_errors():
    found = table([BenchmarkRun("toy", "als", 0, "d", "no memory")])
    assert "toy: no model has figures" in terminal([found], colour=False)
    assert "als, seed 0: no memory" in terminal([found], colour=False)


def test_sampled_and_full_catalogue_figures_never_share_a_table():
    cells = [cell("als", 0, [0.1] * 4), cell("mf", 0, [0.9] * 4, competitors="sampled, 99 negatives")]
    with pytest.raises(BadConfig, match="sampled and full-catalogue figures cannot be compared"):
        table(cells)


def test_cells_of_other_data_or_users_are_refused():
    cells = [cell("als", 0, [0.1] * 4), cell("mf", 0, [0.9] * 4, subject=SUBJECT | {"fingerprint": "beef"})]
    with pytest.raises(BadConfig, match="mf was run on fingerprint beef, als on f00d: the data changed since"):
        table(cells)
    with pytest.raises(BadInput, match="different users"):
        table([cell("als", 0, [0.1] * 4), cell("mf", 0, [0.9] * 4, users=[0, 1, 2, 7])])
    with pytest.raises(BadConfig, match="different users"):
        pooled_evaluation({0: evaluation([0.1] * 4), 1: evaluation([0.1] * 3)}, METRICS)
