"""Job: measures fits of factor models, ours and the peers', on a data set or at the reference system's size.

    python pipelines/bench/factor_models.py mf_warp lightfm_warp mf_bpr implicit_bpr als implicit_als   # on ml-1m
    python pipelines/bench/factor_models.py hybrid als --market dim=100 epochs=2 --threads 2
    python pipelines/bench/factor_models.py hybrid --market 0.01 --unwatched dim=100 epochs=1

Names are those of conf/model, words with "=" are options of the model. Each model is fitted in a
process of its own and examined on the validation part; the test part is never touched. Seconds are of the whole fit,
validation after every epoch included unless it is `--unwatched`; CPU seconds are those of all threads.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from encoding import synthetic
from omegaconf import OmegaConf

from twotower.config.build import make_split, read_source
from twotower.config.compose import compose, plain
from twotower.config.models import listed_model
from twotower.data.dataset import Dataset
from twotower.data.split import FinalSplit, Split
from twotower.data.splitters import TimeQuantile
from twotower.evaluation.machine import machine, peak_memory_bytes
from twotower.metrics.ranking import average_precision
from twotower.models.base import ScoringModel
from twotower.training.context import FitContext

EVENTS, USERS, ITEMS = 6_500_000, 100_000, 1_711_190
"""Of the reference system's data set."""
EXAMINED = 5_000
"""Validation users whose lists are examined after the fit, the first ones."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures one model here, or each in its own process, so that one's memory does not count for another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="MODEL|KEY=VALUE", help="models, and options for all of them")
    parser.add_argument("--data", default="ml-1m", help="a name of conf/data")
    parser.add_argument("--market", nargs="?", type=float, const=1.0, help="made-up market of this share of full size")
    parser.add_argument("--unwatched", action="store_true", help="no validation after each epoch")
    parser.add_argument("--threads", type=int, default=1)
    options, more = parser.parse_known_args(arguments)
    words = [*options.words, *more]
    names, settings = [w for w in words if "=" not in w], [w for w in words if "=" in w]
    if len(names) == 1:
        torch.set_num_threads(options.threads)
        print(measured(names[0], settings, split_of(options)), flush=True)
        return 0
    print("  ".join(f"{what}: {value}" for what, value in machine().items()), flush=True)
    given = [w for w in (sys.argv[1:] if arguments is None else arguments) if w not in names]
    return max(subprocess.run([sys.executable, __file__, name, *given], check=False).returncode for name in names)


def split_of(options: argparse.Namespace) -> Split:
    """The data set as its own protocol splits it, or the made-up market with its newest hundredth as validation."""
    if options.market is None:
        settings = plain(compose([f"data={options.data}"]))
        split = make_split(settings, read_source(settings["data"]))
    else:
        split = TimeQuantile(validation=0.01, test=0.01).split(market(options.market))
    if not options.unwatched:
        return split
    return FinalSplit(split.dataset, split.train, split.validation, split.test, split.name, split.ordered_by_time)


def market(share: float) -> Dataset:
    """Events and a catalogue with the reference's numbers of fields and values, without structure to be learnt."""
    sizes = argparse.Namespace(events=int(share * EVENTS), users=int(share * USERS), items=int(share * ITEMS))
    return synthetic(sizes, np.random.default_rng(0))


def measured(name: str, settings: Sequence[str], split: Split) -> str:
    """Fits a model; its figures in one line."""
    model, figures, pairs = model_of(name, settings), list[float](), len(split.train.unique_pairs())
    began, cpu_began = time.perf_counter(), time.process_time()
    model.fit(split, FitContext(on_epoch=figures.append))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    epochs = len(figures) or int(model.options()["epochs"])
    best = f"best epoch {int(np.argmax(figures)) + 1} of {epochs}" if figures else f"{epochs} epochs"
    return (
        f"{name:<14} MAP@10 {map_of(model, split):.4f}  {best:<22} {seconds / epochs:6.2f} s, CPU {cpu / epochs:6.2f} s"
        f" an epoch  {pairs * epochs / cpu:>9,.0f} pairs a CPU second  peak {peak_memory_bytes() / 2**30:.1f} GiB"
    )


def model_of(name: str, settings: Sequence[str]) -> ScoringModel:
    """The model of a file, with some options changed."""
    changes: dict[str, Any] = OmegaConf.to_container(OmegaConf.from_dotlist(list(settings)))  # type: ignore[assignment]
    return cast(ScoringModel, listed_model(name).make(**changes))


def map_of(model: ScoringModel, split: Split) -> float:
    """MAP@10 on validation."""
    rows = np.arange(min(EXAMINED, len(split.validation.users())))
    queries, relevant = split.validation.queries().take(rows), split.validation.relevant().take(rows)
    return float(average_precision(model.recommend(queries, 10), relevant, 10).mean())


if __name__ == "__main__":
    sys.exit(main())
