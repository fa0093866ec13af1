"""The benchmark on the example's files: processes, resuming, failures as rows, and what a killed one leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from twotower.benchmarks.plan import tower_names
from twotower.benchmarks.results import BenchmarkRun
from twotower.benchmarks.task import BenchmarkTask
from twotower.commands import benchmark, benchmark_task
from twotower.config.build import make_split
from twotower.config.models import ListedModel, baseline_names, peer_names
from twotower.evaluation.examine import examine
from twotower.models.factorization.als import ALS
from twotower.models.linear import EASE
from twotower.runs.prepared import load_prepared
from twotower.tuning.best_file import read_tuned
from twotower.tuning.tune import fit_final

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "own_data" / "shop.yaml"
DATA = ("data=own", f"data.source.path={SHOP}")
QUICK = ("resamples=200", "trials=2", "ks=[5,10]")
TINY = ("towers.dim=8", "towers.history_layers=1", "towers.history_length=5", "train.epochs=1", "train.patience=null")
KILLS_ITSELF = "import os; os.kill(os.getpid(), 9)"
RUNS = Path("runs/benchmark/own")


@pytest.fixture(autouse=True)
def threads():
    """Towers set one thread; the other tests get theirs back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def began(monkeypatch, tmp_path, capsys) -> list[str]:
    """Tasks run in this process, which spares seconds each; gives the list of those that were begun."""
    monkeypatch.chdir(tmp_path)
    names: list[str] = []

    def outcome(words, log, seconds):
        names.append(Path(words[-1]).stem)
        if words[1] == "-c":
            return REAL_OUTCOME(words, log, seconds)
        status = benchmark_task.main([words[-1]])
        lines = capsys.readouterr().err.splitlines()
        return lines[-1].removeprefix(benchmark_task.ERROR) if status else None

    monkeypatch.setattr(benchmark, "outcome", outcome)
    return names


REAL_OUTCOME = benchmark.outcome


def typed(*words: str) -> int:
    return benchmark.main([*DATA, *QUICK, *words])


def table() -> dict:
    (found,) = json.loads(Path("runs/benchmark/benchmark.json").read_text())["tables"]
    return found


