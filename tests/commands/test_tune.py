"""`python -m twotower tune` on the example's files: baselines and towers, going on, and what evaluate takes up."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from twotower.commands import evaluate, train, tune
from twotower.config.compose import compose, plain
from twotower.config.models import ListedModel
from twotower.errors import BadConfig
from twotower.training.context import FitContext

SHOP = Path(__file__).parents[2] / "examples" / "own_data" / "shop.yaml"
DATA = ("data=own", f"data.source.path={SHOP}", "prepared=prepared")
TINY = (
    "towers.dim=8", "towers.history_layers=1", "towers.history_length=5", "train.epochs=1", "threads=1",
    "device=cpu", "train.patience=null",
)  # fmt: skip


@pytest.fixture(autouse=True)
def threads():
    """Towers set one thread; the other tests get theirs back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Types the command in an empty folder; gives status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        status = tune.main([*DATA, *words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def best_of(folder: Path) -> dict:
    return yaml.safe_load((folder / "best.yaml").read_text())


def test_a_baseline_is_tuned_and_told_with_table_best_options_and_command(command, tmp_path):
    status, out, err = command("model=popular", "trials=6")
    assert (status, err) == (0, "")
    found = best_of(tmp_path / "tuning" / "shop" / "popular")
    assert [trial["options"]["window_days"] for trial in found["trials"]] == [None, 7, 14, 30, 90, 180]
    assert found["score"] == max(trial["score"] for trial in found["trials"])
    assert f"best: map@10 {found['score']:.4f} with window_days=" in out
    assert "6 trials in" in out
    assert "now: python -m twotower.evaluate eval.tuned=tuning/shop 'eval.baselines=[popular]'" in out
    table = [line.split() for line in out.split("\n\n")[1].splitlines()]
    assert table[0] == ["trial", "window_days", "map@10", "seconds"]
    assert [row[2] for row in table[1:]] == sorted((row[2] for row in table[1:]), reverse=True)


def test_typed_again_it_goes_on_from_what_is_done(command, tmp_path):
    command("model=item_knn", "trials=2")
    first = best_of(tmp_path / "tuning" / "shop" / "item_knn")["trials"]
    assert first[0]["options"] == {"n_neighbours": 300, "half_life": None}  # the usual options
    _, out, _ = command("model=item_knn", "trials=4")
    assert best_of(tmp_path / "tuning" / "shop" / "item_knn")["trials"][:2] == first
    assert "trial 3/4" in out
    assert "trial 2/4" not in out
    status, _, err = command("model=item_knn", "trials=4", "metric=ndcg@10")
    assert status == 1
    assert "the study file is of another metric; give out=" in err


def test_towers_are_tuned_with_what_is_typed_for_training(command, tmp_path):
    search = "search={train.lr: [0.001, 0.01], objective.temperature: {low: 0.05, high: 0.2, log: true}}"
    status, out, err = command(*TINY, "model=two_tower", "trials=2", "model.n_candidates=20", search)
    assert (status, err) == (0, "")
    found = best_of(tmp_path / "tuning" / "shop" / "two_tower")
    assert all(trial["error"] is None and trial["score"] > 0 for trial in found["trials"])
    assert found["fixed"]["towers"]["dim"] == 8
    (typed,) = (line for line in out.splitlines() if line.startswith("now: "))
    assert typed.startswith("now: python -m twotower.train data=own")
    assert f"train.lr={found['options']['train.lr']}" in typed
    assert "trials=" not in typed


def test_towers_tell_how_their_epochs_go_and_end_when_told_to(command):
    settings = plain(compose([*DATA, *TINY, "train.epochs=3"], "tune"))
    from twotower.config.build import make_split
    from twotower.runs.prepared import load_prepared
    from twotower.tuning.blind_split import BlindSplit
    from twotower.tuning.study import Pruned

    split = make_split(settings, load_prepared(settings["data"], Path("prepared")))
    listed, figures = ListedModel.of(settings), []
    listed.make().fit(BlindSplit.of(split), FitContext(on_epoch=figures.append))
    assert len(figures) == 3

    def stop(figure: float) -> None:
        raise Pruned(f"{figure}")

    with pytest.raises(Pruned):
        listed.make().fit(BlindSplit.of(split), FitContext(on_epoch=stop))


@pytest.mark.slow
def test_evaluate_takes_up_what_was_found_instead_of_tuning_again(command, tmp_path, capsys):
    command("model=popular", "trials=6")
    small = [*TINY, "run=shop", "progress=false", "train.refit=false"]
    assert train.main([*DATA, *small]) == 0
    words = ["run=shop", "n_candidates=20", "eval.baselines=[popular]", "eval.baseline=popular", "eval.resamples=50"]
    assert evaluate.main([*words, "eval.tuned=tuning/shop", "eval.ks=[10]"]) == 0
    capsys.readouterr()
    report = json.loads((tmp_path / "runs" / "shop" / "report.json").read_text())
    (facts,) = (model for model in report["models"] if model["name"] == "popular")
    found = best_of(tmp_path / "tuning" / "shop" / "popular")
    assert len(facts["trials"]) == 6
    assert facts["tune_seconds"] == pytest.approx(sum(trial["seconds"] for trial in found["trials"]))
    assert facts["options"]["window_days"] == found["options"]["window_days"]
    file = tmp_path / "tuning" / "shop" / "popular" / "best.yaml"
    file.write_text(file.read_text().replace("dataset: ", "dataset: 0"))
    assert evaluate.main([*words, "eval.tuned=tuning/shop"]) == 1
    assert "was found for dataset 0" in capsys.readouterr().err
    assert evaluate.main([*words, "eval.tuned=nowhere"]) == 1
    assert "eval.tuned=nowhere: there is no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("model=alss",), "model=alss: there is no such file in conf/model; did you mean als"),
        (("model=popular", "trials=0"), "trials=0: write a whole number of at least 1"),
        (("model=popular", "search={window_days: 7}"), "option 'window_days' needs a list of values"),
        (
            ("model=two_tower", "search={train.lrr: [1, 2]}"),
            "has no option 'train.lrr'; did you mean train.lr",
        ),
        (("trails=3",), "trails"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(command, words, says):
    status, _, err = command(*words)
    assert status == 1
    assert says in err
    assert err.count("\n") == 1


def test_the_search_that_is_typed_takes_the_place_of_the_models_own():
    words, search = tune.split_search(["model=als", "search={alpha: [1, 5]}", "trials=3"])
    assert (words, search) == (["model=als", "trials=3"], {"alpha": [1, 5]})
    with pytest.raises(BadConfig, match="name options and what to try"):
        tune.split_search(["search=alpha"])


def test_help_names_models_and_data(capsys):
    assert tune.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("two_tower", "als", "ml-1m", "trials=20", "search={l2: {low: 1"):
        assert name in shown


def test_a_peer_is_tuned_like_a_baseline_and_the_command_that_uses_it_names_it_as_a_peer(command, tmp_path):
    pytest.importorskip("implicit", reason="the extra `peers` is not installed")
    status, out, err = command("model=implicit_als", "trials=2", "search={alpha: [1, 5]}")
    assert (status, err) == (0, "")
    found = best_of(tmp_path / "tuning" / "shop" / "implicit_als")
    assert [trial["options"] for trial in found["trials"]] == [{"alpha": 1}, {"alpha": 5}]
    assert "now: python -m twotower.evaluate eval.tuned=tuning/shop 'eval.peers=[implicit_als]'" in out


def test_a_peer_whose_library_is_missing_is_refused_before_any_trial(command, monkeypatch):
    monkeypatch.setattr("twotower.models.peers.library.find_spec", lambda name: None)
    status, out, err = command("model=lightfm_warp", "trials=2")
    assert status == 1
    assert "lightfm-next is not installed; pip install 'twotower[peers]'" in err
    assert "trial 1" not in out


def test_two_data_sets_of_ones_own_are_tuned_apart(command, tmp_path):
    other = SHOP.read_text().replace("path: ", f"path: {SHOP.parent}/").replace("name: shop", "name: bazaar")
    (tmp_path / "bazaar.yaml").write_text(other)
    words = ("model=popular", "trials=1")
    assert command(*words)[0] == 0
    assert command(*words, f"data.source.path={tmp_path}/bazaar.yaml")[0] == 0
    assert sorted(path.name for path in (tmp_path / "tuning").iterdir()) == ["bazaar", "shop"]
