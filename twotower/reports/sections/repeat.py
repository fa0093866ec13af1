"""Section `repeat`: commands, data, split, seed, machine and versions: what it takes to get the same report."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twotower.config.build import with_absolute_paths
from twotower.config.compose import compose, group_files, plain
from twotower.errors import BadConfig
from twotower.evaluation.report import Report
from twotower.reports import tables, wording
from twotower.reports.examined_run import ExaminedRun
from twotower.reports.section import Section
from twotower.runs.bundle import Bundle
from twotower.text import gib_text

_WITHOUT_TRACE = frozenset(("progress", "resume"))
"""Settings that change how it goes, not what comes out."""


@dataclass(frozen=True, slots=True)
class Commands:
    """What to type to get the same run and report."""

    commands: tuple[str, ...]


class Repeat(Section[Commands]):
    """The conditions of the report."""

    name = "repeat"

    def measure(self, run: ExaminedRun) -> Commands:
        """Commands that lead to the run's configuration and to the evaluation's, where any do."""
        return Commands((*train_command(run.bundle), *evaluate_command(run.settings)))

    def words(self, report: Report, value: Commands | None) -> Mapping[str, Any]:
        """Always shown: the commands, if any are known."""
        return {"commands": value.commands if value else ()}

    def markdown(self, report: Report, value: Commands | None) -> Iterator[str]:
        """A list of conditions."""
        data, split = report.dataset, report.split
        validation, test = split["validation"], split["test"]
        memory = gib_text(report.peak_memory_bytes)
        facts = [
            f"Data: {data['users']:,} users, {data['items']:,} items, {data['events']:,} events; "
            f"fingerprint `{data['fingerprint'][:16]}`",
            f"Split `{split['name']}`: {split['train_events']:,} training events; validation {validation['users']:,} "
            f"users with {validation['targets']:,} targets; test {test['users']:,} users with {test['targets']:,} "
            "targets",
            f"Every user with a test target is{tables.times_asked(report) or ' asked once'}: {tables.asked(report)}",
            f"Seed {report.seed}; {report.wall_seconds:,.0f} s in all; peak memory {memory}",
            "Machine: " + ", ".join(f"{name} {fact}" for name, fact in report.machine.items()),
            "Versions: " + ", ".join(f"{name} {version}" for name, version in report.versions.items()),
            f"Made {report.created}",
        ]
        yield wording.joined(facts)


def evaluate_command(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The command that composes these settings, or nothing if no command does."""
    return _command("evaluate", settings, ())


def train_command(bundle: Bundle) -> tuple[str, ...]:
    """The command that trained a run, or nothing if no command does."""
    config = bundle.config()
    data = str(config["data"]["name"])
    choices = [f"data={data}"] if data in {file.stem for file in group_files("data")} else []
    return _command("train", config, choices)


def _command(command: str, goal: Mapping[str, Any], choices: Sequence[str]) -> tuple[str, ...]:
    """What to type, tried out: composed again it gives the same settings, else it is not shown."""
    try:
        changes = [*choices, *_changes(goal, _composed(choices, command))]
        again = _composed(changes, command)
    except BadConfig:
        return ()
    if any(again.get(key) != value for key, value in goal.items() if key not in _WITHOUT_TRACE):
        return ()
    return (shlex.join(["python", "-m", f"twotower.{command}", *changes]),)


def _composed(words: Sequence[str], command: str) -> dict[str, Any]:
    """Settings of words as a run keeps them."""
    settings: dict[str, Any] = plain(compose(words, command))
    return with_absolute_paths(settings) if "data" in settings else settings


def _changes(goal: Mapping[str, Any], start: Mapping[str, Any], under: str = "") -> Iterator[str]:
    """Overrides that lead from one configuration to another."""
    for key, value in goal.items():
        name = f"{under}{key}"
        if name in _WITHOUT_TRACE or (key in start and start[key] == value):
            continue
        if isinstance(value, Mapping) and isinstance(start.get(key), Mapping):
            yield from _changes(value, start[key], f"{name}.")
        else:
            yield f"{'' if key in start else '+'}{name}={_written(value)}"


def _written(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_written(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_written(part) for part in value) + "]"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return str(value)
