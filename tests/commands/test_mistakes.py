"""Generated mistakes at every command: one line that was foreseen, never a traceback."""

import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from twotower.commands import (
    batch_recommend,
    benchmark,
    build_index,
    build_shards,
    embed_items,
    evaluate,
    prepare,
    recommend,
    similar,
    train,
    tune,
    tune_index,
    verify_index,
)

SHOP = Path(__file__).parents[2] / "examples" / "own_data"
OWN = ["data=own", "data.source.path=shop/shop.yaml"]
USUAL = {
    train: [*OWN, "model=als", "run=x", "progress=false", "model.dim=8", "model.epochs=1", "resume=false",
            "data.positives.min_value=1", "data.positives.kinds=[view,buy]", "data.split.test=0.1", "threads=1"],
    prepare: [*OWN, "out=prepared", "data.source.on_bad_rows=drop", "data.positives.kinds=[buy]"],
    tune: [*OWN, "model=als", "trials=1", "out=tuning", "model.dim=4", "search.alpha=[1,2]", "seed=0"],
    evaluate: ["run=shop", "eval.baselines=[popular]", "eval.baseline=popular", "eval.max_trials=1", "eval.ks=[10]",
               "eval.resamples=10", "eval.slices=[]", "n_candidates=20", "frontier_seconds=0", "eval.seed=0"],
    build_index: ["run=shop", "index=kmeans", "index.cells=4", "n_queries=8", "min_recall=0", "recall_at=[5]"],
    verify_index: ["run=shop", "n_queries=8", "recall_at=[5]"],
    tune_index: ["run=shop", "n_queries=8", "out=tuned"],
    benchmark: ["data=[own]", "models=[popular]", "out=bench", "minutes=0", "trials=1"],
    embed_items: ["run=shop", "out=vectors", "part_rows=100"],
    build_shards: ["run=shop", "index.cells=4", "shard_rows=40", "n_queries=8", "min_recall=0"],
    batch_recommend: ["run=shop", "out=lists", "k=3", "part_rows=100"],
    recommend: ["--run", "shop", "--user", "U001", "--k", "3", "--where", "price<=100", "--candidates", "20"],
    similar: ["--run", "shop", "--item", "A001", "--k", "3"],
}  # fmt: skip
"""What is typed at each command where nothing is wrong."""
ODD = (
    "", "abc", "-1", "0", "1e400", "nan", "null", "true", "[]", "[1", "{a: 1}", "[x,y]", "a,b", "~/none", "a[1].yaml",
    "'", '"', "${nowhere}", "${oc.env:NO_SUCH}", "3.5", "../x", "a b", "/dev/null", "é\u202e", "x" * 300, "$(touch x)",
    "=", "99999999999999999999", "%", "\\", "a'b", "1:2", "@", "*", "shop", ".", "/",
)  # fmt: skip


