"""The console script `twotower`: a thin dispatcher to the commands, which are imported only when they are called."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence

from twotower.errors import TwoTowerError
from twotower.text import near, one_line

COMMANDS = {
    "prepare": ("twotower.commands.prepare", "read a source and save it as a prepared data set"),
    "train": ("twotower.commands.train", "train a model, publish a run"),
    "refresh": ("twotower.commands.refresh", "newer events, users and items for a run, without training"),
    "build-index": ("twotower.commands.build_index", "build, measure and publish the index of a run"),
    "verify-index": ("twotower.commands.verify_index", "measure the published index of a run again"),
    "tune-index": ("twotower.commands.tune_index", "find the fastest index that reaches a wanted recall"),
    "tune": ("twotower.commands.tune", "find good options of a model on validation"),
    "evaluate": ("twotower.commands.evaluate", "compare a run with tuned baselines, write its report"),
    "benchmark": ("twotower.commands.benchmark", "every model on chosen data sets, one table"),
    "recommend": ("twotower.commands.recommend", "print the list of one user"),
    "similar": ("twotower.commands.similar", "print the items most like one item"),
    "embed-items": ("twotower.commands.embed_items", "vectors of a catalogue as Parquet, on one machine or many"),
    "build-shards": ("twotower.commands.build_shards", "build the index of a run in shards and merge them"),
    "batch-recommend": ("twotower.commands.batch_recommend", "lists of all users as Parquet, on one machine or many"),
    "compare-metrics": ("twotower.commands.compare_metrics", "score one list under each library's definitions"),
}
"""Sub-command to the module whose `main(arguments) -> int` it calls, and what it does."""


def run_command(command: Callable[[], None]) -> int:
    """Runs a command; an error that was raised on purpose becomes one line on stderr.

    Returns:
        0, or 1 after such an error, or 130 after Ctrl-C.
    """
    try:
        command()
        sys.stdout.flush()
    except TwoTowerError as error:
        print(f"{type(error).__name__}: {one_line(error)}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # e.g. `twotower recommend … | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatches to a sub-command and returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 1
    if arguments[0] == "--version":
        from twotower import __version__

        print(__version__)
        return 0
    name, rest = arguments[0].replace("_", "-"), arguments[1:]
    if name not in COMMANDS:
        print(_unknown(arguments[0]), file=sys.stderr)
        return 1
    status = importlib.import_module(COMMANDS[name][0]).main(rest)
    return int(status)


def _help() -> str:
    lines = [f"  {name:<15} {does}" for name, (_, does) in COMMANDS.items()]
    return "\n".join(
        ["usage: twotower COMMAND [OPTIONS]", "", *lines, "", "Each command explains itself: twotower COMMAND --help"]
    )


def _unknown(name: str) -> str:
    return f"twotower: no command {name!r}; {near(name, COMMANDS)}"


if __name__ == "__main__":
    sys.exit(main())
