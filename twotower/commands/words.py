"""What the commands of batch jobs share: words of the command line, the bar, the last line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from twotower.config.compose import compose, plain
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


def settings_of(arguments: Sequence[str], name: str) -> dict[str, Any]:
    """`conf/<name>.yaml` under the words of the command line.

    Raises:
        BadConfig: a word is not understood.
    """
    dashed = [word for word in arguments if word.startswith("-") or "=" not in word]
    if dashed:
        raise BadConfig(f"{dashed[0]!r}: this command takes KEY=VALUE, e.g. run=NAME; see --help")
    settings: dict[str, Any] = plain(compose(arguments, name))
    return settings


def take_engine(settings: dict[str, Any]) -> Engine:
    """The engine that the settings name, whose entries are taken out."""
    name, workers, threads, address = (settings.pop(word) for word in _ENGINE)
    return engine_named(name, workers=workers, threads=threads, ray_address=address)


def outcome(title: str, out: Path, success: Mapping[str, Any], started: float) -> str:
    """The line that says what was made."""
    size = sum(file["size"] for file in success["files"].values())
    seconds = perf_counter() - started
    return f"{title}: {success['rows']:,} rows in {len(success['files'])} files, {size:,} bytes, {seconds:.1f} s; {out}"
