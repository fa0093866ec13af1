"""The console script `twotower`: a thin dispatcher to the commands, which are imported only when they are called."""

import errno
import importlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

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
    "export": ("twotower.commands.export", "towers and RankNet of a run as ONNX graphs"),
    "compare-metrics": ("twotower.commands.compare_metrics", "score one list under each library's definitions"),
}
"""Sub-command to the module whose `main(arguments) -> int` it calls, and what it does."""


TRACEBACK = "TWOTOWER_TRACEBACK"
"""Environment variable that shows where an error was raised."""


def run_command(command: Callable[[], None]) -> int:
    """Runs a command; an error that was raised on purpose becomes one line on stderr.

    Returns:
        0, or 1 after such an error, or 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if not shows_everything(stream) and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        command()
        sys.stdout.flush()
    except BrokenPipeError:  # e.g. `twotower recommend … | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        print(in_words(error), file=sys.stderr)
        return 1
    return 0


def shows_everything(stream: TextIO) -> bool:
    """Whether a stream can show every character."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def in_words(error: Exception) -> str:
    """One line for an error: what happened, to what, and what may be done about it."""
    if isinstance(error, TwoTowerError):
        return f"{type(error).__name__}: {one_line(error)}"
    said = one_line(error)
    if isinstance(error, OSError):
        places = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        reason = error.strerror or said or type(error).__name__
        remedy = _REMEDIES.get(error.errno or 0, "check the place and try again")
        return one_line(f"OSError: {f'{places}: ' if places else ''}{reason}; {remedy}")
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(f"{type(error).__name__} {said}"):
        return f"MemoryError: {said[:200] or 'not enough memory'}; ask for less at once, or give it more memory"
    if isinstance(error, UnicodeError):
        return f"UnicodeError: {said[:200]}; give the encoding of the file, e.g. utf-8 or cp1252"
    return (
        f"{type(error).__name__}: {said[:300]}; this was not foreseen: please report it with what {TRACEBACK}=1 shows"
    )


_OUT_OF_MEMORY = re.compile(r"OutOfMemory|out of memory|can't allocate memory|malloc of size|std::bad_alloc")
_REMEDIES = {
    errno.EACCES: "ask for permission, or give another place",
    errno.EPERM: "ask for permission, or give another place",
    errno.EROFS: "give a place that can be written",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a file lies where a folder should be; give another place",
    errno.EEXIST: "a file lies where a folder should be; give another place",
    errno.EISDIR: "a folder lies where a file should be; give another place",
    errno.ENOSPC: "free some room, or give another place",
    errno.EDQUOT: "free some room, or give another place",
    errno.EFBIG: "raise the limit of file sizes, or give another place",
    errno.ENAMETOOLONG: "give a shorter name",
}


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
