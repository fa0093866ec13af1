"""`python -m twotower.evaluate` on two small runs: figures, reports, gold standard, refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from twotower.commands import evaluate, train
from twotower.config.build import read_source
from twotower.config.compose import instantiate
from twotower.metrics.ranking import average_precision
from twotower.runs.bundle import Bundle
from twotower.runs.indexing import build_index

SHOP = Path(__file__).parents[2] / "examples" / "own_data"
SMALL = (
    "progress=false", "towers.dim=16", "towers.history_layers=1", "towers.history_length=10", "train.epochs=1",
    "threads=1", "device=cpu", "train.refit=false",
)  # fmt: skip
QUICK = ("n_candidates=20", "eval.baselines=[popular]", "eval.baseline=popular", "eval.resamples=50", "eval.ks=[1,10]")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a copy of the shop and runs `joint`, `single` and `longer` (trained on another split)."""
    before = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("evaluate")
    shop = shutil.copytree(SHOP, folder / "shop")
    own = ("data=own", f"data.source.path={shop / 'shop.yaml'}", f"runs_dir={folder / 'runs'}")
    for words in (
        ("run=joint", "objective=joint"),
        ("run=single", "objective=single"),
        ("run=longer", "objective=joint", "data.split.test=0.2"),
    ):
        assert train.main([*own, *SMALL, *words, f"prepared={folder / 'prepared'}"]) == 0
    torch.set_num_threads(before)
    return folder


@pytest.fixture
def command(place, capsys, monkeypatch):
    """Types the command beside the runs; gives status, stdout, stderr."""
    monkeypatch.chdir(place)

    def run(*words: str) -> tuple[int, str, str]:
        status = evaluate.main([*QUICK, *words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def report_of(place: Path, run: str) -> dict:
    return json.loads((place / "runs" / run / "report.json").read_text())


def models(report: dict) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in report["rows"]))


def test_reports_go_into_the_run_and_stand_beside_what_is_printed(command, place):
    status, out, err = command("run=joint")
    assert (status, err) == (0, "")
    report = report_of(place, "joint")
    assert models(report) == ["towers", "towers + RankNet", "popular"]
    text = (place / "runs" / "joint" / "report.md").read_text()
    for name in models(report):
        assert name in text
        assert name in out
    assert f"report: {Path('runs') / 'joint'}" in out or "report.json" in out
    assert report["dataset"]["fingerprint"] == Bundle.open("joint", place / "runs").manifest["dataset"]
    Bundle.open("joint", place / "runs")  # a report does not break the run


def test_the_figures_are_those_of_the_runs_own_stages(command, place):
    command("run=joint")
    bundle = Bundle.open("joint", place / "runs")
    config, model = bundle.config(), bundle.model()
    split = instantiate(config["data"]["split"]).split(read_source(config["data"]))
    for name, rank in (("towers", False), ("towers + RankNet", True)):
        top = model.recommender(n_candidates=20, rank=rank).recommend(split.test.queries(), 10)
        expected = average_precision(top, split.test.relevant(), 10).mean()
        rows = report_of(place, "joint")["rows"]
        (found,) = (r["mean"] for r in rows if (r["model"], r["metric"], r["k"]) == (name, "map", 10))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_ranknet_on_everything_is_asked_where_nothing_trained_the_towers_or_when_wanted(command, place):
    gold = "RankNet on everything"
    command("run=single")
    assert gold in models(report_of(place, "single"))
    command("run=single", "gold=false")
    assert gold not in models(report_of(place, "single"))
    command("run=joint", "gold=true")
    assert gold in models(report_of(place, "joint"))


@pytest.fixture
def indexed(place):
    """Gives run `joint` an index, and takes it away again."""

    def give(**options):
        return build_index(options, "joint", place / "runs", recall_at=(10,), min_recall=0.0, n_queries=20)

    yield give
    shutil.rmtree(place / "runs" / "joint" / "index", ignore_errors=True)


def test_an_index_that_may_lose_something_stands_beside_exact_retrieval(command, place, indexed):
    indexed(_target_="twotower.ann.kmeans.KMeansIndex", cells=4, nprobe=1)
    status, out, _ = command("run=joint", "eval.baselines=[]")
    assert status == 0
    report = report_of(place, "joint")
    both, exact = "towers + RankNet", "towers + RankNet (exact retrieval)"
    assert models(report) == ["towers", both, "towers (exact retrieval)", exact]
    mean = {r["model"]: r["mean"] for r in report["rows"] if (r["metric"], r["k"]) == ("map", 10)}
    (cost,) = (c for c in report["index_costs"] if c["model"] == both)
    assert (cost["index"], cost["is_exact"]) == ("KMeansIndex, nprobe 1", False)
    assert (cost["mean"], cost["exact_mean"]) == (mean[both], mean[exact])
    assert cost["difference"] == pytest.approx(mean[both] - mean[exact])
    text = (place / "runs" / "joint" / "report.md").read_text()
    said = f"index of towers + RankNet: KMeansIndex, nprobe 1; map@10[min] {mean[both]:.4f}, with exact retrieval"
    assert said in text
    assert said in out


