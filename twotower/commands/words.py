"""What commands share: help, `KEY=VALUE` words as settings; of batch jobs the engine and the last line."""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from twotower.commands.console import run_command
from twotower.config.compose import compose, group_files, plain
from twotower.config.kinds import checked_settings
from twotower.errors import BadConfig
from twotower.jobs.engines import Engine
from twotower.jobs.named_engine import engine_named

ENGINE_WORDS = """  engine=local        or ray: Ray Data actors (pip install 'twotower[distributed]')
  workers=1           processes or actors side by side; each loads the run
  threads=N           of each worker; default: an equal share of the cores
  ray_address=ADDRESS a running Ray cluster (auto, ray://host:10001); without it Ray runs on this machine"""
OUTPUT_WORDS = """  out=FOLDER          part-*.parquet and _SUCCESS.json (rows, SHA-256); appears when all is done
  overwrite=false     true exchanges an `out` that exists
  part_rows=131072    input rows per output file; a job that was killed goes on after its finished files"""
_ENGINE = ("engine", "workers", "threads", "ray_address")


def run_words(
    arguments: Sequence[str] | None, usage: Callable[[], str], command: Callable[[Sequence[str]], None]
) -> int:
    """Runs a command on words of the command line, or prints its usage where `-h` or `--help` is among them.

    Args:
        arguments: the words; None: those that the process was started with.
        usage: the text of the help.
        command: what is done with the words.

    Returns:
        The exit status of `run_command`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    asks_for_help = {"-h", "--help"} & set(words)
    return run_command(lambda: print(usage()) if asks_for_help else command(words))


def settings_of(
    arguments: Sequence[str], name: str, *, lists: Collection[str] = (), example: str = "run=NAME"
) -> dict[str, Any]:
    """`conf/<name>.yaml` under the words of the command line.

    Args:
        arguments: the words, each KEY=VALUE.
        name: of the configuration.
        lists: keys whose values are lists, see `listed`.
        example: a word that the command takes, for whoever typed another form.

    Raises:
        BadConfig: a word is not understood.
    """
    for word in arguments:
        if word.startswith("-") or "=" not in word:
            raise BadConfig(f"{word!r}: this command takes KEY=VALUE, e.g. {example}; see --help")
    return checked_settings(plain(compose([listed(word, lists) for word in arguments], name)), name)


def listed(word: str, keys: Collection[str]) -> str:
    """A word as Hydra takes it: of some keys, `KEY=a,b` is `KEY=[a,b]`.

    >>> listed("runs=a,b", {"runs"}), listed("runs=[a]", {"runs"}), listed("k=5", {"runs"})
    ('runs=[a,b]', 'runs=[a]', 'k=5')
    """
    key, _, value = word.partition("=")
    return f"{key}=[{value}]" if key in keys and value != "null" and not value.startswith("[") else word


def names_in(group: str) -> str:
    """The files of a folder of `conf/`, for a usage."""
    return ", ".join(file.stem for file in group_files(group))


def take_engine(settings: dict[str, Any]) -> Engine:
    """The engine that the settings name, whose entries are taken out."""
    name, workers, threads, address = (settings.pop(word) for word in _ENGINE)
    return engine_named(name, workers=workers, threads=threads, ray_address=address)


def outcome(title: str, out: Path, success: Mapping[str, Any], started: float) -> str:
    """The line that says what was made."""
    size = sum(file["size"] for file in success["files"].values())
    seconds = perf_counter() - started
    return f"{title}: {success['rows']:,} rows in {len(success['files'])} files, {size:,} bytes, {seconds:.1f} s; {out}"
