"""`python -m twotower build-index`: builds the index of a run, measures it, exchanges it with the old one."""

import sys
from collections.abc import Sequence
from pathlib import Path

from twotower.commands.words import names_in, run_words, settings_of
from twotower.runs.indexing import build_index, options_in

USAGE = """usage: python -m twotower build-index [KEY=VALUE ...]

Builds the index of a run, measures its recall against exact search, and exchanges it with the old index in one step.

  run=NAME|PATH       the run; default: the newest in runs/
  index=BACKEND       one of {backends}; options as index.nprobe=64
  index_file=PATH     a YAML with _target_ and options instead, such as the tuned.yaml of tune_index
  target_recall=0.99  the least effort is chosen that reaches it; null keeps the index's own options
  min_recall=0.95     an index that finds less is not published
  n_queries=1000      user vectors that recall is measured with

All settings: conf/build_index.yaml"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_words(arguments, lambda: USAGE.format(backends=names_in("index")), _run)


def _run(arguments: Sequence[str]) -> None:
    settings = settings_of(arguments, "build_index")
    index, file = settings.pop("index"), settings.pop("index_file")
    if file is not None:
        index = options_in(Path(file))
    built = build_index(index, **settings)
    print(built)
    print(f"now: python -m twotower.recommend --user ID --run {built.run}")


if __name__ == "__main__":
    sys.exit(main())
