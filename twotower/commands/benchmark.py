"""`python -m twotower benchmark`: every model on chosen data sets, one process a run, resumable; one table each."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twotower.benchmarks.plan import by_model, tasks_of, tower_names
from twotower.benchmarks.task import ERROR, MARK, BenchmarkTask
from twotower.commands.console import run_command
from twotower.commands.words import listed
from twotower.config.compose import compose, group_files, plain
from twotower.config.kinds import checked_settings
from twotower.config.models import counterparts, model_names
from twotower.errors import BadConfig
from twotower.storage.atomic import only_one
from twotower.storage.ours import remove

if TYPE_CHECKING:
    from twotower.benchmarks.pooling import BenchmarkTable
    from twotower.benchmarks.results import BenchmarkRun

USAGE = """usage: python pipelines/benchmark.py [KEY=VALUE ...]     (or twotower benchmark …)

Tunes each model on validation, fits it under every seed, examines it on the test, each in a process of its own, and
prints one table for each data set. Typed again it goes on where it was stopped. A model that fails is a row.

  data=[ml-1m,marketplace]  some of {data}
  models=[als,implicit_als] some of these, or the groups all, baselines, peers, towers:
                            {models}
  seeds=[0,1,2]             models that draw nothing at random run under the first only
  trials=8                  settings tried for each data set and model; towers_trials=0 for the towers
  tune_minutes=20           no trial is begun after them
  minutes_per_model=60      a search or a run that takes longer is stopped, and is a row
  minutes=600               nothing new is begun after them, in all
  on_change=refuse|redo     what is done with finished runs of other settings
  retry=false               keep the error of runs that failed instead of doing them again
  out=runs/benchmark        where runs, benchmark.md and benchmark.json go
  compare_with=als metric=map@10 resamples=10000 level=0.95 seed=0

Other words are those of training and hold for every data set: data.source.size=small protocol=time_quantile
train.epochs=6. All settings: conf/benchmark.yaml"""
TABLE = "benchmark.md", "benchmark.json"
_LISTS = ("data_sets", "models", "seeds", "ks")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take.

    Attributes:
        each: seconds of one process; None: any.
        until: moment of the monotonic clock after which nothing new is begun; None: never.
    """

    each: float | None
    until: float | None

    @property
    def over(self) -> bool:
        """Nothing new is begun."""
        return self.until is not None and time.monotonic() >= self.until


def benchmark(settings: Mapping[str, Any], words: Sequence[str] = ()) -> "list[BenchmarkTable]":
    """Runs the whole job for plain settings; returns one table for each data set.

    Args:
        settings: `conf/benchmark.yaml` as composed.
        words: options of training that hold for every data set.

    Raises:
        BadConfig: an unknown name, or finished runs of other settings.
    """
    from twotower.benchmarks.text import markdown, terminal, to_json
    from twotower.storage.whole_file import write_whole

    out = Path(settings["out"])
    plan = {data: list(tasks_of(settings, data, words)) for data in settings["data_sets"]}
    out.mkdir(parents=True, exist_ok=True)
    with only_one(out / ".lock", f"running a benchmark into {out}"):
        for tasks in plan.values():
            _clear_changed(tasks, settings["on_change"])
        minutes, each = settings["minutes"], settings["minutes_per_model"]
        limits = Limits(each and 60 * each, None if minutes is None else time.monotonic() + 60 * minutes)
        tables = []
        for data, tasks in plan.items():
            cells = [cell for group in by_model(tasks) for cell in _done(group, limits, retry=settings["retry"])]
            tables.append(_table(data, cells, settings))
        for name, text in zip(TABLE, (markdown(tables), to_json(tables)), strict=True):
            write_whole(out / name, partial(_write, text))
    print(
        f"\n{terminal(tables, colour=sys.stdout.isatty())}\n\nwritten: {', '.join(str(out / name) for name in TABLE)}"
    )
    return tables


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _table(data: str, cells: "Sequence[BenchmarkRun]", settings: Mapping[str, Any]) -> "BenchmarkTable":
    from twotower.benchmarks.pooling import table_of

    names = {name: settings[name] for name in ("resamples", "level", "seed")}
    names |= {"primary": settings["metric"], "baseline": settings["compare_with"]}
    return table_of(data, cells, counterparts=counterparts({cell.model for cell in cells}), **names)


