"""Job: measures every stage of the study on the simulated market, each in a process of its own, beside its goal.

    python pipelines/bench/full_size.py                           # size full: what `make bench-full` runs, an hour
    python pipelines/bench/full_size.py --size small              # a sixteenth
    python pipelines/bench/full_size.py --scale 1/16,1/4,1        # three sizes, and how each stage grows
    python pipelines/bench/full_size.py --only train              # one stage (its predecessors must have run)
    python pipelines/bench/full_size.py data.source.seed=1 train.batch_size=4096

Words with "=" are options of the training. What a stage measured lies in FOLDER/SIZE/STAGE.json, and a stage that has
been measured is not measured again; --again does. Threads: OMP_NUM_THREADS. Training takes --processes, of one thread.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from twotower.benchmarks.stage_costs import HEAD, Figure, HeldTogether, growth_lines
from twotower.benchmarks.training_loops import DictExamples, Throughput, installed_peers, plain_torch, torch_loops
from twotower.commands.evaluate import evaluate
from twotower.config.build import make_split, read_source
from twotower.config.compose import compose, instantiate, plain
from twotower.config.models import listed_model
from twotower.data.split import Split
from twotower.errors import BadInput
from twotower.evaluation.contest import Entrant
from twotower.evaluation.machine import machine
from twotower.models.factorization.als import ALS
from twotower.models.factorization.hybrid import HybridMF
from twotower.models.two_tower.fitting import Fitting, build_model
from twotower.models.two_tower.options import TrainOptions
from twotower.nn.device import set_threads
from twotower.runs.bundle import Bundle
from twotower.runs.index_check import verify_index
from twotower.runs.indexing import build_index
from twotower.runs.prepared import load_inputs, load_prepared, save_inputs, save_prepared
from twotower.runs.served_run import ServedRun
from twotower.training.context import QUIET
from twotower.types import Queries

SHARES = {"1/64": "demo", "1/16": "small", "1/4": "quarter", "1": "full"}
CANDIDATES, LENGTH, GOLD_USERS = 500, 100, 1000
LOOP_BATCHES = 20


@dataclass(frozen=True)
class Place:
    """Where one size's settings and files are."""

    size: str
    folder: Path
    overrides: tuple[str, ...]
    processes: int

    @property
    def words(self) -> list[str]:
        """Of the training command: the reference's model and objective, five epochs without early stopping."""
        return [
            "data=marketplace", f"data.source.size={self.size}", "towers=reference", "features=reference", "run=full",
            "objective=multi_cos_affine", "train.epochs=5", "train.patience=null", "train.refit=false",
            "train.batch_size=4096", "progress=false", f"prepared={self.folder}/prepared",
            f"runs_dir={self.folder}/runs", *self.overrides,
        ]  # fmt: skip

    @property
    def settings(self) -> dict[str, Any]:
        """What the words say."""
        found: dict[str, Any] = plain(compose(self.words))
        return found

    def split(self) -> Split:
        """The prepared data, cut."""
        settings = self.settings
        return make_split(settings, load_prepared(settings["data"], self.folder / "prepared"))

    def run(self) -> ServedRun:
        """What the training published."""
        return ServedRun.open("full", self.folder / "runs")


def prepare(place: Place) -> Figure:
    """Simulates the market and saves it; cuts it, learns encoders and profiles, and saves what trainings read."""
    settings, folder, started = place.settings, place.folder / "prepared", time.perf_counter()
    dataset = read_source(settings["data"])
    made = time.perf_counter() - started
    save_prepared(dataset, settings["data"], folder)
    inputs = save_inputs(make_split(settings, dataset), settings, folder)
    note = f"{made:.0f} s of it the simulation; {len(inputs.training.profiles):,} profiles"
    return Figure(time.perf_counter() - started, len(dataset.interactions), "events", note).of_this_process()