def test_every_run_has_a_process_and_a_directory_and_the_table_their_figures(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert typed("models=[popular]", "compare_with=popular") == 0
    out = capsys.readouterr().out
    found = BenchmarkRun.load(RUNS / "popular-seed0")
    assert found.error is None
    assert len(found.trials) == 2
    (row,) = table()["rows"]
    per_user = np.load(RUNS / "popular-seed0" / "per_user.npz", allow_pickle=False)["|map@10"]
    assert row["figures"]["map@10"] == per_user.mean()
    assert row["parameters"] == 80  # counts of the shop's articles
    assert f"{per_user.mean():.4f}" in out
    assert "written: runs/benchmark/benchmark.md" in out
    assert 0 < found.peak_memory_bytes < 2**31


def test_a_cell_holds_what_tuning_the_last_fit_and_the_runner_give(began):
    assert typed("models=[als]", "seeds=[4]") == 0
    assert began == ["als-tuning", "als-seed4"]
    task = BenchmarkTask(**json.loads((RUNS / "logs" / "als-seed4.json").read_text()))
    split = make_split(task.settings, load_prepared(task.settings["data"], Path(task.prepared)))
    tuned = read_tuned(
        RUNS / "tuning/als/best.yaml", model="als", split=split, metric="map@10", fixed=task.what().fixed
    )
    model = fit_final(
        ALS, {**{n: v for n, v in task.listed["model"].items() if n != "_target_"}, "seed": 4, **tuned.options}, split
    )
    expected = examine(model, split.test, ks=(5, 10))
    found = BenchmarkRun.load(RUNS / "als-seed4")
    for metric in expected.per_user:
        np.testing.assert_array_equal(found.stages[""].evaluation.values(metric), expected.values(metric))
    assert found.options == model.options()
    assert found.options["seed"] == 4
    assert found.stages[""].parameters == sum(array.size for array in model.state().values())
    assert [t["options"] for t in found.trials] == [t.options for t in tuned.trials]


def test_tuning_happens_once_and_only_random_models_run_under_every_seed(began):
    assert typed("models=[popular,als]", "seeds=[0,1]") == 0
    assert began == ["popular-tuning", "popular-seed0", "als-tuning", "als-seed0", "als-seed1"]
    als = next(row for row in table()["rows"] if row["name"] == "als")
    means = [BenchmarkRun.load(RUNS / f"als-seed{seed}").stages[""].evaluation.mean("map@10") for seed in (0, 1)]
    assert als["figures"]["map@10"] == pytest.approx(sum(means) / 2)
    assert als["sd"] == pytest.approx(abs(means[0] - means[1]) / 2**0.5)


def test_typed_again_finished_runs_are_not_done_again(began):
    typed("models=[popular]")
    first = table()
    began.clear()
    assert typed("models=[popular,item_knn]") == 0
    assert began == ["item_knn-tuning", "item_knn-seed0"]
    (popular,) = (row for row in table()["rows"] if row["name"] == "popular")
    assert popular["figures"] == first["rows"][0]["figures"]


def test_runs_of_other_settings_are_refused_or_redone(began, capsys):
    typed("models=[popular]")
    began.clear()
    assert typed("models=[popular]", "trials=3") == 1
    assert "1 finished under other settings: runs/benchmark/own/popular-seed0" in capsys.readouterr().err
    assert began == []
    assert typed("models=[popular]", "trials=3", "on_change=redo") == 0
    assert began == ["popular-tuning", "popular-seed0"]
    assert len(BenchmarkRun.load(RUNS / "popular-seed0").trials) == 3
    began.clear()
    assert typed("models=[popular]", "trials=3", "metric=ndcg@10", "on_change=redo") == 0
    assert table()["primary"] == "ndcg@10"


def test_a_model_that_fails_is_a_row_and_not_the_end_and_is_done_when_typed_again(began, monkeypatch):
    """EASE refuses the catalogue in every trial until it is allowed more items."""
    fit = EASE.fit
    monkeypatch.setattr(EASE, "fit", lambda m, *asked: (setattr(m, "max_items", 3), fit(m, *asked))[1])
    assert typed("models=[ease,popular]", "trials=1") == 0
    rows = {row["name"]: row for row in table()["rows"]}
    error = "tuning: tune: all 1 trials failed, the last: BadConfig: EASE holds a matrix of 80²"
    assert rows["ease"]["errors"]["0"].startswith(error)
    assert rows["popular"]["figures"]["map@10"] > 0
    monkeypatch.setattr(EASE, "fit", fit)
    began.clear()
    assert typed("models=[ease]", "trials=1", "retry=false") == 0
    assert began == []
    assert typed("models=[ease]", "trials=1") == 0
    assert began == ["ease-tuning", "ease-seed0"]
    assert table()["rows"][0]["errors"] == {}


def test_a_library_that_is_not_installed_is_a_row_with_the_remedy(began, monkeypatch):
    monkeypatch.setattr("twotower.models.peers.library.find_spec", lambda name: None)
    assert typed("models=[implicit_als,popular]") == 0
    rows = {row["name"]: row for row in table()["rows"]}
    assert "the library implicit is not installed; pip install 'twotower[peers]'" in rows["implicit_als"]["errors"]["0"]
    assert rows["popular"]["errors"] == {}


def test_a_process_that_is_killed_is_a_row_and_its_run_is_done_when_typed_again(began, monkeypatch):
    command = benchmark.command

    def crashing(file):
        return [sys.executable, "-c", KILLS_ITSELF, str(file)] if file.stem == "als-seed1" else command(file)

    monkeypatch.setattr(benchmark, "command", crashing)
    assert typed("models=[als,popular]", "seeds=[0,1]") == 0
    rows = {row["name"]: row for row in table()["rows"]}
    assert rows["als"]["seeds"] == [0]
    assert "killed by SIGKILL, which the system sends when memory is short" in rows["als"]["errors"]["1"]
    assert rows["popular"]["errors"] == {}
    began.clear()
    monkeypatch.setattr(benchmark, "command", command)
    assert typed("models=[als,popular]", "seeds=[0,1]") == 0
    assert began == ["als-seed1"]
    assert {tuple(row["seeds"]) for row in table()["rows"] if row["name"] == "als"} == {(0, 1)}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("pass", None),
        ("import sys; print('error: too large', file=sys.stderr); sys.exit(1)", "too large"),
        ("import sys; sys.exit(7)", "ended with status 7; see"),
        (KILLS_ITSELF, "killed by SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV; see"),
    ],
)
def test_how_a_process_ended_is_told_in_one_line(code, says, tmp_path):
    told = benchmark.outcome([sys.executable, "-c", code], tmp_path / "log", 60)
    assert told == says if says is None else told.startswith(says)


def test_a_process_that_takes_too_long_is_stopped(tmp_path):
    words = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert benchmark.outcome(words, tmp_path / "log", 0.2) == "stopped after 0 s (minutes_per_model)"


def test_nothing_is_begun_when_the_minutes_are_over(began):
    assert typed("models=[popular]", "minutes=0") == 0
    assert began == []
    assert table()["rows"][0]["errors"] == {"0": "not begun within minutes"}
    assert not (RUNS / "popular-seed0").exists()


