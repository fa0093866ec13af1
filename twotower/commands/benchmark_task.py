"""`python -m twotower.commands.benchmark_task FILE`: one process of the benchmark, started by the command."""

import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twotower.benchmarks.task import ERROR, BenchmarkTask, run
from twotower.errors import TwoTowerError
from twotower.text import one_line

if TYPE_CHECKING:
    pass

USAGE = """usage: python -m twotower.commands.benchmark_task FILE

One process of the benchmark, started by `python pipelines/benchmark.py`. FILE is the task that it left in
runs/benchmark/<data>/logs/, so that a run can be repeated alone: the search of a model, or a run under one seed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; whatever goes wrong is told in the last line, for the table."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments) or len(arguments) != 1:
        print(USAGE)
        return 0 if arguments else 1
    task = BenchmarkTask(**json.loads(Path(arguments[0]).read_text()))
    try:
        run(task)
    except Exception as error:
        if not isinstance(error, TwoTowerError):
            traceback.print_exc()
        kind = "" if isinstance(error, TwoTowerError) else f"{type(error).__name__}: "
        print(f"{ERROR}{kind}{one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
