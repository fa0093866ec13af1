"""`python -m twotower build-index`: builds the index of a run, measures it, exchanges it with the old one."""

import sys
from collections.abc import Sequence
from pathlib import Path

from twotower.commands.console import run_command
from twotower.config.compose import compose, plain
from twotower.errors import BadConfig
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
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> None:
    from twotower.config.compose import group_files

    if {"-h", "--help"} & set(arguments):
        print(USAGE.format(backends=", ".join(file.stem for file in group_files("index"))))
        return
    dashed = [a for a in arguments if a.startswith("-")]
    if dashed:
        raise BadConfig(f"{dashed[0]!r}: this command takes KEY=VALUE, e.g. run=NAME; see --help")
    settings = plain(compose(arguments, "build_index"))
    index, file = settings.pop("index"), settings.pop("index_file")
    if file is not None:
        index = options_in(Path(file))
    built = build_index(index, **settings)
    print(built)
    print(f"now: python -m twotower.recommend --user ID --run {built.run}")


if __name__ == "__main__":
    sys.exit(main())
