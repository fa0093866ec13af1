"""Job: measures every stage of the study on the simulated market, each in a process of its own, beside its goal.

    python pipelines/bench_full.py                           # size full: what `make bench-full` runs, hours
    python pipelines/bench_full.py --size small              # a sixteenth
    python pipelines/bench_full.py --scale 1/16,1/4,1        # three sizes, and how each stage grows
    python pipelines/bench_full.py --size small --only train # one stage (its predecessors must have run)
    python pipelines/bench_full.py data.source.seed=1 train.batch_size=4096

Words with "=" are options of the training. What a stage measured lies in FOLDER/SIZE/STAGE.json, and a stage that has
been measured is not measured again; --again does. Threads: OMP_NUM_THREADS.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from twotower.build_index import build_index
from twotower.config import compose, conf_dir, instantiate, plain
from twotower.data.split import Split
from twotower.evaluate import evaluate
from twotower.evaluation.environment import machine
from twotower.evaluation.stage_figures import HEAD, Figure, growth
from twotower.evaluation.training_peers import DictExamples, Throughput, installed_peers, plain_torch
from twotower.fitting import Fitting, build_model
from twotower.models.als import ALS
from twotower.nn.device import set_threads
from twotower.prepared import load_prepared, make_split, read_source, save_prepared
from twotower.retrieval.features import TowerFeatures
from twotower.retrieval.options import TrainOptions
from twotower.serve.served_run import ServedRun
from twotower.train import train as train_command
from twotower.types import Queries
from twotower.verify_index import verify_index

SHARES = {"1/64": "demo", "1/16": "small", "1/4": "quarter", "1": "full"}
CANDIDATES, LENGTH, GOLD_USERS = 500, 100, 1000
PLAIN_BATCHES = 4


@dataclass(frozen=True)
class Place:
    """Where one size's settings and files are."""

    size: str
    folder: Path
    overrides: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The reference's model and objective, five epochs without early stopping."""
        own = [
            "data=marketplace", f"data.source.size={self.size}", "model=reference", "objective=multi_cos_affine",
            "train.epochs=5", "train.patience=null", "train.refit=false", "train.batch_size=2048", "run=full",
            f"prepared={self.folder / 'prepared'}", f"runs_dir={self.folder / 'runs'}", "progress=false",
        ]  # fmt: skip
        found: dict[str, Any] = plain(compose([*own, *self.overrides]))
        return found

    def split(self) -> Split:
        """The prepared data, cut."""
        settings = self.settings
        return make_split(settings, load_prepared(settings["data"], self.folder / "prepared"))

    def run(self) -> ServedRun:
        """What the training published."""
        return ServedRun.open("full", self.folder / "runs")


def prepare(place: Place) -> Figure:
    """Simulates the market, saves it, cuts it, learns encoders and profiles."""
    settings, started = place.settings, time.perf_counter()
    dataset = read_source(settings["data"])
    made = time.perf_counter() - started
    save_prepared(dataset, settings["data"], place.folder / "prepared")
    split = make_split(settings, dataset)
    features = TowerFeatures.fit(dataset, split.train, instantiate(settings["features"]), identity_min_count=1)
    inputs, _ = features.training_inputs(dataset, split.train)
    note = f"{made:.0f} s of it the simulation; {len(inputs.profiles):,} profiles"
    return Figure(time.perf_counter() - started, len(dataset.interactions), "events", note)


def train(place: Place) -> Figure:
    """The training command; rate and seconds are the optimiser's, batch assembly and validation included."""
    started = time.perf_counter()
    bundle = train_command(OmegaConf.create(place.settings))
    curve = json.loads((bundle.directory / "training.json").read_text())[0]
    note = f"{curve['epoch']} epochs; the command with reading, profiles and publishing {_since(started)}"
    return Figure(curve["seconds"], curve["examples"], "positives", note)


def index(place: Place) -> Figure:
    """Builds the default index of the run, measures it, and verifies what was published."""
    started = time.perf_counter()
    options = plain(compose(["index=auto"], "build_index"))
    built = build_index(options["index"], "full", place.folder / "runs", target_recall=0.99)
    verify_index("full", place.folder / "runs")
    return Figure(time.perf_counter() - started, built.count, "items", str(built))


def two_stage(place: Place) -> Figure:
    """Lists of 100 out of 500 candidates for every user with a target."""
    queries, stages = _queries(place), place.run().recommender
    started = time.perf_counter()
    stages.recommend(queries, LENGTH)
    return Figure(time.perf_counter() - started, len(queries), "users", f"T = {CANDIDATES}")


def als(place: Place) -> Figure:
    """Collaborative filtering: 100 factors, 15 sweeps."""
    split, started = place.split(), time.perf_counter()
    ALS(dim=100, epochs=15).fit(split)
    return Figure(time.perf_counter() - started, len(split.train), "events", "d = 100, 15 sweeps")


def hybrid(place: Place) -> Figure:
    """The hybrid baseline with 100 factors."""
    split, started = place.split(), time.perf_counter()
    options = plain(OmegaConf.load(conf_dir() / "baseline" / "hybrid.yaml"))["model"]
    model = instantiate({**options, "dim": 100}).fit(split)
    note = f"d = 100, best of {model.best_epochs} epochs"
    return Figure(time.perf_counter() - started, len(split.train), "events", note)


def gold(place: Place) -> Figure:
    """RankNet over the whole catalogue for some users, and what all of them would take."""
    queries, stages = _queries(place), place.run().recommender
    asked = queries.take(np.arange(min(GOLD_USERS, len(queries))))
    started = time.perf_counter()
    stages.gold_standard(asked, LENGTH)
    seconds = time.perf_counter() - started
    note = f"all {len(queries):,} users: {seconds * len(queries) / len(asked) / 3600:.1f} h, extrapolated"
    return Figure(seconds, len(asked), "users", note)