def test_exact_rows_are_what_the_run_says_without_an_index(command, place, indexed):
    command("run=joint", "eval.baselines=[]")
    before = {r["model"]: r["mean"] for r in report_of(place, "joint")["rows"] if r["metric"] == "map" and r["k"] == 10}
    indexed(_target_="twotower.ann.kmeans.KMeansIndex", cells=4, nprobe=1)
    command("run=joint", "eval.baselines=[]")
    after = {r["model"]: r["mean"] for r in report_of(place, "joint")["rows"] if r["metric"] == "map" and r["k"] == 10}
    for stage, mean in before.items():
        assert after[f"{stage} (exact retrieval)"] == pytest.approx(mean, abs=1e-9)


def test_an_exact_index_costs_nothing_and_the_report_says_so(command, place, indexed):
    for give, name in ((lambda: None, "none"), (lambda: indexed(_target_="twotower.ann.exact.ExactIndex"), "Exact")):
        give()
        _, out, _ = command("run=joint", "eval.baselines=[]")
        report = report_of(place, "joint")
        assert models(report) == ["towers", "towers + RankNet"]
        assert all(c["difference"] == 0 and c["is_exact"] and name in c["index"] for c in report["index_costs"])
        for text in (out, (place / "runs" / "joint" / "report.md").read_text()):
            assert "every item is compared, so the index costs nothing" in text


def test_further_strategies_are_further_rows(command, place, indexed):
    indexed(_target_="twotower.ann.kmeans.KMeansIndex", cells=4, nprobe=4)
    command("run=joint", "eval.baselines=[]", "strategies=[direct,pseudo,cluster]")
    names = models(report_of(place, "joint"))
    for stage in ("towers", "towers + RankNet"):
        assert {stage, f"{stage} (pseudo)", f"{stage} (cluster)", f"{stage} (exact retrieval)"} <= set(names)
    assert len(names) == 8


@pytest.mark.parametrize(
    ("strategies", "says"),
    [
        ("[direkt]", "strategy 'direkt' is unknown; did you mean direct?"),
        ("[cluster]", "ExactIndex has none; run `make build-index INDEX=kmeans`"),
    ],
)
def test_a_strategy_that_cannot_be_is_said_in_one_line(command, strategies, says):
    status, _, err = command("run=joint", "eval.baselines=[]", f"strategies={strategies}")
    assert status == 1
    assert says in err
    assert err.count("\n") == 1


def test_several_runs_stand_side_by_side_in_the_first_ones_report(command, place):
    (place / "runs" / "single" / "report.json").unlink(missing_ok=True)
    status, _, _ = command("runs=joint,single", "eval.baselines=[]", "gold=false")
    assert status == 0
    names = ["joint: towers", "joint: towers + RankNet", "single: towers", "single: towers + RankNet"]
    assert models(report_of(place, "joint")) == names
    assert not (place / "runs" / "single" / "report.json").exists()


@pytest.fixture
def sister(place):
    """A run like `joint` but for its seed; taken away again."""
    directory = place / "runs" / "sister"
    own = ("data=own", f"data.source.path={place / 'shop' / 'shop.yaml'}", f"runs_dir={place / 'runs'}")
    latest = place / "runs" / "latest"
    before, newest = torch.get_num_threads(), latest.readlink()
    words = ("run=sister", "objective=joint", "train.seed=7", f"prepared={place / 'prepared'}")
    assert train.main([*own, *SMALL, *words]) == 0
    torch.set_num_threads(before)
    latest.unlink()
    latest.symlink_to(newest)
    yield directory
    shutil.rmtree(directory)


