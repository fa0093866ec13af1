"""Job: measures loading, training, evaluation and scoring on this machine, each in a process of its own.

    python pipelines/bench/overview.py                                  # all on the demo market: what `make bench` runs
    python pipelines/bench/overview.py --only training data=ml-1m towers.dim=128

Words with "=" are options of the training. One epoch is trained; more would only repeat it.
Scoring, lists of 100,000 users from 100,000 items beside other libraries' ways, is `pipelines/bench/exact_lists.py`;
`--users` and `--items` make it smaller. `pipelines/bench/encoding.py` measures encoders and profiles at the reference
system's size.
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from twotower.config.build import make_split, read_source
from twotower.config.compose import compose, plain
from twotower.config.models import ListedModel
from twotower.data.split import Split
from twotower.evaluation.examine import examine
from twotower.evaluation.machine import machine, peak_memory_bytes
from twotower.models.two_tower.estimator import TwoTower
from twotower.training.context import FitContext


def loading(settings: Mapping[str, Any]) -> str:
    """Source to `Dataset`."""
    started = time.perf_counter()
    events = len(read_source(settings["data"]).interactions)
    return _rate(events, "events", time.perf_counter() - started)


def training(settings: Mapping[str, Any]) -> str:
    """One epoch of the optimiser, without encoding and validation."""
    done = _fitted(settings, _split(settings)).progress[0]
    return _rate(done.examples, "training events", done.seconds)


def evaluation(settings: Mapping[str, Any]) -> str:
    """Both stages over the full catalogue, lists of 100, metrics included; the training before it is not timed."""
    split = _split(settings)
    found = examine(_fitted(settings, split).recommender(), split.test)
    return _rate(found.n_users, "users", found.seconds)


MEASURES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "loading": loading,
    "training": training,
    "evaluation": evaluation,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures one thing here, or each in its own process, so that one's memory does not count for another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MEASURES, help="measure one thing")
    parser.add_argument("--users", type=int, default=100_000, help="users of the scoring")
    parser.add_argument("--items", type=int, default=100_000, help="items of the scoring")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="options of the training")
    options = parser.parse_args(arguments)
    if options.only:
        settings = plain(compose([*options.overrides, "train.epochs=1", "train.refit=false"]))
        figure = MEASURES[options.only](settings)
        print(f"{options.only:<10}  {figure}  peak memory {peak_memory_bytes() / 2**20:,.0f} MiB")
        return 0
    print("  ".join(f"{what}: {value}" for what, value in machine().items()))
    commands = [[sys.argv[0], "--only", name, *options.overrides] for name in MEASURES]
    scoring = str(Path(sys.argv[0]).with_name("exact_lists.py"))
    for command in (*commands, [scoring, f"--users={options.users}", f"--items={options.items}"]):
        print(f"$ python {shlex.join(command)}", flush=True)
        status = subprocess.run([sys.executable, *command], check=False).returncode
        if status:
            return status
    return 0


def _split(settings: Mapping[str, Any]) -> Split:
    return make_split(settings, read_source(settings["data"]))


def _fitted(settings: Mapping[str, Any], split: Split) -> TwoTower:
    model = cast(TwoTower, ListedModel.of(settings).make())
    return model.fit(split, FitContext(device=settings["device"], threads=settings["threads"]))


def _rate(n: int, what: str, seconds: float) -> str:
    return f"{n:>10,} {what} in {seconds:6.1f} s  {n / seconds:>10,.0f} per second"


if __name__ == "__main__":
    sys.exit(main())