def _clear_changed(tasks: Sequence[BenchmarkTask], on_change: str) -> None:
    """Finished runs and searches of other settings: all are named, or all are removed, before anything is begun.

    Raises:
        BadConfig: there are some, and they are to be refused.
    """
    from twotower.benchmarks.results import read_facts

    changed = [task.directory for task in tasks if _is_finished(read_facts(task.directory), of_other=task)]
    changed += [task.tuning for task in tasks if _mark(task).get("digest", task.search_digest) != task.search_digest]
    changed = list(dict.fromkeys(changed))
    if changed and on_change == "refuse":
        names = ", ".join(str(path) for path in changed[:5]) + (" …" if len(changed) > 5 else "")
        raise BadConfig(
            f"{len(changed)} finished under other settings: {names}; type the settings of then, give out=<another "
            "folder>, or do them again with on_change=redo"
        )
    for path in changed:
        remove(path)


def _is_finished(facts: Mapping[str, Any], *, of_other: BenchmarkTask) -> bool:
    """A run that ended well, under other settings than those of a task."""
    return bool(facts) and facts["error"] is None and facts["digest"] != of_other.digest


def _mark(task: BenchmarkTask) -> dict[str, Any]:
    """What a search left about itself; nothing where there was none."""
    file = task.tuning / MARK
    return json.loads(file.read_text()) if file.exists() else {}


def _done(tasks: Sequence[BenchmarkTask], limits: Limits, *, retry: bool) -> "Iterator[BenchmarkRun]":
    """The cells of one model: those that are there, and the others after their runs."""
    from twotower.benchmarks.results import BenchmarkRun, read_facts

    failed: str | None = None
    searched = False
    for task in tasks:
        known = read_facts(task.directory)
        if known and known["digest"] == task.digest and (known["error"] is None or not retry):
            _say(task, "is there")
            yield BenchmarkRun.load(task.directory)
            continue
        if limits.over:
            yield BenchmarkRun(task.data, task.model, task.seed, task.digest, "not begun within minutes")
            continue
        if not searched:
            failed, searched = _search(task, limits), True
        error = failed or _run(task, limits)
        if error is not None:
            BenchmarkRun(task.data, task.model, task.seed, task.digest, error).save(task.directory)
        yield BenchmarkRun.load(task.directory)


def _search(task: BenchmarkTask, limits: Limits) -> str | None:
    """The search that the seeds share, unless it has ended; what went wrong, if anything did."""
    if not task.trials or (_mark(task).get("trials"), _mark(task).get("minutes")) == (task.trials, task.tune_minutes):
        return None
    error = _run(replace(task, kind="tune"), limits)
    return error and f"tuning: {error}"


def _run(task: BenchmarkTask, limits: Limits) -> str | None:
    """One process; None if it ended well, else what the table tells."""
    logs = Path(task.folder) / "logs"
    file = task.write(logs / f"{task.name}.json")
    started = time.monotonic()
    error = outcome(command(file), logs / f"{task.name}.log", limits.each)
    _say(task, f"{error or 'done'} ({time.monotonic() - started:,.1f} s)")
    return error


def _say(task: BenchmarkTask, what: str) -> None:
    print(f"{task.data}  {task.name}: {what}", flush=True)


def command(file: Path) -> list[str]:
    """What does a task in a process of its own."""
    return [sys.executable, "-u", "-m", "twotower.commands.benchmark_task", str(file)]


def outcome(words: Sequence[str], log: Path, seconds: float | None) -> str | None:
    """Runs a process to its end, or to its limit.

    Args:
        words: its command line.
        log: takes what it prints.
        seconds: it is killed after them; None: never.

    Returns:
        None if it ended well, else why not, in one line.
    """
    with log.open("w") as file, subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT) as process:
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"stopped after {seconds:,.0f} s (minutes_per_model)"
        except BaseException:
            process.kill()
            raise
    if status < 0:
        memory = ", which the system sends when memory is short" if status == -signal.SIGKILL else ""
        return f"killed by {signal.Signals(-status).name}{memory}; see {log}"
    if status > 0:
        lines = log.read_text(errors="replace").split("\n")
        told = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
        return told[-1] if told else f"ended with status {status}; see {log}"
    return None


def split_words(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words of this job as Hydra takes them, and words of training; `data` would be a group to Hydra."""
    own = set(plain(compose([], "benchmark")))
    mine, others = [], []
    for word in arguments:
        key, _, value = word.partition("=")
        key = "data_sets" if key == "data" else key
        if key not in own:
            others.append(word)
        else:
            mine.append(listed(f"{key}={value}", _LISTS))
    return mine, others


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments):
        data = ", ".join(file.stem for file in group_files("data"))
        print(USAGE.format(data=data, models=", ".join([*model_names(), *tower_names()])))
        return 0
    return run_command(lambda: _typed(arguments))


def _typed(arguments: Sequence[str]) -> None:
    mine, others = split_words(arguments)
    settings = checked_settings(plain(compose(mine, "benchmark")), "benchmark")
    benchmark(settings, others)


if __name__ == "__main__":
    sys.exit(main())
