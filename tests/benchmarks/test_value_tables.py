"""A benchmark by errors: runs keep amounts and weights on disk, tables put the smallest first, peers are checked."""

import numpy as np
import pytest

from twotower.benchmarks.pooling import table_of
from twotower.benchmarks.results import BenchmarkRun, Stage, subject_of
from twotower.benchmarks.text import cells_of, peer_line
from twotower.errors import BadConfig
from twotower.evaluation.comparison import compare
from twotower.evaluation.examine import examine
from twotower.evaluation.resampling import Draws


@pytest.fixture(scope="module")
def run(rated, means):
    def make(model, seed=0, **options):
        stage = Stage(examine(means(**options).fit(rated), rated.test), 40)
        return BenchmarkRun("toy", model, seed, "d", None, subject_of(rated), stages={"": stage})

    return make


def table(cells, **options):
    given = {"primary": "rmse", "baseline": "mean", "counterparts": {}, "resamples": 200, "level": 0.9, "seed": 0}
    return table_of("toy", cells, **given | options)


def test_amounts_and_weights_are_read_as_they_were_saved(liked, means, tmp_path):
    evaluation = examine(means().fit(liked), liked.test)
    BenchmarkRun("toy", "item", 0, "d", None, subject_of(liked), stages={"": Stage(evaluation, 1)}).save(tmp_path / "x")
    again = BenchmarkRun.load(tmp_path / "x").stages[""].evaluation
    assert again.means == evaluation.means
    assert again.per_user.keys() == {"rmse", "mae", "auc", "log_loss"}
    for metric, ratio in evaluation.per_user.items():
        np.testing.assert_array_equal(again.ratio(metric).amount, ratio.amount)
        np.testing.assert_array_equal(again.ratio(metric).weight, ratio.weight)


def test_rows_are_those_of_a_comparison_with_the_smallest_error_first(run, rated, means):
    found = table([run("mean", trust=0), run("item"), run("wrong", trust=-1)])
    assert [row.name for row in found.rows] == ["item", "mean", "wrong"]
    assert found.metrics == ("rmse", "mae")
    evaluations = {
        name: examine(means(trust=trust).fit(rated), rated.test)
        for name, trust in (("mean", 0), ("item", 1), ("wrong", -1))
    }
    rows = compare(evaluations, baseline="mean", draws=Draws(200, 0.9, 0))
    expected = {row.model: (row.mean, row.low, row.high, row.p_holm) for row in rows if row.metric == "rmse"}
    assert {r.name: (r.figures["rmse"], r.low, r.high, r.p_holm) for r in found.rows} == expected
    assert cells_of(found)[0][:4] == ["model", "RMSE", "interval", "MAE"]


def test_seeds_are_pooled_before_the_root_and_spread_by_their_own_errors(run):
    parts = [run("item", seed, trust=trust) for seed, trust in ((0, 1.0), (1, 0.0))]
    errors = [part.stages[""].evaluation.mean("rmse") for part in parts]
    (row,) = table(parts, baseline=None).rows
    assert row.figures["rmse"] == pytest.approx(np.sqrt((errors[0] ** 2 + errors[1] ** 2) / 2))
    assert row.sd == pytest.approx(abs(errors[0] - errors[1]) / 2**0.5)


def test_a_counterpart_with_larger_errors_is_weaker(run):
    cells = [run("item"), run("peer_item", trust=0), run("ours", trust=-1), run("peer", trust=1)]
    found = table(cells, baseline=None, counterparts={"peer_item": "item", "peer": "ours"})
    stronger, weaker = found.peers
    assert (stronger.weaker, weaker.weaker) == (False, True)
    assert peer_line(stronger, found).startswith("peer_item: our item is stronger: RMSE -")
    assert peer_line(weaker, found).startswith("peer: our ours is WEAKER: RMSE +")


def test_a_table_by_a_metric_that_a_run_lacks_is_refused(run):
    with pytest.raises(BadConfig, match="'map@10' was not measured; there are rmse, mae"):
        table([run("item")], primary="map@10", baseline=None)
