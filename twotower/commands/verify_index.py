"""`python -m twotower verify-index`: measures the published index of a run and compares it with what was claimed."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from twotower.commands.console import run_command
from twotower.config.compose import compose, plain
from twotower.errors import BadConfig
from twotower.runs.index_check import refuse_drop, verify_index

USAGE = """usage: python -m twotower verify-index [KEY=VALUE ...]

Checks the files of a run's index, then measures its recall against exact search with the users that it was measured
with when it was published, the time of single queries, queries per second in batches, and bytes per vector.
Exit status 1 if the index is damaged or finds less than its manifest says.

  run=NAME|PATH       the run; default: the newest in runs/
  max_drop=0.01       loss of recall that is still accepted
  latency_at=[100]    list lengths for times
  calls=1000          single queries that are timed for each
  threads=1           threads of searching; null: all
  json=PATH           also write the figures there

All settings: conf/verify_index.yaml"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> None:
    if {"-h", "--help"} & set(arguments):
        print(USAGE)
        return
    dashed = [a for a in arguments if a.startswith("-")]
    if dashed:
        raise BadConfig(f"{dashed[0]!r}: this command takes KEY=VALUE, e.g. run=NAME; see --help")
    settings = plain(compose(arguments, "verify_index"))
    file, most = settings.pop("json"), float(settings.pop("max_drop"))
    verified = verify_index(**settings)
    print(verified)
    if file is not None:
        Path(file).write_text(json.dumps(asdict(verified), indent=2) + "\n", encoding="utf-8")
        print(f"\nfigures: {file}")
    refuse_drop(verified, most)


if __name__ == "__main__":
    sys.exit(main())