def train(place: Place) -> Figure:
    """The training command in several processes: reading, steps, validation after every epoch, publishing."""
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={place.processes}"]
    started = time.perf_counter()
    together = place.processes > 1
    command = [*(launched if together else [sys.executable]), "-m", "twotower.train", *place.words]
    own = {"OMP_NUM_THREADS": "1"} if together else {}  # each process has a core
    with HeldTogether() as held:
        subprocess.run(command, check=True, env=os.environ | own)
    seconds = time.perf_counter() - started
    curve = json.loads((Bundle.open("full", place.folder / "runs").directory / "training.json").read_text())[0]
    rate = curve["examples"] / curve["seconds"]
    note = f"{curve['epoch']} epochs by {place.processes} processes: {curve['seconds']:.0f} s of steps, {rate:,.0f}/s"
    return Figure(seconds, curve["examples"], "positives", note).of_children(held)


def index(place: Place) -> Figure:
    """Builds the default index of the run, measures it, and verifies what was published."""
    started = time.perf_counter()
    options = plain(compose(["index=auto"], "build_index"))
    built = build_index(options["index"], "full", place.folder / "runs", target_recall=0.99)
    verify_index("full", place.folder / "runs")
    return Figure(time.perf_counter() - started, built.count, "items", str(built)).of_this_process()


def two_stage(place: Place) -> Figure:
    """Lists of 100 out of 500 candidates for every user with a target."""
    queries, stages = _queries(place), place.run().recommender
    started = time.perf_counter()
    stages.recommend(queries, LENGTH)
    return Figure(time.perf_counter() - started, len(queries), "users", f"T = {CANDIDATES}").of_this_process()


def als(place: Place) -> Figure:
    """Collaborative filtering: 100 factors, 15 sweeps."""
    split, started = place.split(), time.perf_counter()
    model = ALS(dim=100, epochs=15).fit(split)
    seconds = time.perf_counter() - started
    model.save(place.folder / "als")
    return Figure(seconds, len(split.train), "events", "d = 100, 15 sweeps").of_this_process()


def hybrid(place: Place) -> Figure:
    """The hybrid baseline with 100 factors."""
    split, started = place.split(), time.perf_counter()
    model = listed_model("hybrid").build(dim=100)().fit(split)
    seconds = time.perf_counter() - started
    model.save(place.folder / "hybrid")
    note = f"d = 100, best after {model.best_epochs} epochs"
    return Figure(seconds, len(split.train), "events", note).of_this_process()


def gold(place: Place) -> Figure:
    """RankNet over the whole catalogue for some users, and what all of them would take."""
    queries, stages = _queries(place), place.run().recommender
    asked = queries.take(np.arange(min(GOLD_USERS, len(queries))))
    started = time.perf_counter()
    stages.gold_standard(asked, LENGTH)
    seconds = time.perf_counter() - started
    note = f"all {len(queries):,} users: {seconds * len(queries) / len(asked) / 3600:.1f} h, extrapolated"
    return Figure(seconds, len(asked), "users", note).of_this_process()


def report(place: Place) -> Figure:
    """The evaluation command over the test week: both stages beside the baselines that were fitted."""
    words = ["run=full", f"runs_dir={place.folder / 'runs'}", "gold=false", "eval.baselines=[popular]"]
    started = time.perf_counter()
    fitted = {
        "als": Entrant(ALS.load(place.folder / "als"), {"dim": 100, "epochs": 15}, family="cf"),
        "hybrid": Entrant(HybridMF.load(place.folder / "hybrid"), {"dim": 100}, family="hybrid"),
    }
    done = evaluate(plain(compose(words, "evaluate")), fitted)
    note = "MAP@10 " + ", ".join(
        f"{row.model} {row.mean:.4f}" for row in done.rows if (row.metric, row.k) == ("map", 10)
    )
    return Figure(time.perf_counter() - started, len(_queries(place)), "users", note).of_this_process()


