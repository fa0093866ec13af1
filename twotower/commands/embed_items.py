"""`python -m twotower embed-items`: the vectors of a catalogue's items, as Parquet, on one machine or many."""

import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from twotower.commands.words import ENGINE_WORDS, OUTPUT_WORDS, outcome, run_words, settings_of, take_engine

USAGE = """usage: python -m twotower embed-items out=FOLDER [KEY=VALUE ...]

Embeds items by a run's ItemNet: Parquet of item features in, Parquet of `item` and `vector` out, row by row in the
order of the input. Items that training never saw are embedded by their features.

  run=NAME|PATH       the run; default: the newest in runs/
  items=PATH          Parquet file, or folder of them, with the feature columns of the run's catalogue;
                      default: the run's own catalogue
  id=item             column of `items` that holds the item ids
  npy=false           true also writes vectors.npy [N, D]
{output}
  batch_rows=8192     items embedded at once
{engine}

All settings: conf/embed_items.yaml"""


def embed_items(
    run: str,
    runs_dir: str,
    out: str,
    items: str | None,
    id_column: str,
    npy: bool,
    engine: Any,
    **options: Any,
) -> dict[str, Any]:
    """Embeds a catalogue.

    Args:
        run: name or path of the run.
        runs_dir: where runs lie.
        out: folder to make.
        items: Parquet of features; None: the run's own catalogue.
        id_column: column of item ids in `items`.
        npy: also write one matrix.
        engine: an `Engine`.
        **options: those of `map_batches`.

    Returns:
        What `_SUCCESS.json` says.
    """
    from twotower.jobs.items import EmbedItems, item_columns, write_matrix
    from twotower.jobs.parts import map_batches
    from twotower.runs.bundle import Bundle

    bundle = Bundle.open(run, runs_dir)
    own = items is None
    columns = list(item_columns(bundle)) + ([] if own else [id_column])
    work = EmbedItems(str(bundle.directory.absolute()), bundle.model_digest, None if own else id_column)
    source = bundle.directory / "catalogue.parquet" if items is None else Path(items)
    finish = write_matrix if npy else None
    return map_batches(engine, source, work, Path(out), columns=columns or None, finish=finish, **options)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_words(arguments, lambda: USAGE.format(output=OUTPUT_WORDS, engine=ENGINE_WORDS), _run)


def _run(arguments: Sequence[str]) -> None:
    from twotower.jobs.progress import bar

    settings, started = settings_of(arguments, "embed_items"), perf_counter()
    engine = take_engine(settings)
    settings["id_column"] = settings.pop("id")
    with bar("embed", "items") as progress:
        success = embed_items(**settings, engine=engine, progress=progress)
    print(outcome("embedded", Path(settings["out"]), success, started))


if __name__ == "__main__":
    sys.exit(main())
