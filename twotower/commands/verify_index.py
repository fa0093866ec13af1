"""`python -m twotower verify-index`: measures the published index of a run and compares it with what was claimed."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from twotower.commands.words import run_words, settings_of
from twotower.runs.index_check import refuse_drop, verify_index
from twotower.storage.whole_file import write_whole_json

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
    return run_words(arguments, lambda: USAGE, _run)


def _run(arguments: Sequence[str]) -> None:
    settings = settings_of(arguments, "verify_index", lists=("latency_at", "recall_at"))
    file, most = settings.pop("json"), float(settings.pop("max_drop"))
    verified = verify_index(**settings)
    print(verified)
    if file is not None:
        write_whole_json(Path(file), asdict(verified))
        print(f"\nfigures: {file}")
    refuse_drop(verified, most)


if __name__ == "__main__":
    sys.exit(main())