@pytest.mark.slow
def test_a_benchmark_killed_between_runs_goes_on_and_gives_the_same_table(monkeypatch, tmp_path):
    """The whole job is killed with its process group as soon as the first run is there."""
    words = ["-m", "twotower", "benchmark", *DATA, *QUICK, "models=[popular,item_knn]"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    monkeypatch.chdir(tmp_path)
    job = subprocess.Popen([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    first = RUNS / "popular-seed0" / "cell.json"
    until = time.monotonic() + 120
    while not first.exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    written = first.stat().st_mtime_ns
    assert not (tmp_path / "runs/benchmark/benchmark.json").exists()
    subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, check=True)
    assert first.stat().st_mtime_ns == written
    again = table()
    subprocess.run([sys.executable, *words, "out=runs/other"], env=environment, stdout=subprocess.DEVNULL, check=True)
    (never_killed,) = json.loads(Path("runs/other/benchmark.json").read_text())["tables"]
    figures = [{row["name"]: row["figures"] for row in found["rows"]} for found in (again, never_killed)]
    assert figures[0] == figures[1]


def test_both_stages_of_the_towers_are_rows_and_their_parameters_are_counted(began):
    assert typed(*TINY, "models=[default-joint]", "seeds=[2]", "n_candidates=20") == 0
    assert began == ["default-joint-seed2"]
    rows = {row["name"]: row for row in table()["rows"]}
    assert set(rows) == {"default-joint: towers", "default-joint: towers + RankNet"}
    assert 0 < rows["default-joint: towers"]["parameters"] < rows["default-joint: towers + RankNet"]["parameters"]
    assert BenchmarkRun.load(RUNS / "default-joint-seed2").options["training"]["seed"] == 2


@pytest.mark.slow
def test_the_published_networks_are_tuned_and_also_rank_everything_where_nothing_trains_the_towers(began):
    words = ("towers.dim=8", "train.epochs=1", "train.patience=null", "towers_trials=2", "n_candidates=20")
    assert typed(*words, "models=[reference-single,reference-multi_cos]") == 0
    rows = {row["name"]: row for row in table()["rows"]}
    assert "reference-single: RankNet on everything" in rows
    assert "reference-multi_cos: towers + RankNet" in rows
    assert {row["trials"] for row in rows.values()} == {2}
    tried = BenchmarkRun.load(RUNS / "reference-single-seed0").trials[0]["options"]
    assert set(tried) == {"towers.dim", "towers.dropout", "train.lr"}  # its objective is as published


@pytest.mark.skipif(not (find_spec("implicit") and find_spec("lightfm")), reason="the extra `peers` is not installed")
def test_every_peer_stands_beside_its_counterpart(began, monkeypatch):
    smaller = ListedModel.build
    monkeypatch.setattr(ListedModel, "build", lambda listed, **o: smaller(listed, **_few_epochs(listed), **o))
    assert typed("models=[als,mf_bpr,mf_warp,hybrid,peers]", "trials=1") == 0
    assert {peer["peer"]: peer["ours"] for peer in table()["peers"]} == {
        "implicit_als": "als", "implicit_bpr": "mf_bpr", "lightfm_hybrid": "hybrid", "lightfm_warp": "mf_warp",
    }  # fmt: skip
    assert not table()["unchecked"]
    assert "our hybrid is" in Path("runs/benchmark/benchmark.md").read_text()


def _few_epochs(listed) -> dict:
    return {name: 2 for name in ("epochs", "dim") if name in listed.model}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["popular", "als"])
def test_the_demo_market_gives_a_row_for_a_model(monkeypatch, tmp_path, model):
    monkeypatch.chdir(tmp_path)
    assert benchmark.main(["data=marketplace", f"models=[{model}]", "trials=1", "resamples=200"]) == 0
    assert table()["rows"][0]["figures"]["map@10"] > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("models=[alss]",), "models: 'alss' is unknown; there are baselines, peers, towers, all, ratings, als,"),
        (("seeds=[]",), "seeds=[]: write a list"),
        (("on_change=keep",), "on_change='keep': write one of refuse, redo"),
        (("metric=map",), "metric map: map needs a cut-off"),
        (("data=no-such-data",), "no-such-data"),
        (("trails=3",), "trails"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line_before_anything_is_begun(began, capsys, words, says):
    assert typed(*words) == 1
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert began == []


def test_words_of_training_are_told_from_those_of_the_job():
    mine, others = benchmark.split_words(
        ["data=ml-1m,marketplace", "models=[als]", "seeds=3", "data.source.size=small"]
    )
    assert mine == ["data_sets=[ml-1m,marketplace]", "models=[als]", "seeds=[3]"]
    assert others == ["data.source.size=small"]


def test_all_models_are_every_baseline_peer_and_tower(tmp_path):
    from twotower.benchmarks.plan import _chosen

    assert _chosen(["all"]) == [*baseline_names(), *peer_names(), *tower_names()]
    assert _chosen(["als", "baselines"])[0] == "als"
    assert len(_chosen(["als", "baselines"])) == len(baseline_names())


def test_help_names_models_and_data(capsys):
    assert benchmark.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("ml-1m", "implicit_als", "default-joint", "reference-multi_cos_affine", "minutes_per_model"):
        assert name in shown