def report(place: Place) -> Figure:
    """The evaluation command over the test week, without baselines."""
    words = ["run=full", f"runs_dir={place.folder / 'runs'}", "gold=false", "eval.baselines=[]"]
    started = time.perf_counter()
    evaluate(plain(compose(words, "evaluate")))
    return Figure(time.perf_counter() - started, len(_queries(place)), "users", "both stages, metrics, page")


def peers(place: Place) -> Figure:
    """One epoch of ours, a few batches of a plain loop around the same networks, one epoch of other libraries."""
    settings, split = place.settings, place.split()
    options: TrainOptions = instantiate(settings["train"] | {"epochs": 1, "patience": None})
    towers, objective = instantiate(settings["model"]), instantiate(settings["objective"])
    threads, events = set_threads(options.threads), split.train.unique_pairs()
    fitting = Fitting(towers, instantiate(settings["features"]), objective, options)
    fitted = fitting.run(split, None, None, progress=False)
    inputs, profiles = fitted.features.training_inputs(split.dataset, split.train)
    rows = profiles.rows(events.user, events.time) if profiles else np.zeros(len(events), np.int64)
    others = {
        "plain torch loop": plain_torch(
            build_model(towers, objective, inputs), DictExamples(events, inputs, rows),
            batch_size=options.events_per_batch(len(events)), batches=PLAIN_BATCHES,
        )
    }  # fmt: skip
    others |= {name: run(events) for name, run in installed_peers(towers.dim, threads).items()}
    ours = Throughput(fitted.progress.examples, fitted.progress.seconds)
    told = [f"{name} {theirs.rate:,.0f}/s, ours {ours.rate / theirs.rate:.2f} times" for name, theirs in others.items()]
    return Figure(ours.seconds, ours.positives, "positives", "; ".join(told))


STAGES: dict[str, Callable[[Place], Figure]] = {
    "prepare": prepare,
    "train": train,
    "index": index,
    "two_stage": two_stage,
    "als": als,
    "hybrid": hybrid,
    "gold": gold,
    "report": report,
    "peers": peers,
}
GOALS = {
    "prepare": "600 s",
    "train": "600 s, 60,000/s",
    "two_stage": "220/s",
    "gold": "600 s",
}
"""At size full on two cores, with at most 12 GiB."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures one stage here, or every stage that is still to do in a process of its own."""
    options = _parsed(arguments)
    shares = [options.size] if options.scale is None else [SHARES[share] for share in options.scale.split(",")]
    if options.measure:
        place = Place(shares[0], options.folder / shares[0], tuple(options.overrides))
        _measure(options.measure, place)
        return 0
    print("  ".join(f"{what}: {value}" for what, value in machine().items()))
    wanted = list(STAGES) if options.only is None else options.only.split(",")
    found: dict[str, dict[str, Figure]] = {stage: {} for stage in wanted}
    for size in shares:
        print(f"\n{size}\n{HEAD}", flush=True)
        for stage in wanted:
            if not _in_own_process(stage, size, options):
                return 1
            found[stage][size] = Figure.load(options.folder / size / f"{stage}.json")
            print(found[stage][size].line(stage, GOALS.get(stage, "") if size == "full" else ""), flush=True)
    if len(shares) > 1:
        _print_growth(found)
    return 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHARES.values(), default="full")
    parser.add_argument("--scale", help=f"sizes as shares of the full one, of {', '.join(SHARES)}")
    parser.add_argument("--only", help=f"stages, of {', '.join(STAGES)}")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-full"), help="where everything is kept")
    parser.add_argument("--again", action="store_true", help="measure what has been measured")
    parser.add_argument("--measure", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="options of the training")
    options = parser.parse_args(arguments)
    unknown = set((options.only or "").split(",")) - {"", *STAGES}
    unknown |= set((options.scale or "").split(",")) - {"", *SHARES}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; see --help")
    return options


def _measure(stage: str, place: Place) -> None:
    place.folder.mkdir(parents=True, exist_ok=True)
    STAGES[stage](place).of_this_process().save(place.folder / f"{stage}.json", place.overrides)


def _in_own_process(stage: str, size: str, options: argparse.Namespace) -> bool:
    """Measures a stage unless that was done before with the same options; its own words go to a file."""
    folder: Path = options.folder / size
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"{stage}.json"
    if done.exists() and not options.again and Figure.options_of(done) == options.overrides:
        return True
    command = [sys.executable, __file__, "--measure", stage, "--size", size, "--folder", str(options.folder)]
    with (folder / f"{stage}.log").open("w") as log:
        status = subprocess.run([*command, *options.overrides], stdout=log, stderr=log, check=False).returncode
    if status:
        print(f"{stage} failed; see {folder / f'{stage}.log'}")
    return status == 0


def _print_growth(found: Mapping[str, Mapping[str, Figure]]) -> None:
    """One exponent per stage: of seconds over the size of the market, and of peak memory."""
    share = {size: float(Fraction(text)) for text, size in SHARES.items()}
    print(f"\n{'stage':<10} {'seconds ~':>12} {'peak ~':>12}")
    for stage, figures in found.items():
        sizes = [share[size] for size in figures]
        powers = [growth(sizes, [getattr(f, what) for f in figures.values()]) for what in ("seconds", "peak_mib")]
        print(f"{stage:<10} " + " ".join(f"{f'size^{power:.2f}':>12}" for power in powers))


def _queries(place: Place) -> Queries:
    """Everybody with a new pair in the test week."""
    return place.split().test.queries()


def _since(started: float) -> str:
    return f"{time.perf_counter() - started:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
