"""`python -m twotower batch-recommend`: ranked lists for all users of a run, as Parquet, on one machine or many."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from twotower.commands.words import ENGINE_WORDS, OUTPUT_WORDS, outcome, run_words, settings_of, take_engine

USAGE = """usage: python -m twotower batch-recommend out=FOLDER [KEY=VALUE ...]

Recommends to all users of a run, or to those of a file: Parquet of `user, rank, item, score, how` in your own ids,
user by user in the order of the input; the lists that `python -m twotower.recommend` prints for one.

  run=NAME|PATH       the run; default: the newest in runs/
  users=PATH          Parquet file, folder of them, or CSV with a header; default: all users of the run
  column=user         column of `users` that holds the user ids
  k=10                wanted items for each
  where=[RULE,...]    catalogue rules such as 'price<=15000'; also candidates= strategy= exclude_seen=
{output}
  batch_rows=1024     users served at once
{engine}

All settings: conf/batch_recommend.yaml"""


def batch_recommend(
    run: str,
    runs_dir: str,
    out: str,
    users: str | None,
    column: str,
    k: int,
    engine: Any,
    changes: Mapping[str, Any],
    **options: Any,
) -> dict[str, Any]:
    """Recommends to many users.

    Args:
        run: name or path of the run.
        runs_dir: where runs lie.
        out: folder to make.
        users: Parquet or CSV of user ids; None: all users of the run.
        column: of user ids in `users`.
        k: wanted items for each user.
        engine: an `Engine`.
        changes: `ServeOptions` that differ from those of the run.
        **options: those of `map_batches`.

    Returns:
        What `_SUCCESS.json` says.

    Raises:
        BadConfig: k < 1, or an option that the run cannot serve by.
    """
    from twotower.errors import BadConfig
    from twotower.jobs.csv_rows import as_parquet
    from twotower.jobs.parts import map_batches
    from twotower.jobs.users import RecommendUsers, run_state
    from twotower.runs.bundle import Bundle

    if k < 1:
        raise BadConfig(f"k must be at least 1, got {k}")
    bundle = Bundle.open(run, runs_dir)
    own = bundle.directory / "user_ids.parquet"
    column = "external" if users is None else column
    work = RecommendUsers(str(bundle.directory.absolute()), run_state(bundle), column, k, changes)
    with as_parquet(own if users is None else Path(users), column, like=own, beside=Path(out)) as source:
        return map_batches(engine, source, work, Path(out), columns=[column], **options)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_words(arguments, lambda: USAGE.format(output=OUTPUT_WORDS, engine=ENGINE_WORDS), _run)


def _run(arguments: Sequence[str]) -> None:
    from twotower.jobs.progress import bar

    settings, started = settings_of(arguments, "batch_recommend"), perf_counter()
    engine = take_engine(settings)
    settings["n_candidates"] = settings.pop("candidates")
    asked = {name: settings.pop(name) for name in ("where", "n_candidates", "strategy", "exclude_seen")}
    changes = {name: value for name, value in asked.items() if value is not None}
    with bar("recommend", "users") as progress:
        success = batch_recommend(**settings, changes=changes, engine=engine, progress=progress)
    print(outcome("recommended", Path(settings["out"]), success, started))


if __name__ == "__main__":
    sys.exit(main())