def mistaken(words: list[str], rng: random.Random) -> list[str]:
    """Words of which one is wrong, or more than needed, or not there."""
    words, at = list(words), rng.randrange(len(words))
    key, sign, value = words[at].partition("=")
    how = rng.choice(
        ("key", "key", "value", "value", "value", "gone", "more", "plus", "tilde", "flag", "twice", "swap")
    )
    if how == "key" and sign:
        place = rng.randrange(len(key))
        key = rng.choice((key[:place] + key[place + 1 :], key[:place] + "x" + key[place:], key + ".more", key.upper()))
        words[at] = f"{key}={value}"
    elif how == "value" or (how == "key" and not sign):
        odd = rng.choice(ODD)
        words[at] = f"{key}={odd}" if sign else odd
    elif how == "gone":
        del words[at]
    elif how == "more":
        words.append(rng.choice(("epochs=3", "no.such.key=1", "train.epoch=3", "x", "--fast", "=", "run", "seed")))
    elif how == "plus":
        words[at] = f"{rng.choice(['+', '++'])}{words[at]}"
        words.append("+epochs=1")
    elif how == "tilde":
        words[at] = f"~{words[at]}"
    elif how == "flag":
        words.insert(at, rng.choice(("--k", "-x", "--multirun", "--config-dir=none", "--cfg", "hydra.run.dir=x")))
    elif how == "twice":
        words.append(f"{key}{sign}{rng.choice(ODD)}")
    else:
        words[at] = f"{value}={key}" if sign else words[at][::-1]
    return words


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with the example's files and a run of them."""
    folder = tmp_path_factory.mktemp("mistakes")
    shutil.copytree(SHOP, folder / "shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train.main([*USUAL[train], "run=shop"]) == 0
    return folder


@pytest.mark.parametrize("n", [5, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", USUAL, ids=lambda command: command.__name__.rpartition(".")[2])
def test_a_mistake_is_one_line_that_was_foreseen(command, n, trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    monkeypatch.setenv("HOME", str(trained))
    found = []
    for seed in range(n):
        words = mistaken(USUAL[command], random.Random(seed))
        try:
            status = command.main(words)
        except SystemExit as end:  # argparse, in words of its own
            status = 0 if end.code in (0, 2) else end.code
        except BaseException as error:
            found.append(f"{words}: {type(error).__name__}: {error}")
            continue
        said = capsys.readouterr().err.strip().splitlines()
        last = said[-1] if said else ""
        if status and (not last or "was not foreseen" in last or any("Traceback" in line for line in said)):
            found.append(f"{words}: {last}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("train.epoch=3", "did you mean train.epochs"),
        ("+train.epoch=3", "did you mean train.epochs"),
        ("epochs=3", "did you mean train.epochs"),
        ("+epochs=1", "did you mean train.epochs"),
        ("++epochs=1", "no such setting"),
        ("data.source.pth=x", "did you mean data.source.path"),
        ("modle=als", "did you mean model"),
        ("~train.epochs", "takes KEY=VALUE"),
        ("train.epochs=three", "epochs='three': write a whole number"),
        ("towers.dim=0", "dim=0"),
        ("model.n_candidates=[1", "does not parse"),
        ("progress=maybe", "write true or false"),
    ],
)
def test_what_was_meant_is_said(word, says, trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    assert train.main([*OWN, "train.epochs=1", "run=y", word]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "word", ["data.source.on_bad_rows=x", "towers.dim=0", "train.epochs=abc", "as_of=x", "train.epoch=2", "model=nope"]
)
def test_options_are_checked_before_data_are_read_and_torch_is_loaded(word, tmp_path):
    (tmp_path / "shop.yaml").write_text("interactions: {path: absent.csv, user: u, item: i, time: t}\n")
    asked = "import sys; from twotower.commands.train import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    words = ["data=own", "data.source.path=shop.yaml", "run=x", word]
    done = subprocess.run([sys.executable, "-c", asked, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "1 False\n", done.stderr
    assert "absent.csv" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["a b.yaml", "a[1].yaml", "a,b.yaml", "a'b.yaml", "{a}.yaml", "a=b.yaml", "$x.yaml"])
def test_a_path_may_hold_any_character(name, trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    monkeypatch.setenv("HOME", str(trained / "shop"))
    shutil.copy(trained / "shop" / "shop.yaml", trained / "shop" / name)
    for place in (f"shop/{name}", f"~/{name}"):
        assert prepare.main(["data=own", f"data.source.path={place}", "out=p"]) == 0, capsys.readouterr().err


def test_one_word_where_a_list_is_meant_is_a_list_of_one(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    assert prepare.main([*OWN, "data.positives.kinds=buy", "out=bought"]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert re.search(r"kind view +0$", told, re.MULTILINE), told


def test_a_run_is_evaluated_from_any_folder(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [f"run={trained / 'runs' / 'shop'}", "eval.baselines=[]", "frontier_seconds=0", "eval.resamples=10"]
    assert evaluate.main(words) == 0, capsys.readouterr().err
    assert not list(tmp_path.iterdir())
