"""Commands are killed at any moment and typed again: what comes out is what would have come out without a kill."""

import hashlib
import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from twotower.commands import batch_recommend, build_index, evaluate, prepare, train
from twotower.runs.bundle import Bundle
from twotower.runs.served_run import ServedRun

KILLS = int(os.environ.get("TWOTOWER_KILLS", "10"))
"""Of every command; `TWOTOWER_KILLS=100 make test-all` kills each a hundred times."""
SHOP = Path(__file__).parents[2] / "examples" / "own_data"
OWN = ["data=own", "data.source.path=shop/shop.yaml", "prepared=none"]
TRAINED = [*OWN, "progress=false", "threads=1", "device=cpu"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "fork" not in multiprocessing.get_all_start_methods(), reason="children that start at once are forked"
    ),
]


def digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def lists_of_run() -> object:
    Bundle.open("shop")
    served = ServedRun.open("shop")
    return [[(place.item, place.rank_score) for place in served.answer(f"U{n:03d}").items] for n in range(1, 9)]


def report() -> object:
    """The figures of the report; the times in it differ each time."""
    lines = (Path("runs/shop/report.md")).read_text().splitlines()
    return next((line for line in lines if line.startswith("| ") and "popular" in line.lower()), lines)


def table(folder: str) -> object:
    return pd.concat([pd.read_parquet(file) for file in sorted(Path(folder).glob("part-*.parquet"))]).to_csv(
        index=False
    )


COMMANDS: dict[str, tuple[Callable[[list[str]], int], list[str], Callable[[], object]]] = {
    "prepare": (
        prepare.main, [*OWN[:2], "out=prepared"], lambda: digest(*Path("prepared").glob("*.parquet")),
    ),
    "train": (train.main, [*TRAINED, "model=als", "model.dim=8", "run=shop"], lists_of_run),
    "train with resume": (
        train.main,
        [*TRAINED, "model=mf_bpr", "model.dim=8", "model.epochs=3", "run=shop"],
        lambda: np.load("runs/shop/item_vectors.npy").tobytes(),
    ),
    "build-index": (
        build_index.main,
        ["run=shop", "index=kmeans", "index.cells=4", "n_queries=8", "min_recall=0", "recall_at=[5]"],
        lists_of_run,
    ),
    "evaluate": (
        evaluate.main,
        ["run=shop", "eval.baselines=[popular]", "eval.baseline=popular", "eval.max_trials=1", "eval.ks=[10]",
         "eval.resamples=20", "eval.slices=[]", "n_candidates=20", "frontier_seconds=0"],
        report,
    ),
    "batch-recommend": (
        batch_recommend.main, ["run=shop", "out=lists", "k=3", "part_rows=20", "overwrite=true"],
        lambda: table("lists"),
    ),
}  # fmt: skip
"""Command, its words, and what it leaves."""


def forked(main: Callable[[list[str]], int], words: list[str]) -> multiprocessing.Process:
    """A child that does nothing but run the command; what it says stands in `said`."""

    def silent() -> None:
        said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os._exit(main(words))

    child = multiprocessing.get_context("fork").Process(target=silent)
    child.start()
    return child


@pytest.mark.parametrize("command", COMMANDS)
def test_a_killed_command_loses_nothing(command, tmp_path, monkeypatch, record_property):
    main, words, left = COMMANDS[command]
    shutil.copytree(SHOP, tmp_path / "shop")
    monkeypatch.chdir(tmp_path)
    if command not in ("prepare", "train", "train with resume"):
        assert train.main([*TRAINED, "model=als", "model.dim=8", "run=shop"]) == 0
    theirs = digest(*(tmp_path / "shop").rglob("*.*"))
    assert main(words) == 0  # loads what children need not load again
    started = time.perf_counter()
    forked(main, words).join(300)
    seconds, wanted = time.perf_counter() - started, left()
    rng, at_work = random.Random(0), 0
    for _ in range(KILLS):
        child = forked(main, words)
        time.sleep(rng.uniform(0, seconds))
        at_work += child.is_alive()
        child.kill()
        child.join()
        assert left() == wanted  # what was there before is whole, or the new one is
    assert at_work > KILLS // 4
    again = forked(main, words)
    again.join(300)
    assert again.exitcode == 0, Path("said").read_text()
    assert left() == wanted
    assert digest(*(tmp_path / "shop").rglob("*.*")) == theirs
    hidden = [path for path in tmp_path.rglob(".*") if path.is_dir() and path.name.endswith((".new", ".publishing"))]
    assert not hidden, hidden
    record_property("kills that fell into the work", f"{at_work} of {KILLS}")
