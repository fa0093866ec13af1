"""The whole line on the embedded market, one command after the other; each is printed as you would type it yourself.

python pipelines/demo.py                     # what `make demo` runs
python pipelines/demo.py --user 7 --run other
"""

import argparse
import itertools
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
QUICK = ("eval.baselines=[popular,item_knn,als,hybrid]", "eval.max_trials=2")
"""Collaborative filtering and the hybrid, two settings for each; without these words all are tuned thoroughly."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the line and what it is for."""

    title: str
    arguments: tuple[str, ...]

    def typed(self) -> str:
        """The command as typed in the checkout."""
        return shlex.join((_python(), *self.arguments))


def steps(run: str, user: str, overrides: Sequence[str] = ()) -> list[Step]:
    """Prepare, train, index, evaluate, recommend; `overrides` go to the training.

    Without overrides the training is short, so that all is done in minutes; the command's own default is longer.
    """
    training = tuple(overrides) or ("train.epochs=4",)
    recommend = ("-m", "twotower.recommend", "--user", user, "--run", run, "--explain")
    return [
        Step(
            "simulate a vehicle market",
            ("pipelines/prepare.py", "data=marketplace", "out=data-cache/prepared/marketplace"),
        ),
        Step("train towers and RankNet", ("-m", "twotower.train", "data=marketplace", f"run={run}", *training)),
        Step("build the index", ("index/build.py", f"run={run}")),
        Step("compare with tuned baselines", ("-m", "twotower.evaluate", f"run={run}", *QUICK)),
        Step(f"recommend to user {user}, and say why", recommend),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all steps; stops at the first that fails, with its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="demo", help="name of the run (default: %(default)s)")
    parser.add_argument("--user", default="42", help="whom to recommend to (default: %(default)s)")
    parser.add_argument("overrides", nargs="*", help="options of the training, e.g. train.epochs=1")
    options = parser.parse_args(arguments)
    line = steps(options.run, options.user, options.overrides)
    seconds: list[float] = []
    for number, step in enumerate(line, 1):
        print(f"\n[{number}/{len(line)}] {step.title}\n$ {step.typed()}", flush=True)
        started = time.perf_counter()
        status = subprocess.run([sys.executable, *step.arguments], cwd=ROOT, check=False).returncode
        seconds.append(time.perf_counter() - started)
        if status:
            print(
                f"\nThe demo stopped at step {number}: the command above ended with status {status}.", file=sys.stderr
            )
            return status
    print(summary(line, seconds, options.run, options.user))
    return 0


def summary(line: Sequence[Step], seconds: Sequence[float], run: str, user: str) -> str:
    """Where the time went, where the results are and what to type next."""
    width = max(len(step.title) for step in line)
    rows = [f"  {step.title:<{width}}  {took:6.1f} s" for step, took in zip(line, seconds, strict=True)]
    python = _python()
    return "\n".join([
        "",
        *rows,
        f"  {'in all':<{width}}  {sum(seconds):6.1f} s",
        "",
        *first_table(ROOT / "runs" / run / "report.md"),
        "",
        f"The run is in runs/{run}, its whole report in runs/{run}/report.html. Next:",
        f"  {python} -m twotower.recommend --user {user} --run {run} --where 'price<=15000'",
        f"  {python} -m twotower.train data=ml-1m        # real data, see docs/data.md",
        f"  {python} -m twotower.train data=own data.source.path=examples/own_data/shop.yaml",
    ])  # fmt: skip


def first_table(report: Path) -> list[str]:
    """The lines of the first table of a Markdown report: the models and their figures."""
    lines = report.read_text().splitlines()
    starts = next((i for i, line in enumerate(lines) if line.startswith("|")), len(lines))
    return list(itertools.takewhile(lambda line: line.startswith("|"), lines[starts:]))


def _python() -> str:
    """The interpreter as one types it: relative where it lies inside the checkout."""
    interpreter = Path(sys.executable).absolute()  # not resolved: that would leave the environment
    return str(interpreter.relative_to(ROOT)) if interpreter.is_relative_to(ROOT) else str(interpreter)


if __name__ == "__main__":
    sys.exit(main())