def peers(place: Place) -> Figure:
    """One epoch of ours, some batches of plain loops around the same networks, one epoch of other libraries."""
    settings, split = place.settings, place.split()
    options: TrainOptions = instantiate(settings["train"] | {"epochs": 1, "patience": None})
    towers, objective = instantiate(settings["towers"]), instantiate(settings["objective"])
    threads, events = set_threads(settings["threads"]), split.train.unique_pairs()
    prepared = load_inputs(split, settings, place.folder / "prepared")
    if prepared is None:
        raise BadInput(f"{place.folder / 'prepared'} holds no inputs for these options; run --only prepare --again")
    fitting = Fitting(towers, instantiate(settings["features"]), objective, options)
    fitted, inputs, profiles = fitting.run(split, None, QUIET, prepared=prepared), prepared.training, prepared.profiles
    rows = profiles.rows(events.user, events.time) if profiles else np.zeros(len(events), np.int64)
    loops = torch_loops(DictExamples(events, inputs, rows), options.events_per_batch(len(events)))
    others = {
        name: plain_torch(build_model(towers, objective, inputs), batches, at_most=LOOP_BATCHES)
        for name, batches in loops.items()
    }
    others |= {name: run(events) for name, run in installed_peers(towers.dim, threads).items()}
    ours = Throughput(fitted.progress.examples, fitted.progress.seconds)
    told = [f"{name} {theirs.rate:,.0f}/s, ours {ours.rate / theirs.rate:.2f} times" for name, theirs in others.items()]
    return Figure(ours.seconds, ours.positives, "positives", "; ".join(told)).of_this_process()


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
    "index": "300 s",
    "two_stage": "300 s, 220/s",
    "als": "600 s",
    "hybrid": "1,800 s",
    "gold": "600 s",
}
"""At size full on two cores, with at most 12 GiB; the whole study within 4,800 s."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures one stage here, or every stage that is still to do in a process of its own."""
    options = _parsed(arguments)
    shares = [options.size] if options.scale is None else [SHARES[share] for share in options.scale.split(",")]
    if options.measure:
        place = Place(shares[0], options.folder / shares[0], tuple(options.overrides), options.processes)
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
        study = [figures[size].process_seconds for stage, figures in found.items() if stage != "peers"]
        print(f"all but the peers: {sum(study):,.0f} s, {len(study)} stages one after the other")
    if len(shares) > 1:
        share = {size: float(Fraction(text)) for text, size in SHARES.items()}
        print("\n" + "\n".join(growth_lines(found, share)))
    return 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHARES.values(), default="full")
    parser.add_argument("--scale", help=f"sizes as shares of the full one, of {', '.join(SHARES)}")
    parser.add_argument("--only", help=f"stages, of {', '.join(STAGES)}")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-full"), help="where everything is kept")
    parser.add_argument("--again", action="store_true", help="measure what has been measured")
    parser.add_argument("--processes", type=int, default=torch.get_num_threads(), help="that train the networks")
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
    STAGES[stage](place).save(place.folder / f"{stage}.json", place.overrides)


def _in_own_process(stage: str, size: str, options: argparse.Namespace) -> bool:
    """Measures a stage unless that was done before with the same options; its own words go to a file."""
    folder: Path = options.folder / size
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"{stage}.json"
    if done.exists() and not options.again and Figure.options_of(done) == options.overrides:
        return True
    command = [sys.executable, __file__, "--measure", stage, "--size", size, "--folder", str(options.folder)]
    command += ["--processes", str(options.processes), *options.overrides]
    started = time.perf_counter()
    with (folder / f"{stage}.log").open("w") as log:
        status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    if status:
        print(f"{stage} failed; see {folder / f'{stage}.log'}")
        return False
    replace(Figure.load(done), process_seconds=time.perf_counter() - started).save(done, options.overrides)
    return True


def _queries(place: Place) -> Queries:
    """Everybody with a new pair in the test week."""
    return place.split().test.queries()


if __name__ == "__main__":
    sys.exit(main())