def test_runs_that_differ_in_their_seed_are_averaged_user_by_user(command, place, sister):
    def figures(run: str = "joint") -> dict[str, float]:
        rows = report_of(place, run)["rows"]
        return {r["model"]: r["mean"] for r in rows if (r["metric"], r["k"]) == ("map", 10)}

    command("runs=joint,sister", "eval.baselines=[]", "gold=false")
    apart = figures()
    status, out, _ = command("runs=joint,sister", "eval.baselines=[]", "gold=false", "eval.pool_seeds=true")
    assert status == 0
    assert set(figures()) == {"towers", "towers + RankNet"}
    for stage, mean in figures().items():
        assert mean == pytest.approx((apart[f"joint: {stage}"] + apart[f"sister: {stage}"]) / 2)
    model = next(m for m in report_of(place, "joint")["models"] if m["name"] == "towers + RankNet")
    assert model["seeds"] == [0, 7]
    assert model["options"]["run"] == "joint, sister"
    assert "2 seeds, sd" in out


def test_runs_with_different_indexes_are_not_averaged(command, sister, indexed):
    indexed(_target_="twotower.ann.kmeans.KMeansIndex", cells=4, nprobe=1)
    status, _, err = command("runs=joint,sister", "eval.pool_seeds=true", "eval.baselines=[]")
    assert status == 1
    assert "run 'joint' asks KMeansIndex, run 'sister' ExactIndex; build the same index for both" in err


def test_the_report_knows_kinds_stages_slices_calibration_and_what_the_index_could_do(command, place):
    command("run=joint")
    report = report_of(place, "joint")
    assert {m["name"]: m["family"] for m in report["models"]} == {
        "towers": "stage", "towers + RankNet": "ours", "popular": "popular"
    }  # fmt: skip
    means = {r["model"]: r["mean"] for r in report["rows"] if (r["metric"], r["k"]) == ("map", 10)}
    (stage,) = (g for g in report["stage_gains"] if g["metric"] == "map@10")
    assert stage["difference"] == pytest.approx(means["towers + RankNet"] - means["towers"])
    assert {row["kind"] for row in report["slices"]} == {"activity", "popularity"}
    assert {(g["model"], g["against"]) for g in report["gains"]} == {("towers + RankNet", "popular")}
    seen = json.loads((place / "runs" / "joint" / "figures" / "insights.json").read_text())
    assert report["calibration"] == seen["reliability"]
    assert seen["frontier"]["points"][0]["exact"]
    command("run=joint", "frontier_seconds=0")
    assert "frontier" not in json.loads((place / "runs" / "joint" / "figures" / "insights.json").read_text())


def test_runs_of_different_splits_are_not_compared(command):
    status, _, err = command("runs=joint,longer")
    assert status == 1
    assert "runs 'joint' and 'longer' are of different data or splits; evaluate them apart" in err


def test_data_that_changed_since_training_are_refused(command, place):
    events = place / "shop" / "events.csv"
    before = events.read_text()
    try:
        events.write_text(before + "2024-06-30T00:00:00Z,U001,A001,view,1\n")
        status, _, err = command("run=joint")
    finally:
        events.write_text(before)
    assert status == 1
    assert "run 'joint' was trained on data" in err
    assert err.rstrip().endswith("train again")
    assert command("run=joint")[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("eval.baselines=[popular,alss]",), "eval.baselines: 'alss' is unknown; there are als,"),
        (("run=jiont",), "no run 'jiont' in runs/; did you mean joint"),
        (("eval.kss=[1]",), "kss"),
        (("eval.baseline=alss",), "eval.baseline: 'alss' is unknown; there are"),
        (("eval.slices=[age]",), "eval.slices: 'age' is unknown; choose from activity, popularity"),
        (("eval.activity_edges=[10,5]",), "edges [10, 5] must rise"),
        (("eval.seeds=[0,0]", "eval.baselines=[als]"), "eval.seeds: [0, 0] must be whole numbers from 0, each once"),
        (("eval.pool_seeds=true",), "no two runs differ in train.seed alone; there is one run only"),
        (("runs=joint,single", "eval.pool_seeds=true"), "runs 'joint' and 'single' also differ in objective."),
    ],
)
def test_what_does_not_exist_is_said_in_one_line(command, words, says):
    status, _, err = command(*words)
    assert status == 1
    assert says in err
    assert err.count("\n") == 1


def test_peers_stand_in_the_report_with_the_budget_of_the_baselines(command, place):
    pytest.importorskip("implicit", reason="the extra `peers` is not installed")
    words = ("eval.baselines=[popular]", "eval.peers=[implicit_als]", "eval.max_trials=1")
    assert command("run=joint", *words)[0] == 0
    report = json.loads((place / "runs" / "joint" / "report.json").read_text())
    trials = {model["name"]: len(model["trials"]) for model in report["models"]}
    assert trials["implicit_als"] == trials["popular"] == 1


def test_help_names_the_baselines_and_peers(capsys):
    assert evaluate.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("popular", "als", "hybrid", "lightfm_hybrid", "runs=[a,b]"):
        assert name in shown
